"""What a vector of environments in native code is to us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces


@dataclass
class Batch:
    """
    What one step of all environments gave; arrays with one row for each.

    :param observations: of the next step; those of a new episode where one has ended
    :param rewards: for learning
    :param scores: rewards before any of them was clipped
    :param terminated: episodes, as the learner counts them, that ended in themselves
    :param truncated: those that a limit ended
    :param finished: environments that were reset: a lost life ends an episode for the learner alone
    :param last: the last observations of those that ended, by row
    :param infos: what else each tells
    """

    observations: np.ndarray
    rewards: np.ndarray
    scores: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    finished: np.ndarray
    last: dict[int, np.ndarray]
    infos: list[dict[str, Any]]


class Source(Protocol):
    """
    A vector of environments.

    :param name: for messages
    :param frames: how many steps Monitor would count for one of these
    :param render_mode: of its pictures, or None
    """

    name: str
    num_envs: int
    frames: int
    observation_space: spaces.Space
    action_space: spaces.Space
    render_mode: str | None

    def reset(self, seeds: list[int] | None) -> np.ndarray:
        """Begin an episode in each, with these seeds or as their generators have it."""

    def step(self, actions: np.ndarray) -> Batch:
        """Act in all of them."""

    def render(self) -> list[np.ndarray]:
        """A picture of each."""

    def take(self) -> dict[str, Any] | None:
        """Their state, or None where it cannot be had."""

    def put(self, state: dict[str, Any]) -> None:
        """Set their state."""

    def close(self) -> None:
        """Release them."""
