"""Playing an episode and keeping where the bodies were after its reset and each of its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from rl_experiments.algorithms.agent import Agent
from rl_experiments.core.progress import progress_bar
from rl_experiments.envs import EnvironmentRecipe, make_envs
from rl_experiments.envs.brax.scene import Scene
from rl_experiments.envs.registry import is_brax
from rl_experiments.evaluation.evaluating import recipe_of, seed_everything, without_window
from rl_experiments.evaluation.explaining import check_spaces
from rl_experiments.evaluation.playing import Step, play
from rl_experiments.recording.video import RecordingError

N_STEPS = 1000


@dataclass(frozen=True)
class Replay:
    """
    One episode.

    :param scene: what the bodies look like
    :param poses: position and quaternion of each body, shape (n_steps + 1, n_bodies, 7)
    :param rewards: of the steps, shape (n_steps,)
    :param done: whether the episode ended; if not, it was cut off
    :param label: what it is of: the steps of a checkpoint, or nothing
    """

    scene: Scene
    poses: np.ndarray
    rewards: np.ndarray
    done: bool
    label: str = ""


def require_poses(recipe: EnvironmentRecipe) -> None:
    """:raises RecordingError: if no replays can be made of an environment"""
    if not is_brax(recipe.env_id, recipe.gym_packages):
        raise RecordingError(
            f"A replay in HTML is made of the poses of bodies, which only environments of Brax tell, and"
            f" {recipe.env_id} is none: --format mp4 records pictures"
        )


def play_replay(
    agent: Agent,
    recipe: EnvironmentRecipe | None = None,
    *,
    n_steps: int = N_STEPS,
    seed: int = 0,
    deterministic: bool | None = None,
    label: str = "",
    show_progress: bool = False,
    on_progress: Callable[[int], bool | None] | None = None,
) -> Replay:
    """
    Play one episode; it ends where the environment says so.

    :param agent: what :func:`rl_experiments.load_agent` returns, or any agent together with a recipe
    :param n_steps: longest length
    :param seed: of the environment and of sampled actions
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides
    :param label: what it is of
    :param on_progress: called after each step with the number of steps; returning False ends the episode there
    :raises RecordingError: if the environment does not tell where its bodies are
    """
    recipe = recipe_of(agent, recipe)
    require_poses(recipe)
    if deterministic is None:
        deterministic = not recipe.acts_stochastically
    seed_everything(seed)
    collector = PoseCollector()
    env = make_envs(without_window(recipe), 1, seed, outermost=collector.wrap)
    try:
        check_spaces(agent, env, recipe.env_id)
        with progress_bar(n_steps, "playing", "step", show_progress) as bar:

            def goes_on(step: Step) -> bool:
                bar.update(1)
                wanted = on_progress is None or on_progress(step.number) is not False
                return wanted and not step.dones[0]

            play(agent, env, n_steps=n_steps, deterministic=deterministic, on_step=goes_on)
    finally:
        env.close()
    return collector.replay(label)


class PoseCollector:
    """Keeps the poses of the first episode of an environment that it is put around."""

    def __init__(self) -> None:
        self.scene: Scene | None = None
        self.poses: list[np.ndarray] = []
        self.rewards: list[float] = []
        self.done = False

    def wrap(self, env: gym.Env) -> gym.Env:
        """:return: the environment, watched"""
        return _PosingWrapper(env, self)

    def replay(self, label: str) -> Replay:
        """:return: the episode so far"""
        assert self.scene is not None
        return Replay(self.scene, np.stack(self.poses), np.array(self.rewards, np.float32), self.done, label)


class _PosingWrapper(gym.Wrapper):
    def __init__(self, env: gym.Env, collector: PoseCollector) -> None:
        super().__init__(env)
        self._collector = collector

    def reset(self, **kwargs: Any) -> Any:
        result = self.env.reset(**kwargs)
        collector = self._collector
        if not collector.done:  # the vector of environments begins the next episode by itself
            inner: Any = self.env.unwrapped
            collector.scene = inner.scene()
            collector.poses, collector.rewards = [inner.poses()], []
        return result

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        collector, inner = self._collector, self.env.unwrapped
        if not collector.done:
            collector.poses.append(inner.poses())  # type: ignore[attr-defined]
            collector.rewards.append(float(result[1]))
            collector.done = bool(result[2] or result[3])
        return result
