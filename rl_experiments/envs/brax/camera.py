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


class Renderer:
    """
    Draws what joints' positions say, with a camera that follows what walks.

    It has the face of Gymnasium's ``MujocoRenderer``, so that recordings draw with their own means in its place.

    :param model: as MuJoCo has it
    :param width: in pixels
    :param height: in pixels
    """

    default_cam_config = camera_id = None

    def __init__(self, model: Any, width: int, height: int) -> None:
        import mujoco

        self.model, self.data, self.width, self.height = model, mujoco.MjData(model), width, height
        self._mujoco = mujoco
        self._context: Any = None

    def set_joints(self, positions: np.ndarray) -> None:
        """Move the bodies to where the joints have them."""
        self.data.qpos[:] = positions
        self._mujoco.mj_forward(self.model, self.data)

    def render(self, render_mode: str | None) -> np.ndarray:
        """
        :return: shape (height, width, 3), uint8
        :raises ConfigurationError: if nothing can be drawn on this machine
        """
        mujoco = self._mujoco
        if self._context is None:
            self._open()
        self._window.make_current()  # another environment may have drawn meanwhile
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self.model, self.data, mujoco.MjvOption(), None, self._view, everything, self._scene)
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._rectangle, self._context)
        return np.ascontiguousarray(self._pixels[::-1])

    def close(self) -> None:
        """Release the drawing context."""
        if self._context is not None:
            self._window.make_current()
            self._context.free()
            self._window.free()
            self._context = None

    def _open(self) -> None:
        mujoco, model = self._mujoco, self.model
        model.vis.global_.offwidth, model.vis.global_.offheight = self.width, self.height
        model.vis.quality.offsamples = 0  # four times faster on a processor
        try:
            self._window = _open_context(self.width, self.height)
            self._window.make_current()
            self._scene = mujoco.MjvScene(model, _MOST_SHAPES)
            self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150.value)
        except Exception as error:  # drivers raise anything
            raise ConfigurationError(f"MuJoCo cannot draw here: {' '.join(str(error).split())}") from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._rectangle = mujoco.MjrRect(0, 0, self.width, self.height)
        self._pixels = np.empty((self.height, self.width, 3), np.uint8)
        self._view = _following(model, mujoco)


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
