"""A trial under way: its trainings one after the other, what they reached, and whether they are worth going on with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna

from rl_experiments.launching import Job, Outcome
from rl_experiments.tuning.attributes import CURVES, RUNS, SCORES, SECONDS, as_json
from rl_experiments.tuning.objectives import Curve, median_of, score_of
from rl_experiments.tuning.planning import Plan
from rl_experiments.tuning.single import SingleTraining

PRUNED = "pruned: it was worse than other trials at this point"
MOST_ATTEMPTS = 2
"""So often a training begins whose process is lost."""


def make_job(plan: Plan, name: str, folder: Path, values: Mapping[str, Any], seed: int, origin: str, log: str) -> Job:
    """
    :param folder: of the runs
    :param values: sampled hyperparameters
    :param origin: where these come from
    :param log: name of the file that gets what the training prints
    :return: one training
    """
    experiment = replace(plan.experiment, seed=seed, log_folder=str(folder), num_threads=plan.n_threads, progress=False)
    work = SingleTraining(experiment, origin, as_json(values), plan.n_evaluations)
    return Job(name, work, folder / log, plan.needs)


class TrialUnderWay:
    """
    :param plan: of the study
    :param trial: that was asked for
    :param values: that were sampled
    :param seeds: one for each training
    :param folder: of its runs
    """

    def __init__(
        self, plan: Plan, trial: optuna.Trial, values: Mapping[str, Any], seeds: tuple[int, ...], folder: Path
    ) -> None:
        self.trial, self.seeds = trial, seeds
        self.curves: dict[int, Curve] = {}
        self.scores: list[float] = []
        self.runs: list[str] = []
        self.pruned = False
        self._plan, self._values, self._folder = plan, values, folder
        self._attempts = 1
        self._began = time.monotonic()

    @property
    def number(self) -> int:
        """The trial's."""
        return int(self.trial.number)

    @property
    def seed(self) -> int:
        """Of the training that is under way."""
        return self.seeds[len(self.scores)]

    @property
    def job_name(self) -> str:
        """Of the training that is under way."""
        return f"trial {self.number}, seed {self.seed}" + (f", attempt {self._attempts}" if self._attempts > 1 else "")

    @property
    def is_last(self) -> bool:
        """Whether the training under way is the last one."""
        return len(self.scores) + 1 == len(self.seeds)

    @property
    def last_mean(self) -> float | None:
        """The newest evaluation."""
        curve = self.curves.get(self.seed) if len(self.scores) < len(self.seeds) else None
        return curve[-1][1] if curve else None

    @property
    def score(self) -> float:
        """The median over the seeds that are done."""
        return median_of(self.scores)

    def job(self) -> Job:
        """:return: the training that is to be made now"""
        self.curves[self.seed] = []
        again = f"_attempt_{self._attempts}" if self._attempts > 1 else ""
        origin = f"trial {self.number} of {self._plan.study_name}"
        log = f"seed_{self.seed}{again}.log"
        return make_job(self._plan, self.job_name, self._folder, self._values, self.seed, origin, log)

    def evaluated(self, steps: int, mean: float) -> str | None:
        """:return: why the training under way ends now, None where it goes on"""
        curve = self.curves[self.seed]
        curve.append((steps, mean))
        if self._plan.compares_seeds:
            return None
        so_far = score_of(self._plan.settings.objective, curve)
        place = len(self.scores) * self._plan.n_evaluations + len(curve)
        self.trial.report(median_of([*self.scores, so_far]), place)
        if place >= len(self.seeds) * self._plan.n_evaluations:
            return None  # nothing is left to save
        self.pruned = self.trial.should_prune()
        return PRUNED if self.pruned else None

    def finished_one(self, run: str) -> bool:
        """
        Take the end of a training.

        :return: whether there is another one to make
        """
        self.runs.append(run)
        self.scores.append(score_of(self._plan.settings.objective, self.curves[self.seed]))
        self._attempts = 1
        left = len(self.seeds) > len(self.scores)
        if self._plan.compares_seeds:
            self.trial.report(self.scores[-1], len(self.scores))
            self.pruned = left and self.trial.should_prune()
        return left and not self.pruned

    def may_try_again(self, outcome: Outcome) -> bool:
        """Whether the training that was lost is made once more; what it reached counts for nothing."""
        if self._attempts >= MOST_ATTEMPTS:
            return False
        self._attempts += 1
        return True

    def keep(self) -> None:
        """Write what it reached into the study."""
        self.trial.set_user_attr(CURVES, {str(seed): curve for seed, curve in self.curves.items() if curve})
        self.trial.set_user_attr(SCORES, self.scores)
        self.trial.set_user_attr(RUNS, self.runs)
        self.trial.set_user_attr(SECONDS, round(time.monotonic() - self._began, 3))
