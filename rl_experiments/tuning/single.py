"""One training of a trial, as a job: an ordinary run, followed by the process that keeps the study."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rl_experiments.core.errors import TrainingError
from rl_experiments.core.isolation import Parent
from rl_experiments.envs.workers import reason_of
from rl_experiments.evaluation import Evaluation
from rl_experiments.runs.folder import CHECKPOINTS
from rl_experiments.training.experiment import run_experiment
from rl_experiments.training.settings import Experiment
from rl_experiments.tuning.attributes import from_json

ALL_EVALUATIONS = "all evaluations of the trial were made"


@dataclass(frozen=True)
class SingleTraining:
    """
    :param experiment: with its seed and the folder of its run
    :param origin: of the hyperparameters
    :param hyperparameters: the sampled ones, as :func:`rl_experiments.tuning.attributes.as_json` writes them
    :param n_evaluations: after which it ends
    """

    experiment: Experiment
    origin: str
    hyperparameters: Mapping[str, Any]
    n_evaluations: int

    def __call__(self, parent: Parent) -> dict[str, Any]:
        """
        :param parent: is asked after each evaluation, with (steps, mean return); answers why to end, or None
        :return: the folder of the run, and the signal that ended it, if any did
        """
        supervisor = _Remote(parent, self.n_evaluations)
        trial = (self.origin, from_json(self.hyperparameters))
        try:
            result = run_experiment(self.experiment, trial, supervisor)
        except TrainingError as error:
            # What is wrong, without what one could do about this one run: that is in its log.
            raise TrainingError(reason_of(error.__cause__ or error)) from error
        if result.signal is None and supervisor.count == 0:
            raise TrainingError("it ended before its first evaluation")
        if result.signal is None:
            # Nobody goes on with it, and a hundred replay buffers fill a disk.
            shutil.rmtree(result.run.path / CHECKPOINTS, ignore_errors=True)
        return {"run": str(result.run.path), "signal": result.signal}


class _Remote:
    """The supervisor of a training in another process."""

    def __init__(self, parent: Parent, n_evaluations: int) -> None:
        self.n_evaluations = n_evaluations
        self.count = 0
        self._parent = parent

    def progress(self, steps: int) -> None:
        """Tell how far it is."""
        self._parent(steps)

    def evaluated(self, steps: int, evaluation: Evaluation) -> str | None:
        """:return: why the training ends now; after the last evaluation there is nothing to prune"""
        mean = float(evaluation.returns.mean())
        if not math.isfinite(mean):
            raise TrainingError(f"the mean return is {'NaN' if math.isnan(mean) else 'infinite'}")
        self.count += 1
        answer: str | None = self._parent.ask((steps, mean))
        return answer or (ALL_EVALUATIONS if self.count >= self.n_evaluations else None)
