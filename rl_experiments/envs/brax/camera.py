"""Pictures of an environment of Brax, by MuJoCo."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.envs.rendering import prepare_offscreen_rendering

_MOST_SHAPES = 2000
_CLOSEST = 4.0
"""Metres to what is followed, where the model has no camera for that and is large."""


class Camera:
    """
    Draws what the joints' positions say, with a camera that follows what walks.

    :param model: as MuJoCo has it
    :param width: in pixels
    :param height: in pixels
    :raises ConfigurationError: if nothing can be drawn on this machine
    """

    def __init__(self, model: Any, width: int, height: int) -> None:
        import mujoco

        self._mujoco, self._model, self._data = mujoco, model, mujoco.MjData(model)
        vision = model.vis
        vision.global_.offwidth, vision.global_.offheight = width, height
        vision.quality.offsamples = 0  # four times faster on a processor
        try:
            self._window = _open_context(width, height)
            self._window.make_current()
            self._scene = mujoco.MjvScene(model, _MOST_SHAPES)
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150.value)
        except Exception as error:  # drivers raise anything
            raise ConfigurationError(f"MuJoCo cannot draw here: {' '.join(str(error).split())}") from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._pixels = np.empty((height, width, 3), np.uint8)
        self._view = _following(model, mujoco)

    def picture(self, joints: np.ndarray) -> np.ndarray:
        """
        :param joints: positions of all joints
        :return: shape (height, width, 3), uint8
        """
        mujoco = self._mujoco
        self._window.make_current()  # another environment may have drawn meanwhile
        self._data.qpos[:] = joints
        mujoco.mj_forward(self._model, self._data)
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, self._data, mujoco.MjvOption(), None, self._view, everything, self._scene)
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._rectangle, self._context)
        return np.ascontiguousarray(self._pixels[::-1])

    def close(self) -> None:
        """Release the drawing context."""
        self._window.make_current()
        self._context.free()
        self._window.free()


def _open_context(width: int, height: int) -> Any:
    """MuJoCo chooses what it draws with when it is imported, which was long before anybody wanted a picture."""
    prepare_offscreen_rendering()
    backend = os.environ.get("MUJOCO_GL", "").lower()
    module = importlib.import_module(f"mujoco.{backend}" if backend in ("egl", "osmesa") else "mujoco.glfw")
    return module.GLContext(width, height)


def _following(model: Any, mujoco: Any) -> Any:
    """:return: the model's own camera that tracks, one that follows the body that is free to go, or one that stays"""
    view = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, view)
    names = [model.camera(index).name for index in range(model.ncam)]
    if "track" in names:
        view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        view.fixedcamid = names.index("track")
        return view
    walkers = [index for index in range(model.njnt) if _goes(model, index, mujoco)]
    if walkers:
        view.type = mujoco.mjtCamera.mjCAMERA_TRACKING
        view.trackbodyid = model.jnt_bodyid[walkers[0]]
        view.distance = min(view.distance, _CLOSEST)
    return view


def _goes(model: Any, joint: int, mujoco: Any) -> bool:
    """Whether a joint lets a body go anywhere: it is free, or slides without an end."""
    kind = model.jnt_type[joint]
    if kind == mujoco.mjtJoint.mjJNT_FREE:
        return True
    return bool(kind == mujoco.mjtJoint.mjJNT_SLIDE and not model.jnt_limited[joint])
