"""An agent: something that acts, with one face for every backend."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

Observation = np.ndarray | dict[str, np.ndarray]
State = tuple[np.ndarray, ...] | None


class Agent(Protocol):
    """
    What evaluation, recording and publishing need of a trained model.

    Every array has the number of environments as its first dimension.
    """

    @property
    def algorithm(self) -> str:
        """Name in the registry."""
        ...

    @property
    def uses_action_masks(self) -> bool:
        """Whether ``predict`` takes masks of the actions that are allowed."""
        ...

    def predict(
        self,
        observation: Observation,
        state: State = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, State]:
        """
        :param observation: shape (n_envs, *observation shape), or a dictionary of these
        :param state: what the last call returned, None at the beginning
        :param episode_start: shape (n_envs,), True where an episode begins
        :param deterministic: take the most probable action instead of a sample
        :param action_masks: shape (n_envs, number of actions), True where allowed; only for algorithms that mask
        :return: actions, shape (n_envs, *action shape), and the next state
        """
        ...

    @property
    def observation_space(self) -> Any:
        """The space that the agent was trained on, after all wrappers."""
        ...

    @property
    def action_space(self) -> Any:
        """The space of its actions."""
        ...
