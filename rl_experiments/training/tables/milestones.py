"""The evaluations of a table that somebody follows: evenly over a training whose length in steps is not known."""

from __future__ import annotations

from rl_experiments.algorithms.tabular.algorithm import Budget
from rl_experiments.evaluation import Evaluation
from rl_experiments.training.supervision import Supervisor

_MOMENTS = 50
"""Between two evaluations, so often is looked how far the training is."""


class Milestones:
    """
    :param supervisor: hears of them
    :param budget: of the training
    :param n_timesteps: steps that it has at most
    """

    def __init__(self, supervisor: Supervisor, budget: Budget, n_timesteps: int) -> None:
        self.reason: str | None = None
        self.moment = max(n_timesteps // (supervisor.n_evaluations * _MOMENTS), 1)
        self._supervisor, self._budget = supervisor, budget
        self._reached = 0

    def is_due(self, episode: int, steps: int) -> bool:
        """Whether one was passed since the last time."""
        self._supervisor.progress(steps)
        reached = int(self._budget.progress(episode, steps) * self._supervisor.n_evaluations)
        is_due, self._reached = reached > self._reached, reached
        return is_due

    def hear(self, steps: int, evaluation: Evaluation) -> None:
        """Tell the supervisor; :attr:`reason` then says whether the training ends."""
        self.reason = self._supervisor.evaluated(steps, evaluation)
