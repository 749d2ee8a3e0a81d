"""Statistics of the returns of played episodes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Episode:
    """
    :param total_reward: sum of the rewards, undiscounted (for Atari the raw score)
    :param length: number of steps (for Atari of emulator frames)
    :param env_index: which environment it was played in
    :param success: what a goal environment says at its end, or None
    :param truncated: whether a time limit ended it
    """

    total_reward: float
    length: int
    env_index: int = 0
    success: bool | None = None
    truncated: bool = False


@dataclass(frozen=True)
class Evaluation:
    """
    Episodes that an agent played.

    :param episodes: those that ended, in the order of their end
    :param unfinished: those that the last step cut off; they count in no mean
    :param deterministic: whether the agent took its most probable actions
    :param n_envs: how many environments were played at once
    :param n_steps: how often all environments were stepped
    :param seed: seed of the first environment, None where it is not known
    """

    episodes: tuple[Episode, ...]
    unfinished: tuple[Episode, ...]
    deterministic: bool
    n_envs: int
    n_steps: int
    seed: int | None = None

    @property
    def returns(self) -> np.ndarray:
        """Return of each episode, shape (n_episodes,)."""
        return np.array([episode.total_reward for episode in self.episodes])

    @property
    def lengths(self) -> np.ndarray:
        """Length of each episode in steps, shape (n_episodes,)."""
        return np.array([episode.length for episode in self.episodes], dtype=int)

    @property
    def mean_reward(self) -> float | None:
        """Mean return, None where no episode ended."""
        return float(self.returns.mean()) if self.episodes else None

    @property
    def std_reward(self) -> float | None:
        """
        Standard deviation of the returns (of the population, as SB3 and the zoo have it), None where no episode ended.
        """
        return float(self.returns.std()) if self.episodes else None

    @property
    def n_not_finite(self) -> int:
        """How many returns are NaN or infinite."""
        return int((~np.isfinite(self.returns)).sum()) if self.episodes else 0

    @property
    def success_rate(self) -> float | None:
        """Share of successful episodes, None where the environment does not say."""
        outcomes = [episode.success for episode in self.episodes if episode.success is not None]
        return float(np.mean(outcomes)) if outcomes else None

    def as_dict(self) -> dict[str, Any]:
        """:return: all of it, ready for JSON, which has no infinite numbers and no NaN: they become null"""
        return _finite(self._as_dict())

    def _as_dict(self) -> dict[str, Any]:
        return {
            "mean_reward": self.mean_reward,
            "std_reward": self.std_reward,
            "n_eval_episodes": len(self.episodes),
            "mean_length": float(self.lengths.mean()) if self.episodes else None,
            "success_rate": self.success_rate,
            "is_deterministic": self.deterministic,
            "n_envs": self.n_envs,
            "n_steps": self.n_steps,
            "seed": self.seed,
            "returns": self.returns.tolist(),
            "lengths": self.lengths.tolist(),
            "unfinished": [{"return": episode.total_reward, "length": episode.length} for episode in self.unfinished],
        }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
