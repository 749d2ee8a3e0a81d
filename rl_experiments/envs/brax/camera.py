"""Pictures of an environment of Brax, by MuJoCo."""

from __future__ import annotations

from typing import Any

import numpy as np

from rl_experiments.core.errors import ConfigurationError


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

        self._mujoco = mujoco
        self._model = model
        self._data = mujoco.MjData(model)
        model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
        model.vis.global_.offheight = max(height, model.vis.global_.offheight)
        model.vis.quality.offsamples = 0
        try:
            self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:
            raise ConfigurationError(f"MuJoCo cannot draw here: {type(error).__name__}: {error}") from error
        self._view = _following(model, mujoco)

    def picture(self, joints: np.ndarray) -> np.ndarray:
        """
        :param joints: positions of all joints
        :return: shape (height, width, 3), uint8
        """
        self._data.qpos[:] = joints
        self._mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, camera=self._view)
        return np.array(self._renderer.render())

    def close(self) -> None:
        """Release the drawing context."""
        self._renderer.close()


def _following(model: Any, mujoco: Any) -> Any:
    """:return: the model's own camera that tracks, one that follows the body that is free to go, or one that stays"""
    names = [model.camera(index).name for index in range(model.ncam)]
    if "track" in names:
        return "track"
    view = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, view)
    walkers = [index for index in range(model.njnt) if _goes(model, index, mujoco)]
    if walkers:
        view.type = mujoco.mjtCamera.mjCAMERA_TRACKING
        view.trackbodyid = model.jnt_bodyid[walkers[0]]
        view.distance = min(view.distance, 4.0)
    return view


def _goes(model: Any, joint: int, mujoco: Any) -> bool:
    """Whether a joint lets a body go anywhere: it is free, or slides without an end."""
    kind = model.jnt_type[joint]
    if kind == mujoco.mjtJoint.mjJNT_FREE:
        return True
    return bool(kind == mujoco.mjtJoint.mjJNT_SLIDE and not model.jnt_limited[joint])
