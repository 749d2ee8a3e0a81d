"""An SB3 model as an agent."""

from __future__ import annotations

from typing import Any

import numpy as np

from rl_experiments.algorithms.agent import Observation, State
from rl_experiments.algorithms.registry import Algorithm


class SB3Agent:
    """
    :param model: any model of stable-baselines3 or sb3-contrib
    :param algorithm: its entry in the registry
    """

    def __init__(self, model: Any, algorithm: Algorithm) -> None:
        self.model = model
        self.algorithm = algorithm.name
        self.backend = algorithm.backend
        self.uses_action_masks = algorithm.masked

    def predict(
        self,
        observation: Observation,
        state: State = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, State]:
        """See :class:`rl_experiments.algorithms.agent.Agent`."""
        masks = {"action_masks": action_masks} if self.uses_action_masks and action_masks is not None else {}
        action, state = self.model.predict(
            observation, state=state, episode_start=episode_start, deterministic=deterministic, **masks
        )
        return action, state

    @property
    def observation_space(self) -> Any:
        """The space that the model was trained on."""
        return self.model.observation_space

    @property
    def action_space(self) -> Any:
        """The space of its actions."""
        return self.model.action_space
