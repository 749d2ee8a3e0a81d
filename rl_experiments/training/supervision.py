"""Somebody who follows a training from outside, and may end it after an evaluation."""

from __future__ import annotations

from typing import Protocol

from rl_experiments.evaluation import Evaluation


class Supervisor(Protocol):
    """Follows a training."""

    @property
    def n_evaluations(self) -> int:
        """So many evaluations are spread evenly over the training."""

    def progress(self, steps: int) -> None:
        """Hear how far it is; called often."""

    def evaluated(self, steps: int, evaluation: Evaluation) -> str | None:
        """:return: why the training ends now, None where it goes on"""
