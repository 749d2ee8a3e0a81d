"""The shapes of an environment's bodies, for replays in a browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_SHAPES = {0: "plane", 2: "sphere", 3: "capsule", 4: "ellipsoid", 5: "cylinder", 6: "box", 7: "mesh"}
"""By MuJoCo's number; height maps are not drawn."""
_COLLISION_ONLY = 3
"""Shapes of this group and above are hidden by MuJoCo's viewer too."""


@dataclass(frozen=True)
class Shape:
    """
    :param kind: ``plane``, ``sphere``, ``capsule``, ``ellipsoid``, ``cylinder``, ``box`` or ``mesh``
    :param body: index of its body, counted without the world; -1 is the world, which never moves
    :param position: in the body, in metres
    :param rotation: in the body, a quaternion (w, x, y, z)
    :param size: as MuJoCo has it: radius, half lengths
    :param color: red, green, blue, opacity, from 0 to 1
    :param vertices: of a mesh, shape (n, 3); None for others
    :param faces: of a mesh, indices of three vertices each, shape (m, 3); None for others
    """

    kind: str
    body: int
    position: tuple[float, ...]
    rotation: tuple[float, ...]
    size: tuple[float, ...]
    color: tuple[float, ...]
    vertices: np.ndarray | None = None
    faces: np.ndarray | None = None


@dataclass(frozen=True)
class Scene:
    """
    :param bodies: names of all bodies but the world
    :param shapes: what they look like
    :param seconds: of a step
    :param target: index of the body that the camera follows; -1 where nothing goes anywhere
    """

    bodies: tuple[str, ...]
    shapes: tuple[Shape, ...]
    seconds: float
    target: int


def scene_of(model: Any, seconds: float) -> Scene:
    """
    :param model: as MuJoCo has it
    :param seconds: of a step
    """
    bodies = tuple(model.body(index).name or f"body {index}" for index in range(1, model.nbody))
    shapes = [_shape(model, index) for index in range(model.ngeom) if model.geom_group[index] < _COLLISION_ONLY]
    return Scene(bodies, tuple(shape for shape in shapes if shape is not None), seconds, _walker(model))


def _shape(model: Any, index: int) -> Shape | None:
    kind, color = _SHAPES.get(int(model.geom_type[index])), tuple(_color(model, index))
    if kind is None or color[3] == 0:
        return None
    vertices = faces = None
    if kind == "mesh":
        vertices, faces = _mesh(model, int(model.geom_dataid[index]))
    return Shape(
        kind,
        int(model.geom_bodyid[index]) - 1,
        tuple(model.geom_pos[index].tolist()),
        tuple(model.geom_quat[index].tolist()),
        tuple(model.geom_size[index].tolist()),
        color,
        vertices,
        faces,
    )


def _color(model: Any, index: int) -> list[float]:
    material = int(model.geom_matid[index])
    color = model.geom_rgba[index]
    if material >= 0 and (color == 0.5).sum() >= 3:  # MuJoCo's default: the material decides
        color = model.mat_rgba[material]
    return [round(float(part), 3) for part in color]


def _mesh(model: Any, index: int) -> tuple[np.ndarray, np.ndarray]:
    start, count = model.mesh_vertadr[index], model.mesh_vertnum[index]
    first, faces = model.mesh_faceadr[index], model.mesh_facenum[index]
    return (
        np.array(model.mesh_vert[start : start + count], np.float32),
        np.array(model.mesh_face[first : first + faces], np.int32),
    )


def _walker(model: Any) -> int:
    """:return: the body that can go anywhere, by a free joint or by one that slides without an end"""
    for joint in range(model.njnt):
        kind = int(model.jnt_type[joint])
        if kind == 0 or (kind == 2 and not model.jnt_limited[joint]):
            return int(model.jnt_bodyid[joint]) - 1
    return -1
