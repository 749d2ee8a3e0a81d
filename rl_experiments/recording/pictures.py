"""Environments that give pictures: drawn without a screen, grabbed after each reset and each step."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.isolation import IsolatedError, describe_error, run_isolated
from rl_experiments.envs import EnvironmentRecipe, make_envs
from rl_experiments.envs.making import constructor_arguments
from rl_experiments.envs.registry import find_spec
from rl_experiments.envs.rendering import prepare_offscreen_rendering
from rl_experiments.recording.atari_pictures import AtariPictures, is_atari
from rl_experiments.recording.looks import Look
from rl_experiments.recording.mujoco_pictures import BodiesOnFailure, PaintedPictures, is_drawn_by_gymnasium
from rl_experiments.recording.video import RecordingError

ATARI_HZ = 60
DEFAULT_FPS = 30.0
FRAME_DEADLINE = 60.0
"""Seconds for the first picture."""


def say_aside(text: str) -> None:
    """Print what the user should know where the output is not disturbed."""
    print(text, file=sys.stderr, flush=True)


_SIZE_NAMES = ({"width": "width", "height": "height"}, {"width": "render_width", "height": "render_height"})


def picture_recipe(recipe: EnvironmentRecipe, look: Look | None = None) -> EnvironmentRecipe:
    """:return: the recipe with the render mode that gives pictures, in the chosen size if the constructor takes one"""
    sizes = {name: value for name in ("width", "height") if (value := getattr(look, name, None)) is not None}
    known = constructor_arguments(find_spec(recipe.env_id, recipe.gym_packages)) if sizes else []
    names = next((names for names in _SIZE_NAMES if set(names.values()) <= set(known)), {})
    return recipe.with_kwargs(
        render_mode="rgb_array", **{names[name]: value for name, value in sizes.items() if name in names}
    )


def try_frame(recipe: EnvironmentRecipe, deadline: float = FRAME_DEADLINE, look: Look | None = None) -> str | None:
    """
    Draw one frame, before time is spent on anything else; in a process of its own, because renderers can crash or hang.

    :param deadline: seconds after which it is given up
    :return: None if that works, or why it does not
    """
    prepare_for(recipe)
    try:
        run_isolated(lambda _: _draw_one(recipe, look), min(deadline, FRAME_DEADLINE))
    except IsolatedError as error:
        return str(error)
    return None


def prepare_for(recipe: EnvironmentRecipe) -> None:
    """Choose what draws the environment, before it is made."""
    prepare_offscreen_rendering(find_spec(recipe.env_id, recipe.gym_packages).entry_point)


def _draw_one(recipe: EnvironmentRecipe, look: Look | None) -> None:
    # What is missing to draw is said when the video is made.
    env = make_envs(picture_recipe(recipe), 1, 0, outermost=Grabber(look, lambda _: None).wrap)
    try:
        with contextlib.suppress(ConfigurationError):  # a size that it cannot draw is said when the recording begins
            env.reset()
    finally:
        env.close()


def frames_per_second(recipe: EnvironmentRecipe, metadata: dict[str, Any]) -> float:
    """
    :return: the rate at which one frame for each step of the agent is real time

    An Atari console draws 60 frames a second; Gymnasium's metadata says 30 for it.
    """
    skip = 1
    for name, kwargs in recipe.wrappers:
        short = name.rpartition(".")[2]
        if short in ("AtariWrapper", "AtariPreprocessing"):
            skip *= int(kwargs.get("frame_skip", 4))
        elif short in ("FrameSkip", "MaxAndSkipEnv"):
            skip *= int(kwargs.get("skip", 4))
    if recipe.is_atari:
        own = recipe.kwargs.get("frameskip", find_spec(recipe.env_id, recipe.gym_packages).kwargs.get("frameskip", 1))
        rate = ATARI_HZ / (sum(own) / 2 if isinstance(own, (tuple, list)) else own)
    else:
        rate = float(metadata.get("render_fps") or DEFAULT_FPS)
    return max(1.0, rate / skip)


class Grabber:
    """
    Collects a frame after each reset and each step of the environment that it is put around.

    :param look: how the frames look
    :param say: takes what the user should know, such as what is missing to draw
    """

    def __init__(self, look: Look | None = None, say: Callable[[str], None] = say_aside) -> None:
        self.frames: list[np.ndarray] = []
        self._look = look or Look()
        self._say = say
        self.is_awake = True
        """Whether the next frame is collected."""
        self.on_end: Callable[[PicturesEndedError], None] | None = None
        """Called in place of the error when the environment cannot be drawn any more."""

    def wrap(self, env: gym.Env) -> gym.Env:
        return _GrabbingWrapper(env, self, picture_source(env, self._look, self._say), self._look)

    def take(self) -> list[np.ndarray]:
        taken = list(self.frames)
        self.frames.clear()
        return taken


class PicturesEndedError(RecordingError):
    """An environment that was drawn cannot be drawn any more; the message says why."""


class LostError(PicturesEndedError, IsolatedError):
    """The process of an environment that is recorded crashed or hangs; the message says which."""


class PictureSource(Protocol):
    """Called for a picture of the present; whatever it gives is for :func:`as_picture`."""

    def __call__(self) -> Any: ...

    def close(self) -> None:
        """End what draws."""
        ...


def picture_source(env: gym.Env, look: Look | None = None, say: Callable[[str], None] = say_aside) -> PictureSource:
    """
    Find how the pictures of an environment are made that recordings show.

    Atari: both of the frames that max-pooling saw. MuJoCo: drawn in a process of its own, by a camera that follows what
    walks, and in plain shapes where nothing draws. Others: as ``render()`` gives them.

    :param env: made with ``render_mode="rgb_array"``
    """
    look = look or Look()
    if is_atari(env):
        return AtariPictures(env)
    if is_drawn_by_gymnasium(env):
        return PaintedPictures(env, look, say)
    return BodiesOnFailure(env, look, say)


class _GrabbingWrapper(gym.Wrapper):
    def __init__(self, env: gym.Env, grabber: Grabber, source: PictureSource, look: Look) -> None:
        super().__init__(env)
        self._grabber = grabber
        self._source = source
        self._look = look
        self._draws = False

    def reset(self, **kwargs: Any) -> Any:
        result = self.env.reset(**kwargs)
        self._grab()
        return result

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self._grab()
        return result

    def close(self) -> None:
        self._source.close()
        self.env.close()

    def _grab(self) -> None:
        if not self._grabber.is_awake:
            return
        try:
            picture = self._picture()
        except PicturesEndedError as error:
            if self._grabber.on_end is None:
                raise
            self._grabber.on_end(error)
            return
        self._draws = True
        self._look.check(picture)
        self._grabber.frames.append(self._look.enlarged(picture))

    def _picture(self) -> np.ndarray:
        try:
            frame = self._source()
            if isinstance(frame, list) and frame:
                frame = frame[-1]
            return as_picture(frame)
        except (Exception, SystemExit) as error:  # renderers raise anything
            if not self._draws:
                raise
            raise PicturesEndedError(describe_error(error)) from error


def as_picture(frame: Any) -> np.ndarray:
    """
    :param frame: what ``render()`` gave: an array, a tensor or a PIL image, in colours or grey, of bytes or from 0 to 1
    :return: shape (height, width, 3), uint8
    :raises RecordingError: if it is no picture
    """
    picture = frame if isinstance(frame, np.ndarray) else np.asarray(frame)
    if picture.ndim == 2:
        picture = picture[:, :, None]
    if picture.ndim != 3 or picture.shape[2] not in (1, 3, 4) or not picture.size or picture.dtype.kind not in "buif":
        shown = f"an array of shape {frame.shape}" if isinstance(frame, np.ndarray) else repr(frame)[:80]
        raise RecordingError(f"render() gave no picture, but {shown}")
    picture = np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture[:, :, :3]
    if picture.dtype.kind == "b" or (picture.dtype.kind == "f" and picture.max() <= 1):
        picture = picture * 255.0
    elif picture.dtype == np.uint16:
        picture = picture // 257
    return np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8))
