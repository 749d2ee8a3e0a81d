"""MuJoCo's pictures for a recording: drawn beside this process, and by hand where nothing draws."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

import gymnasium as gym
import numpy as np

from rl_experiments.envs.graphics import (
    candidates,
    choose_graphics,
    forget_graphics,
    how_to_install,
    in_words,
)
from rl_experiments.envs.painter import Painter, PainterError, SharedPainters
from rl_experiments.recording.cameras import view_of
from rl_experiments.recording.looks import Look
from rl_experiments.recording.schematic import Schematic

_PAINTERS = SharedPainters()
_SIZE = 480
"""Width and height of a picture where nobody chose any, in pixels; that of Gymnasium's environments."""


def is_drawn_by_gymnasium(env: gym.Env) -> bool:
    """Whether Gymnasium's own renderer draws its pictures with MuJoCo."""
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    return all(hasattr(renderer, name) for name in ("model", "data", "render", "close"))


class PaintedPictures:
    """
    Pictures of an environment that Gymnasium draws with MuJoCo.

    The painter is in the place of the environment's renderer only while a picture is made for the recording: an agent
    that looks at pictures goes on seeing its own.

    :param env: whose ``render()`` gives arrays
    :param look: size and quality
    :param say: takes what the user should know
    """

    def __init__(self, env: gym.Env, look: Look, say: Callable[[str], None]) -> None:
        self._env, self._unwrapped = env, cast(Any, env.unwrapped)
        kwargs = dict(env.spec.kwargs) if env.spec is not None else {}
        chosen = any(kwargs.get(name) is not None for name in ("camera_id", "camera_name"))
        aimed = {"lookat", "type", "trackbodyid"} & set(kwargs.get("default_camera_config") or {})
        in_a_maze = hasattr(env.unwrapped, "maze")  # the whole of it is the picture
        follows = not (chosen or aimed or in_a_maze)
        self._painted = PaintedRenderer(self._unwrapped.mujoco_renderer, look, say, follows)

    def __call__(self) -> Any:
        """:return: what ``render()`` gives, painted"""
        original = self._unwrapped.mujoco_renderer
        self._painted.original = original
        self._unwrapped.mujoco_renderer = self._painted
        try:
            return self._env.render()
        finally:
            self._unwrapped.mujoco_renderer = original

    def close(self) -> None:
        """End what draws."""
        self._painted.close()


class PaintedRenderer:
    """
    Takes the place of Gymnasium's ``MujocoRenderer``.

    :param original: what it takes the place of
    :param look: size and quality
    :param say: takes what the user should know
    :param follows: whether what walks is followed
    """

    def __init__(self, original: Any, look: Look, say: Callable[[str], None], follows: bool) -> None:
        self.original, self._look, self._say, self._follows = original, look, say, follows
        self._width = look.width or original.width or _SIZE
        self._height = look.height or original.height or _SIZE
        self._painter: Painter | None = None
        self._schematic: Schematic | None = None
        self._camera: Any = None
        self._drawn: Any = None
        self._failed: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    def render(self, render_mode: str | None) -> Any:
        """:return: a picture, shape (height, width, 3), uint8"""
        if render_mode != "rgb_array":
            return self.original.render(render_mode)
        model, data = self.original.model, self.original.data
        if self._drawn is not model:  # the first picture, or an environment that made its model anew
            self._drop()
            self._drawn = model
            original = self.original
            self._camera = view_of(model, data, original.default_cam_config, original.camera_id, self._follows)
        while self._schematic is None:
            try:
                if self._painter is None:
                    self._painter = self._next_painter(model)
                return self._painter.draw(model, data, self._camera)
            except (PainterError, OSError) as error:
                self._give_up_painter(error)
        return self._schematic.draw(data)

    def close(self) -> None:
        """End what draws."""
        self._drop()

    def _next_painter(self, model: Any) -> Painter:
        """:raises PainterError: if there is none, and the bodies are drawn by hand"""
        for backend in self._order():
            try:
                return self._paint_with(model, backend)
            except (PainterError, OSError) as error:
                self._failed[str(backend)] = in_words(str(error))
                forget_graphics()  # if it was remembered, that was wrong
        reasons = "; ".join(f"{name}: {reason}" for name, reason in self._failed.items())
        self._schematic = Schematic(model, self._camera, self._width, self._height, self._max_geom)
        self._say(
            f"MuJoCo cannot draw here ({reasons}): the video shows its bodies in plain shapes. {how_to_install()}"
        )
        raise PainterError(reasons)

    def _order(self) -> list[str | None]:
        known = choose_graphics()
        # What was found with a small picture comes first; a large one may still be too much for it.
        found = [known.backend] if known.works else []
        rest = [backend for backend in candidates() if backend not in found and str(backend) not in known.failed]
        self._failed.update({name: reason for name, reason in known.failed.items() if name not in self._failed})
        return [backend for backend in [*found, *rest] if str(backend) not in self._failed]

    def _paint_with(self, model: Any, backend: str | None) -> Painter:
        return _PAINTERS.borrow(
            model,
            backend,
            self._width,
            self._height,
            fast=self._look.fast,
            visual_options=self.original._vopt if hasattr(self.original, "_vopt") else None,
            max_geom=self._max_geom,
        )

    @property
    def _max_geom(self) -> int:
        return int(getattr(self.original, "max_geom", 1000))

    def _give_up_painter(self, error: Exception) -> None:
        if self._painter is None:
            return  # said already
        backend = self._painter.backend
        _PAINTERS.give_back(self._painter)
        self._painter = None
        self._failed[str(backend)] = str(error)
        forget_graphics()
        self._say(f"{backend or 'MuJoCo'} stopped drawing ({error}): another way is tried for the rest of the video")

    def _drop(self) -> None:
        if self._painter is not None:
            _PAINTERS.give_back(self._painter)
        self._painter = self._schematic = None


class BodiesOnFailure:
    """
    Pictures of an environment that draws MuJoCo's bodies in its own way; if that fails, in plain shapes.

    :param env: has a model and its data in ``unwrapped``
    :param look: the size of the plain shapes, where it is chosen
    :param say: takes what the user should know
    """

    def __init__(self, env: gym.Env, look: Look, say: Callable[[str], None]) -> None:
        self._env, self._say = env, say
        self._schematic: Schematic | None = None
        self._size = (look.width or _SIZE, look.height or _SIZE)

    def __call__(self) -> Any:
        """:return: the environment's own picture, or one of the bodies"""
        bodies = bodies_of(self._env)
        if self._schematic is None:
            try:
                picture = self._env.render()
            except Exception as error:  # renderers raise anything
                if bodies is None:
                    raise
                forget_graphics()
                self._schematic = Schematic(bodies[0], view_of(*bodies, None, None, True), *self._size)
                why = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
                self._say(f"It cannot draw here ({why}): the video shows bodies in plain shapes. {how_to_install()}")
            else:
                if isinstance(picture, np.ndarray) and picture.ndim == 3:
                    self._size = (picture.shape[1], picture.shape[0])
                return picture
        assert bodies is not None
        return self._schematic.draw(bodies[1])

    def close(self) -> None:
        """Nothing is left open."""


def bodies_of(env: gym.Env) -> tuple[Any, Any] | None:
    """:return: MuJoCo's model and data in an environment, or None"""
    mujoco = sys.modules.get("mujoco")
    if mujoco is None:
        return None
    values = list(vars(env.unwrapped).values())
    model = next((value for value in values if isinstance(value, mujoco.MjModel)), None)
    data = next((value for value in values if isinstance(value, mujoco.MjData)), None)
    return None if model is None or data is None else (model, data)
