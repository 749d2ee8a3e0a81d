"""Environments that give pictures: drawn without a screen, grabbed after each reset and each step."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from rl_experiments.core.isolation import IsolatedError, run_isolated
from rl_experiments.envs import EnvironmentRecipe, make_envs
from rl_experiments.envs.registry import find_spec
from rl_experiments.envs.rendering import prepare_offscreen_rendering
from rl_experiments.recording.video import RecordingError

ATARI_HZ = 60
DEFAULT_FPS = 30.0
FRAME_DEADLINE = 60.0
"""Seconds for the first picture."""


def picture_recipe(recipe: EnvironmentRecipe) -> EnvironmentRecipe:
    """:return: the recipe with the render mode that gives pictures"""
    return recipe.with_kwargs(render_mode="rgb_array")


def try_frame(recipe: EnvironmentRecipe, deadline: float = FRAME_DEADLINE) -> str | None:
    """
    Draw one frame, before time is spent on anything else; in a process of its own, because renderers can crash or hang.

    :param deadline: seconds after which it is given up
    :return: None if that works, or why it does not
    """
    prepare_offscreen_rendering()
    try:
        run_isolated(lambda _: _draw_one(recipe), min(deadline, FRAME_DEADLINE))
    except IsolatedError as error:
        return str(error)
    return None


def _draw_one(recipe: EnvironmentRecipe) -> None:
    env = make_envs(picture_recipe(recipe), 1, 0, outermost=Grabber().wrap)
    try:
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
    """Collects a frame after each reset and each step of the environment that it is put around."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []

    def wrap(self, env: gym.Env) -> gym.Env:
        return _GrabbingWrapper(env, self.frames)

    def take(self) -> list[np.ndarray]:
        taken = list(self.frames)
        self.frames.clear()
        return taken


class _GrabbingWrapper(gym.Wrapper):
    def __init__(self, env: gym.Env, frames: list[np.ndarray]) -> None:
        super().__init__(env)
        self._frames = frames

    def reset(self, **kwargs: Any) -> Any:
        result = self.env.reset(**kwargs)
        self._grab()
        return result

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self._grab()
        return result

    def _grab(self) -> None:
        frame = self.env.render()
        if isinstance(frame, list) and frame:
            frame = frame[-1]
        self._frames.append(as_picture(frame))


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
