"""Ending a training before its budget is spent: the goal is reached, nothing gets better, or the time is over."""

from __future__ import annotations

import math
import time

from rl_experiments.algorithms import get_algorithm
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.evaluation import Evaluation
from rl_experiments.training.settings import Experiment


class StoppingRules:
    """
    The first reason to end a training.

    What it remembers are plain attributes, so that a training that goes on later can take them over.

    :param stop_at_reward: an evaluation's mean return that is enough
    :param patience: evaluations in a row without a better mean return
    :param max_minutes: of training, evaluations included
    """

    def __init__(
        self,
        stop_at_reward: float | None = None,
        patience: int | None = None,
        max_minutes: float | None = None,
    ) -> None:
        self.stop_at_reward = stop_at_reward
        self.patience = patience
        self.max_minutes = max_minutes
        self.best_mean_reward = -math.inf
        self.n_without_improvement = 0
        self.seconds_used = 0.0
        self.reason: str | None = None
        self._seen = 0.0

    def limit(self, stop_at_reward: float | None, patience: int | None, max_minutes: float | None) -> None:
        """Set the limits, in place of those that there are."""
        self.stop_at_reward, self.patience, self.max_minutes = stop_at_reward, patience, max_minutes

    @property
    def has_limits(self) -> bool:
        """Whether there is anything to stop for."""
        return any(limit is not None for limit in (self.stop_at_reward, self.patience, self.max_minutes))

    def hear(self, evaluation: Evaluation) -> bool:
        """
        :param evaluation: the newest
        :return: whether to go on
        """
        mean = float(evaluation.returns.mean())
        if mean > self.best_mean_reward:
            self.best_mean_reward = mean
            self.n_without_improvement = 0
        else:
            self.n_without_improvement += 1
        if self.stop_at_reward is not None and mean >= self.stop_at_reward:
            self.reason = f"an evaluation reached {mean:.2f}, and --stop-at-reward is {self.stop_at_reward:g}"
        elif self.patience is not None and self.n_without_improvement >= self.patience:
            self.reason = (
                f"{self.n_without_improvement} evaluations in a row were not better than {self.best_mean_reward:.2f},"
                f" and --patience is {self.patience}"
            )
        return self.reason is None

    def begin(self) -> None:
        """The training begins, or goes on."""
        self.reason = None
        self._seen = time.monotonic()

    def goes_on(self) -> bool:
        """:return: whether to go on, by the time that has passed and by what was heard"""
        seen = time.monotonic()
        self.seconds_used += seen - self._seen
        self._seen = seen
        if self.reason is None and self.max_minutes is not None and self.seconds_used >= 60 * self.max_minutes:
            self.reason = f"training took {self.seconds_used / 60:.2f} minutes, and --max-time is {self.max_minutes:g}"
        return self.reason is None


def check_stopping(experiment: Experiment) -> None:
    """
    :raises ConfigurationError: if a limit is none, or needs evaluations or checkpoints that are never made
    """
    for name in ("patience", "keep_last"):
        value = getattr(experiment, name)
        if value is not None and value < 1:
            raise ConfigurationError(f"{name} must be at least 1, but got {value}")
    if experiment.max_time is not None and not 0 < experiment.max_time < math.inf:
        raise ConfigurationError(f"max_time must be a number of minutes above 0, but got {experiment.max_time}")
    if experiment.stop_at_reward is not None and math.isinf(experiment.stop_at_reward):
        raise ConfigurationError(f"stop_at_reward must be finite, but got {experiment.stop_at_reward}")
    for name in ("stop_at_reward", "patience"):
        if getattr(experiment, name) is not None and experiment.eval_freq <= 0:
            raise ConfigurationError(
                f"{name} looks at evaluations, and eval_freq {experiment.eval_freq} makes none."
                " Expected --eval-freq above 0"
            )
    saves_anyway = get_algorithm(experiment.algo).backend == "brax" and experiment.eval_freq > 0
    if experiment.keep_last is not None and experiment.save_freq <= 0 and not saves_anyway:
        raise ConfigurationError(
            f"keep_last {experiment.keep_last} limits the checkpoints, and save_freq {experiment.save_freq} makes none."
            " Expected --save-freq above 0"
        )


def remarks_on_stopping(experiment: Experiment, n_timesteps: int) -> list[str]:
    """
    :param n_timesteps: steps to train for
    :return: which limits look at evaluations that come too late
    """
    names = [name for name in ("stop_at_reward", "patience") if getattr(experiment, name) is not None]
    if not names or experiment.eval_freq <= n_timesteps:
        return []
    return [
        f"The first evaluation comes after {experiment.eval_freq} steps (--eval-freq), and training is planned for"
        f" {n_timesteps}: {' and '.join(names)} may have nothing to look at"
    ]
