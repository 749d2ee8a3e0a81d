"""What tells a supervisor of an SB3 model's training."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from rl_experiments.evaluation import Evaluation
from rl_experiments.training.early_stopping_callback import StoppedEarly
from rl_experiments.training.periodic_evaluation import PeriodicEvaluation
from rl_experiments.training.supervision import Supervisor


class Supervision(BaseCallback):
    """
    Tells a supervisor what happens.

    :param supervisor: is told
    :param evaluation: evaluates; called before this
    :param by_raising: the algorithm ignores what callbacks return (ARS): :class:`StoppedEarly` is raised in it
    """

    def __init__(self, supervisor: Supervisor, evaluation: PeriodicEvaluation, by_raising: bool) -> None:
        super().__init__()
        self.supervisor = supervisor
        self.evaluation = evaluation
        self.by_raising = by_raising
        self.reason: str | None = None
        self._seen: Evaluation | None = None

    def _on_step(self) -> bool:
        self.supervisor.progress(self.num_timesteps)
        newest = self.evaluation.last
        if newest is not None and newest is not self._seen:
            self._seen = newest
            self.reason = self.supervisor.evaluated(self.num_timesteps, newest)
        if self.reason is not None and self.by_raising:
            raise StoppedEarly
        return self.reason is None
