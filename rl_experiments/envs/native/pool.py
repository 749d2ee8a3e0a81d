"""
EnvPool's environments (extra ``envpool``).

Its own example for SB3 hands out a last observation that the next episode overwrites, and forgets which episodes a time
limit ended; here neither happens. Its environments are written anew: same ids, other random numbers, and for Atari
gray pictures that are the maximum of two gray screens. Their state cannot be saved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.envs.native.sources import Batch


class PoolSource:
    """
    :param task: EnvPool's id
    :param num_envs: number of environments
    :param num_threads: that step them
    :param frames: of one step, as Monitor counts them
    :param clips: whether rewards are clipped to their sign, for the learner
    :param kwargs: further arguments of ``envpool.make``
    """

    render_mode: str | None = None

    def __init__(
        self, task: str, num_envs: int, num_threads: int, *, frames: int = 1, clips: bool = False, **kwargs: Any
    ) -> None:
        self.name, self.num_envs, self.frames = f"EnvPool's {task}", num_envs, frames
        self._task, self._clips, self._kwargs = task, clips, kwargs
        self._threads = min(num_threads, num_envs)
        self._pool = self._make(list(range(num_envs)))
        space = self._pool.observation_space
        if not isinstance(space, (spaces.Box, spaces.Discrete)):
            raise ConfigurationError(f"{self.name} gives observations that are no plain arrays: {space}")
        self._is_picture = isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3
        self.observation_space, self.action_space = self._last_channels(space), self._pool.action_space

    def _make(self, seeds: list[int]) -> Any:
        import envpool

        kwargs = {"num_threads": self._threads, "seed": seeds, **self._kwargs}
        return envpool.make(self._task, env_type="gymnasium", num_envs=self.num_envs, **kwargs)

    def _last_channels(self, space: spaces.Space) -> spaces.Space:
        if not self._is_picture:
            return space
        assert isinstance(space, spaces.Box)
        assert space.shape is not None
        channels, height, width = space.shape
        return spaces.Box(0, 255, (height, width, channels), np.uint8)

    def reset(self, seeds: list[int] | None) -> np.ndarray:
        """Seeds are given to EnvPool only when it is made: with new ones it is made anew."""
        if seeds is not None:
            self._pool.close()
            self._pool = self._make([seed % 2**31 for seed in seeds])
        return self._arranged(self._pool.reset()[0])

    def step(self, actions: np.ndarray) -> Batch:
        """Act in each, and begin the next episode where one ended."""
        dtype = self.action_space.dtype
        given, scores, terminated, truncated, told = self._pool.step(np.asarray(actions, dtype))
        ended = np.asarray(terminated | truncated, bool)
        observations = self._arranged(given)
        last = {int(index): observations[index].copy() for index in np.flatnonzero(ended)}
        infos = [_row(told, index) for index in range(self.num_envs)]
        game_over = told.get("terminated")  # of Atari: whether the game ended, not only a life
        finished = ended if game_over is None else ended & (np.array(game_over, bool) | truncated)
        if last:
            # Not a reset, which would end the whole game: the step after an end begins what comes next.
            rows = np.flatnonzero(ended).astype(np.int32)
            begun, *_, more = self._pool.step(np.zeros_like(actions[rows], dtype), rows)
            observations[np.asarray(more["env_id"])] = self._arranged(begun)
        scores = np.array(scores)
        rewards = np.sign(scores) if self._clips else scores
        return Batch(observations, rewards, scores, np.array(terminated), np.array(truncated), finished, last, infos)

    def _arranged(self, observations: Any) -> np.ndarray:
        """:return: a copy, since EnvPool's arrays are its own memory; pictures have their channels last"""
        return np.array(np.moveaxis(observations, 1, -1) if self._is_picture else observations, order="C")

    def render(self) -> list[np.ndarray]:
        """There are no pictures for people."""
        raise NotImplementedError

    def take(self) -> None:
        """EnvPool gives none of its state."""

    def put(self, state: dict[str, Any]) -> None:
        """There is none to put."""

    def close(self) -> None:
        """Its threads end with it."""
        self._pool.close()


def _row(told: dict[str, Any], index: int) -> dict[str, Any]:
    """:return: what one environment tells; the memory of an Atari console is not needed, and large"""
    skipped = ("ram", "players", "env_id", "reward", "terminated")
    return {name: values[index].copy() for name, values in told.items() if name not in skipped}
