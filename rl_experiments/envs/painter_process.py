"""
The program that draws what MuJoCo simulates, in a process of its own.

Nothing that happens in the program that simulates (other environments that draw, or close what they drew with) can
reach its pictures, and its crash takes nothing along. It is run by its path, and imports no more than it needs: it
begins drawing within half a second.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys
from typing import Any

import numpy as np

DATA_FIELDS = (
    *("qpos", "qvel", "ctrl", "act", "sensordata", "eq_active", "mocap_pos", "mocap_quat", "subtree_com"),
    *("xpos", "xquat", "xmat", "xipos", "ximat", "xanchor", "xaxis", "geom_xpos", "geom_xmat", "site_xpos"),
    *("site_xmat", "cam_xpos", "cam_xmat", "light_xpos", "light_xdir", "ten_wrapadr", "ten_wrapnum", "wrap_obj"),
    *("wrap_xpos", "ten_length", "flexvert_xpos", "flexedge_length", "actuator_length"),
)
"""What MuJoCo makes a scene from; the rest of its data is not sent for each picture."""
MODEL_FIELDS = (
    *("geom_rgba", "geom_size", "geom_matid", "mat_rgba", "site_rgba", "site_size", "tendon_rgba", "tendon_width"),
    *("skin_rgba", "cam_fovy", "light_diffuse", "light_ambient"),
)
"""What environments change from one episode to the next to vary their looks."""
_ANGLES = ("distance", "azimuth", "elevation")
_VIEW = (*_ANGLES, "type", "fixedcamid", "trackbodyid", "orthographic")
VIEW_BYTES = 8 * (len(_VIEW) + 3)
_ON_A_CPU = ("llvmpipe", "softpipe", "swrast", "software rasterizer", "osmesa")


def shared_arrays(model: Any, data: Any) -> list[np.ndarray]:
    """:return: the arrays that are sent for each picture, in the order in which they are sent; empty ones are not"""
    found = [getattr(data, name, None) for name in DATA_FIELDS] + [getattr(model, name, None) for name in MODEL_FIELDS]
    return [array for array in found if isinstance(array, np.ndarray) and array.size]


def packed_view(camera: Any) -> bytes:
    """:return: an ``MjvCamera`` as numbers, which :func:`set_view` reads"""
    return np.array([float(getattr(camera, name, 0)) for name in _VIEW] + list(camera.lookat)).tobytes()


def set_view(camera: Any, packed: bytes) -> None:
    """Give an ``MjvCamera`` what another one has."""
    numbers = np.frombuffer(packed)
    for name, value in zip(_VIEW, numbers, strict=False):
        if hasattr(camera, name):
            setattr(camera, name, float(value) if name in _ANGLES else int(value))
    camera.lookat[:] = numbers[len(_VIEW) :]


def quicken(model: Any) -> None:
    """No antialiasing and no shadow map: what costs most where the CPU draws; before the model is first drawn."""
    model.vis.quality.offsamples = 0
    model.vis.quality.shadowsize = 0


class _Drawing:
    def __init__(
        self,
        model: bytes,
        width: int,
        height: int,
        fast: bool | None,
        visual_options: dict[int, bool],
        max_geom: int,
        whole: bool,
    ) -> None:
        import mujoco

        backend = os.environ.get("MUJOCO_GL", "")
        self._context = _gl_context(backend, width, height)
        self._context.make_current()
        self.renderer = "OSMesa" if backend == "osmesa" else _renderer()
        self.on_cpu = any(name in self.renderer.lower() for name in _ON_A_CPU)
        self.fast = self.on_cpu if fast is None else fast
        self._mujoco, self._whole = mujoco, whole
        self._model = pickle.loads(model)  # noqa: S301 (of the program that started this one)
        limits = self._model.vis.global_
        limits.offwidth, limits.offheight = max(limits.offwidth, width), max(limits.offheight, height)
        if self.fast:
            quicken(self._model)
        self._data = mujoco.MjData(self._model)
        self._arrays = shared_arrays(self._model, self._data)
        self._scene = mujoco.MjvScene(self._model, max_geom)
        if self.fast:
            self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._camera, self._options, self._nothing = mujoco.MjvCamera(), mujoco.MjvOption(), mujoco.MjvPerturb()
        for flag, value in visual_options.items():
            self._options.flags[flag] = value
        self._target = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_150)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._target)
        if self._target.currentBuffer != mujoco.mjtFramebuffer.mjFB_OFFSCREEN:
            raise RuntimeError("it draws in no buffer of its own")
        self._view = mujoco.MjrRect(0, 0, width, height)
        self._pixels = np.zeros((height, width, 3), np.uint8)

    def draw(self, state: bytes) -> np.ndarray:
        """
        :param state: where it is seen from, and what is seen
        :return: the picture with its last row first, as OpenGL has it
        """
        mujoco = self._mujoco
        set_view(self._camera, state[:VIEW_BYTES])
        if self._whole:
            self._data = pickle.loads(state[VIEW_BYTES:])  # noqa: S301
        else:
            offset = VIEW_BYTES
            for array in self._arrays:
                end = offset + array.nbytes
                array[...] = np.frombuffer(state[offset:end], array.dtype).reshape(array.shape)
                offset = end
        mujoco.mjv_updateScene(
            self._model, self._data, self._options, self._nothing, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(self._view, self._scene, self._target)
        mujoco.mjr_readPixels(self._pixels, None, self._view, self._target)
        return self._pixels


def _gl_context(backend: str, width: int, height: int) -> Any:
    if backend == "egl":
        from mujoco.egl import GLContext
    elif backend == "osmesa":
        from mujoco.osmesa import GLContext
    elif backend == "glfw":
        from mujoco.glfw import GLContext
    else:  # what MuJoCo takes by itself, outside Linux
        from mujoco import GLContext
    return GLContext(width, height)


def _renderer() -> str:
    try:
        gl = importlib.import_module("OpenGL.GL")  # MuJoCo brings it along
        return (gl.glGetString(gl.GL_RENDERER) or b"").decode("utf-8", "replace")
    except Exception:  # what draws is asked for nothing but the quality
        return ""


def main() -> None:
    """Draw what standard input asks for until it ends; the pictures go to standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no picture
    questions = sys.stdin.buffer

    def answer(kind: bytes, content: Any) -> None:
        answers.write(kind + len(content).to_bytes(8, "little"))
        answers.write(content)
        answers.flush()

    try:
        drawing = _Drawing(**pickle.load(questions))  # noqa: S301
        facts = {"renderer": drawing.renderer, "on_cpu": drawing.on_cpu, "fast": drawing.fast}
        answer(b"F", json.dumps(facts).encode())
        while size := questions.read(8):
            answer(b"P", drawing.draw(questions.read(int.from_bytes(size, "little"))).reshape(-1).data)
    except BaseException as error:
        answer(b"E", f"{type(error).__name__}: {error}".encode())
    # Drivers have crashed in what they do at the end of a process.
    os._exit(0)


if __name__ == "__main__":
    main()
