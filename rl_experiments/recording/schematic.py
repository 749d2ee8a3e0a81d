"""
Bodies drawn from their positions, without any graphics library: what is seen where MuJoCo cannot draw.

The camera and the bodies are MuJoCo's own, so that a picture shows what MuJoCo's would show, in plainer shapes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

_SMOOTH = 2
"""Drawn so many times larger, and reduced."""
_ANGLES = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_ALONG = np.array([0.0, 0.0, 1.0])
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
_FACES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))
_LIGHT = np.array([0.3, -0.4, 0.87])
_SKY_TOP, _SKY_LOW = np.array([70, 110, 160]), np.array([205, 220, 235])
_EXTREMES = 40


class Schematic:
    """
    :param model: an ``mujoco.MjModel``
    :param camera: an ``MjvCamera``
    :param width: of the pictures, in pixels
    :param height: of the pictures, in pixels
    :param max_geom: most bodies in a picture
    """

    def __init__(self, model: Any, camera: Any, width: int, height: int, max_geom: int = 1000) -> None:
        import mujoco

        self._mujoco, self._model, self._camera = mujoco, model, camera
        self._scene = mujoco.MjvScene(model, max_geom)
        self._options, self._nothing = mujoco.MjvOption(), mujoco.MjvPerturb()
        self._width, self._height = width, height
        self._meshes: dict[int, np.ndarray] = {}
        share = np.linspace(0, 1, height)[:, None, None]
        self._sky = np.broadcast_to(_SKY_TOP * (1 - share) + _SKY_LOW * share, (height, width, 3)).astype(np.uint8)

    def draw(self, data: Any) -> np.ndarray:
        """
        :param data: the ``mujoco.MjData`` of the model
        :return: shape (height, width, 3), uint8
        """
        mujoco = self._mujoco
        mujoco.mjv_updateScene(
            self._model, data, self._options, self._nothing, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        eye = _Eye(self._scene, self._width, self._height)
        geoms = [geom for geom in self._scene.geoms[: self._scene.ngeom] if geom.rgba[3] > 0.02]
        planes = [geom for geom in geoms if geom.type == mujoco.mjtGeom.mjGEOM_PLANE]
        bodies = [geom for geom in geoms if geom.type != mujoco.mjtGeom.mjGEOM_PLANE]
        ground = self._sky.copy()
        for plane in sorted(planes, key=lambda geom: -eye.depth(geom.pos)):
            _paint_plane(ground, plane, eye)
        picture = Image.fromarray(ground).resize(
            (_SMOOTH * self._width, _SMOOTH * self._height), Image.Resampling.NEAREST
        )
        brush = ImageDraw.Draw(picture, "RGBA")
        shapes = [(geom, self._points(geom)) for geom in bodies]
        for plane in planes:
            for _, points in shapes:
                _paint_shadow(brush, points, plane, eye)
        for geom, points in sorted(shapes, key=lambda shape: -eye.depth(shape[0].pos)):
            self._paint(brush, geom, points, eye)
        return np.asarray(picture.reduce(_SMOOTH))

    def _points(self, geom: Any) -> np.ndarray:
        """:return: points whose hull is the body, in the world, shape (n, 3)"""
        kinds, size = self._mujoco.mjtGeom, np.array(geom.size, dtype=float)
        if geom.type == kinds.mjGEOM_SPHERE:
            points = _ball() * size[0]
        elif geom.type == kinds.mjGEOM_ELLIPSOID:
            points = _ball() * size
        elif geom.type == kinds.mjGEOM_CAPSULE:
            ball = _ball() * size[0]
            points = np.concatenate([ball + size * _ALONG, ball - size * _ALONG])
        elif geom.type == kinds.mjGEOM_CYLINDER:
            rim = np.concatenate([_CIRCLE * size[:2], np.zeros((len(_CIRCLE), 1))], axis=1)
            points = np.concatenate([rim + size * _ALONG, rim - size * _ALONG])
        elif geom.type == kinds.mjGEOM_MESH:
            points = self._mesh(int(geom.dataid) // 2)
        else:
            points = _CORNERS * size
        return np.asarray(points @ np.array(geom.mat, dtype=float).reshape(3, 3).T + geom.pos)

    def _mesh(self, number: int) -> np.ndarray:
        """:return: the corners of its hull, or the outermost of them"""
        if number not in self._meshes:
            first, count = self._model.mesh_vertadr[number], self._model.mesh_vertnum[number]
            corners = np.array(self._model.mesh_vert[first : first + count], dtype=float)
            directions = np.random.default_rng(0).normal(size=(_EXTREMES, 3))
            self._meshes[number] = corners[np.unique((corners @ directions.T).argmax(axis=0))]
        return self._meshes[number]

    def _paint(self, brush: ImageDraw.ImageDraw, geom: Any, points: np.ndarray, eye: _Eye) -> None:
        flat, depths = eye.project(points)
        if (depths <= eye.near).any():
            return
        colour, alpha = 255 * np.array(geom.rgba[:3], dtype=float), int(255 * min(1.0, geom.rgba[3]))
        edge = (*(0.35 * colour).astype(int).tolist(), alpha)
        if geom.type == self._mujoco.mjtGeom.mjGEOM_BOX:
            _paint_box(brush, points, flat, colour, alpha, edge, eye)
            return
        outline = hull(flat)
        brush.polygon(_pairs(outline), fill=(*(0.72 * colour).astype(int).tolist(), alpha), outline=edge, width=_SMOOTH)
        middle = outline.mean(axis=0)
        for share, brightness in ((0.75, 0.85), (0.5, 0.95), (0.28, 1.1)):  # rounder: it is lit from above
            lit = np.minimum(255, brightness * colour + 12 * (1 - share)).astype(int).tolist()
            extent = np.ptp(outline, axis=0)
            offset = -0.14 * (1 - share) * min(extent)
            brush.polygon(_pairs(middle + share * _thinner(outline - middle, share) + offset), fill=(*lit, alpha))


class _Eye:
    """From where and how a scene is seen."""

    def __init__(self, scene: Any, width: int, height: int) -> None:
        left, right = scene.camera[0], scene.camera[1]
        self.position = (np.array(left.pos, dtype=float) + np.array(right.pos, dtype=float)) / 2
        self.forward, self.up = np.array(left.forward, dtype=float), np.array(left.up, dtype=float)
        self.right = np.cross(self.forward, self.up)
        self.near = float(left.frustum_near)
        self._middle = (left.frustum_top + left.frustum_bottom) / 2
        self._scale = height * self.near / (left.frustum_top - left.frustum_bottom)
        self._parallel = bool(getattr(left, "orthographic", False))
        self._size = width, height

    def depth(self, point: Any) -> float:
        return float((np.array(point, dtype=float) - self.position) @ self.forward)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """:return: places in the enlarged picture, shape (n, 2), and depths"""
        away = points - self.position
        depths = away @ self.forward
        scale = self._scale / (self.near if self._parallel else np.maximum(depths, self.near))
        x = self._size[0] / 2 + scale * (away @ self.right)
        y = self._size[1] / 2 - scale * (away @ self.up) + self._middle * self._scale / self.near
        return _SMOOTH * np.stack([x, y], axis=1), depths

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """:return: where the ray of each pixel begins, and its direction, shapes that fit (height, width, 3)"""
        width, height = self._size
        x = ((np.arange(width) + 0.5 - width / 2) / self._scale)[None, :, None]
        y = ((height / 2 - np.arange(height) - 0.5 + self._middle * self._scale / self.near) / self._scale)[
            :, None, None
        ]
        across = x * self.right + y * self.up
        if self._parallel:
            return self.position + self.near * across, self.forward[None, None, :]
        return self.position[None, None, :], self.forward + across


def hull(points: np.ndarray) -> np.ndarray:
    """:return: the corners of the convex hull of points in a plane, in order, shape (n, 2)"""
    ordered = sorted(set(map(tuple, points.tolist())))
    if len(ordered) < 3:
        return np.array(ordered * 3)[:3]
    halves = []
    for sequence in (ordered, ordered[::-1]):
        half: list[tuple[float, ...]] = []
        for x, y in sequence:
            while len(half) > 1 and (half[-1][0] - half[-2][0]) * (y - half[-2][1]) <= (half[-1][1] - half[-2][1]) * (
                x - half[-2][0]
            ):
                half.pop()
            half.append((x, y))
        halves += half[:-1]
    return np.array(halves)


def _ball() -> np.ndarray:
    rings = [
        np.column_stack([r * _CIRCLE[::2], np.full(len(_CIRCLE[::2]), z)])
        for r, z in ((1, 0), (0.71, 0.71), (0.71, -0.71))
    ]
    return np.concatenate([*rings, [[0, 0, 1], [0, 0, -1]]])


def _thinner(outline: np.ndarray, share: float) -> np.ndarray:
    """:return: an outline whose longer side keeps its length, for the highlight of a long body"""
    _, _, axes = np.linalg.svd(outline - outline.mean(axis=0), full_matrices=False)
    along, across = outline @ axes[0], outline @ axes[1]
    ratio = np.ptp(across) / max(np.ptp(along), 1e-6)
    longer = 1 + (1 / share - 1) * (1 - ratio)
    return np.asarray(np.outer(longer * along, axes[0]) + np.outer(across, axes[1]))


def _paint_box(
    brush: ImageDraw.ImageDraw,
    corners: np.ndarray,
    flat: np.ndarray,
    colour: np.ndarray,
    alpha: int,
    edge: tuple[int, ...],
    eye: _Eye,
) -> None:
    centre = corners.mean(axis=0)
    for face in _FACES:
        middle = corners[list(face)].mean(axis=0)
        normal = middle - centre
        if normal @ (middle - eye.position) >= 0:
            continue
        light = 0.65 + 0.4 * max(0.0, float(normal @ _LIGHT) / max(float(np.linalg.norm(normal)), 1e-9))
        fill = (*np.minimum(255, light * colour).astype(int).tolist(), alpha)
        brush.polygon(_pairs(flat[list(face)]), fill=fill, outline=edge, width=_SMOOTH)


def _paint_shadow(brush: ImageDraw.ImageDraw, points: np.ndarray, plane: Any, eye: _Eye) -> None:
    """What lies straight below a body on a plane."""
    normal, origin = np.array(plane.mat, dtype=float).reshape(3, 3)[:, 2], np.array(plane.pos, dtype=float)
    heights = (points - origin) @ normal
    if heights.max() < 0 or normal[2] < 0.5:
        return
    flat, depths = eye.project(points - np.outer(heights, normal))
    if (depths > eye.near).all():
        brush.polygon(_pairs(hull(flat)), fill=(0, 0, 0, 45))


def _paint_plane(picture: np.ndarray, plane: Any, eye: _Eye) -> None:
    """A chequered ground that fades into the distance."""
    axes, origin = np.array(plane.mat, dtype=float).reshape(3, 3), np.array(plane.pos, dtype=float)
    begin, direction = eye.rays()
    slope = direction @ axes[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = ((origin - begin) @ axes[:, 2]) / slope
    rows, columns = np.nonzero(np.broadcast_to((slope < 0) & (distance > 0), picture.shape[:2]))
    if not len(rows):
        return
    far = distance[rows, columns]
    hit = np.broadcast_to(begin, (*picture.shape[:2], 3))[rows, columns] + far[:, None] * direction[rows, columns]
    x, y = (hit - origin) @ axes[:, 0], (hit - origin) @ axes[:, 1]
    inside = np.ones(len(rows), dtype=bool)
    for place, half in ((x, float(plane.size[0])), (y, float(plane.size[1]))):
        if half > 0:
            inside &= np.abs(place) <= half
    # Tiles lie still in the world: MuJoCo moves an endless plane along with the camera.
    tile = _tile_size(eye, origin)
    still = (np.floor(hit @ axes[:, 0] / tile) + np.floor(hit @ axes[:, 1] / tile)).astype(int) % 2
    colour = 255 * np.array(plane.rgba[:3], dtype=float)
    shade = np.where(still == 0, 0.78, 0.62)[:, None] * (0.4 * colour + 0.6 * np.array([150, 160, 170]))
    fog = np.exp(-far / (40 * tile))[:, None]
    painted = shade * fog + _SKY_LOW * (1 - fog)
    picture[rows[inside], columns[inside]] = painted[inside].astype(np.uint8)


def _tile_size(eye: _Eye, origin: np.ndarray) -> float:
    """:return: a power of two of metres, about a sixth of what is seen"""
    return float(2.0 ** np.round(np.log2(max(0.05, float(np.linalg.norm(eye.position - origin)) / 6))))


def _pairs(points: np.ndarray) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points.tolist()]
