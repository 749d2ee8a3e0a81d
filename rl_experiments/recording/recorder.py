"""One recorder: a single environment of its own that gives pictures, from the recipe that the agent was trained in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from rl_experiments.algorithms.agent import Agent
from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.files import replacing
from rl_experiments.core.isolation import IsolatedError, run_isolated
from rl_experiments.core.progress import progress_bar
from rl_experiments.envs import EnvironmentRecipe, make_envs
from rl_experiments.envs.registry import find_spec
from rl_experiments.envs.rendering import prepare_offscreen_rendering
from rl_experiments.evaluation.evaluating import recipe_of, seed_everything
from rl_experiments.evaluation.explaining import check_spaces
from rl_experiments.evaluation.playing import Step, play
from rl_experiments.evaluation.statistics import Episode
from rl_experiments.recording.video import FrameWriter, RecordingError, open_writer, playable_path

ATARI_HZ = 60
DEFAULT_FPS = 30.0
FRAME_DEADLINE = 60.0
"""Seconds for the first picture."""


@dataclass(frozen=True)
class Recording:
    """
    A video.

    :param path: the file
    :param n_frames: frames in it; an episode of T steps has T + 1
    :param fps: frames per second
    :param width: in pixels
    :param height: in pixels
    :param complete: whether the last episode ended, and was not cut off at the longest length
    :param episodes: the episodes that ended in it
    """

    path: Path
    n_frames: int
    fps: float
    width: int
    height: int
    complete: bool
    episodes: tuple[Episode, ...] = ()


def record(
    agent: Agent,
    path: str | Path,
    recipe: EnvironmentRecipe | None = None,
    *,
    n_steps: int = 1000,
    across_episodes: bool = False,
    fps: float | None = None,
    seed: int = 0,
    deterministic: bool | None = None,
    show_progress: bool = False,
    on_progress: Callable[[int], bool | None] | None = None,
) -> Recording:
    """
    Record one episode, or some steps, as a video, with ``render_mode="rgb_array"`` whatever the recipe says.

    :param agent: what :func:`rl_experiments.load_agent` returns, or any agent together with a recipe
    :param path: the file, ``.mp4`` or ``.gif``; it appears whole or not at all
    :param n_steps: longest length, in steps of the agent
    :param across_episodes: go on with further episodes until there are ``n_steps`` steps
    :param fps: frames per second; if None, real time
    :param seed: seed of the environment and of sampled actions
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides
    :param on_progress: called after each step with the number of steps; returning False ends the video there
    :raises RecordingError: if the environment gives no pictures, or no encoder works
    :raises ConfigurationError: if the environment is none for this agent
    """
    recipe = recipe_of(agent, recipe)
    if deterministic is None:
        deterministic = not recipe.acts_stochastically
    prepare_offscreen_rendering()
    seed_everything(seed)
    grabber = _Grabber()
    env = make_envs(picture_recipe(recipe), 1, seed, outermost=grabber.wrap)
    try:
        check_spaces(agent, env, recipe.env_id)
        rate = fps if fps is not None else frames_per_second(recipe, env.get_attr("metadata")[0])
        final = playable_path(Path(path))
        with replacing(final) as temporary:
            film = _Film(temporary, rate, grabber, across_episodes)
            try:
                with progress_bar(n_steps, "recording", "step", show_progress) as bar:

                    def write(step: Step) -> bool:
                        bar.update(1)
                        goes_on = film.add(step)
                        wanted = on_progress is None or on_progress(step.number) is not False
                        return goes_on and wanted

                    played = play(agent, env, n_steps=n_steps, deterministic=deterministic, on_step=write)
            finally:
                film.close()
    except (RLExperimentsError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:  # renderers raise anything, assertions included
        raise RecordingError(f"{recipe.env_id} could not be recorded: {type(error).__name__}: {error}") from error
    finally:
        env.close()
    return Recording(final, film.n_frames, rate, film.width, film.height, film.complete, played.episodes)


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
    env = make_envs(picture_recipe(recipe), 1, 0, outermost=_Grabber().wrap)
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


class _Grabber:
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


class _Film:
    """Writes the frames of the steps; the file is opened with the first, when its size is known."""

    def __init__(self, path: Path, fps: float, grabber: _Grabber, across_episodes: bool) -> None:
        self._path = path
        self._fps = fps
        self._grabber = grabber
        self._across_episodes = across_episodes
        self._waiting: list[np.ndarray] = []
        self._writer: FrameWriter | None = None
        self.n_frames = 0
        self.width = self.height = 0
        self.complete = False

    def add(self, step: Step) -> bool:
        """
        Write what was grabbed since the last step.

        :return: whether there is more to film
        """
        frames = self._waiting + self._grabber.take()
        self.complete = bool(step.finished)
        # What follows the end within the same step is the first frame of the next episode, if that is to be seen.
        n_own = (2 if step.number == 1 or self._waiting else 1) if self.complete else len(frames)
        self._waiting = frames[n_own:]
        for frame in frames[:n_own]:
            self._write(frame)
        return self._across_episodes or not self.complete

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _write(self, frame: np.ndarray) -> None:
        if self._writer is None:
            self.height, self.width = frame.shape[:2]
            self._writer = open_writer(self._path, (self.width, self.height), self._fps)
        if frame.shape[:2] != (self.height, self.width):
            raise RecordingError(
                f"pictures changed their size from {self.width}x{self.height} to {frame.shape[1]}x{frame.shape[0]}"
            )
        self._writer.write(frame)
        self.n_frames += 1
