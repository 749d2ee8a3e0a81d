"""From where MuJoCo's pictures are seen: what walks stays in them."""

from __future__ import annotations

from typing import Any

import numpy as np

_IMMOVABLE = 1e3
"""Damping with which a joint only carries what stands still, such as the base of a robot arm."""
_SIZES_AWAY, _ELEVATION = 4.0, -20.0


def view_of(model: Any, data: Any, config: dict[str, Any] | None, camera_id: int | None, follows: bool) -> Any:
    """
    :param config: attributes of an ``MjvCamera``, as environments give them to Gymnasium
    :param camera_id: a camera of the model; None and -1 are none
    :param follows: whether what walks is followed, where no camera was chosen
    :return: the ``MjvCamera`` with which Gymnasium would draw the first picture, or one that follows
    """
    import mujoco

    camera = mujoco.MjvCamera()
    camera.lookat[:] = [np.median(data.geom_xpos[:, axis]) for axis in range(3)]
    camera.distance = model.stat.extent
    for name, value in (config or {}).items():
        if isinstance(value, np.ndarray):
            getattr(camera, name)[:] = value
        else:
            setattr(camera, name, value)
    if camera_id is not None and camera_id != -1:
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, camera_id
        return camera
    camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FREE, -1
    body = find_walker(model) if follows else None
    if body is None:
        return camera
    tracking = _tracking_camera(model, body)
    if tracking is not None:
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, tracking
        return camera
    camera.type, camera.trackbodyid = mujoco.mjtCamera.mjCAMERA_TRACKING, body
    if "distance" not in (config or {}):
        camera.distance = _SIZES_AWAY * _radius(model, data, body)
    if "elevation" not in (config or {}):
        camera.elevation = _ELEVATION
    return camera


def find_walker(model: Any) -> int | None:
    """
    :return: the body that can go anywhere by its own force, or None: arms, pendulums and hands stay where they are.
        Of several, the heaviest
    """
    driven = _driven_bodies(model)
    walkers = [body for body in range(1, model.nbody) if _roams(model, body) and driven & _subtree(model, body)]
    return max(walkers, key=lambda body: float(model.body_subtreemass[body]), default=None)


def _roams(model: Any, body: int) -> bool:
    """Whether it moves freely, or slides without end along the ground, and stands on nothing that moves."""
    import mujoco

    parent = int(model.body_parentid[body])
    while parent:
        if model.body_jntnum[parent]:
            return False
        parent = int(model.body_parentid[parent])
    first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
    for joint in range(first, first + count):
        kind = int(model.jnt_type[joint])
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            return True
        is_level = abs(float(model.jnt_axis[joint][2])) < 0.9
        moves = float(model.dof_damping[model.jnt_dofadr[joint]]) < _IMMOVABLE
        if kind == mujoco.mjtJoint.mjJNT_SLIDE and not model.jnt_limited[joint] and is_level and moves:
            return True
    return False


def _driven_bodies(model: Any) -> set[int]:
    """:return: the bodies that actuators act on; those of a tendon are any"""
    import mujoco

    kinds = mujoco.mjtTrn
    driven: set[int] = set()
    for kind, target in zip(model.actuator_trntype, model.actuator_trnid[:, 0], strict=True):
        kind = int(kind)
        if kind in (kinds.mjTRN_JOINT, kinds.mjTRN_JOINTINPARENT):
            driven.add(int(model.jnt_bodyid[target]))
        elif kind == kinds.mjTRN_SITE:
            driven.add(int(model.site_bodyid[target]))
        elif kind == kinds.mjTRN_BODY:
            driven.add(int(target))
        else:
            return set(range(1, model.nbody))
    return driven


def _subtree(model: Any, root: int) -> set[int]:
    found = {root}
    for body in range(root + 1, model.nbody):  # children come after their parents
        if int(model.body_parentid[body]) in found:
            found.add(body)
    return found


def _tracking_camera(model: Any, body: int) -> int | None:
    import mujoco

    modes = (int(mujoco.mjtCamLight.mjCAMLIGHT_TRACK), int(mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM))
    bodies = _subtree(model, body)
    found = [i for i in range(model.ncam) if int(model.cam_mode[i]) in modes and int(model.cam_bodyid[i]) in bodies]
    return min(found, key=lambda camera: model.camera(camera).name != "track", default=None)


def _radius(model: Any, data: Any, body: int) -> float:
    """:return: of a ball around it, in metres"""
    geoms = np.isin(model.geom_bodyid, list(_subtree(model, body)))
    if not geoms.any():
        return max(0.1, 0.5 * float(model.stat.extent))
    away = np.linalg.norm(data.geom_xpos[geoms] - data.xpos[body], axis=1) + model.geom_rbound[geoms]
    return max(0.05, float(away.max()))
