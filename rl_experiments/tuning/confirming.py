"""The best trials, trained again with fresh seeds: a high score may be luck."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from rl_experiments.launching import Job, Launcher, Outcome, Question
from rl_experiments.tuning.attributes import (
    HYPERPARAMETERS,
    confirmations,
    confirmed_scores,
    from_json,
    keep_confirmation,
)
from rl_experiments.tuning.objectives import Curve, median_of, score_of
from rl_experiments.tuning.planning import Plan
from rl_experiments.tuning.showing import Display
from rl_experiments.tuning.underway import MOST_ATTEMPTS, make_job

_PATIENCE = 0.5
_TIME_TO_SAVE = 20.0


def best_trials(study: optuna.Study, most: int | None = None) -> list[FrozenTrial]:
    """:return: those that came to their end, the highest score first"""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(done, key=lambda trial: float(trial.value or 0.0), reverse=True)[:most]


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """:return: the trial that won: the best of those that were confirmed, else the best; None where none finished"""
    confirmed = confirmed_scores(study)
    trials = best_trials(study)
    if confirmed:
        return max(
            (trial for trial in trials if trial.number in confirmed), key=lambda trial: confirmed[trial.number],
            default=None,
        )  # fmt: skip
    return trials[0] if trials else None


class Confirmation:
    """
    :param plan: of the study
    :param study: Optuna's, whose trials are done
    :param launcher: runs the trainings
    :param display: is told
    :param asked_to_stop: whether to end now
    """

    def __init__(
        self,
        plan: Plan,
        study: optuna.Study,
        launcher: Launcher,
        display: Display,
        asked_to_stop: Callable[[], bool],
    ) -> None:
        self._plan, self._study, self._launcher, self._display = plan, study, launcher, display
        self._asked_to_stop = asked_to_stop
        self._trials = {trial.number: trial for trial in best_trials(study, plan.settings.confirm)}
        self._known = {number: self._begun(number) for number in self._trials}
        self._curves: dict[str, Curve] = {}
        self._places: dict[str, tuple[int, int, int]] = {}

    def run(self) -> None:
        """
        Train what is missing.

        :raises KeyboardInterrupt: if it was asked to stop; what is done is kept
        """
        waiting = [(number, seed, 1) for number in self._trials for seed in self._missing(number)]
        if waiting:
            shown = ", ".join(map(str, self._trials))
            self._display.say(f"Confirming with {len(self._plan.fresh_seeds)} fresh seeds each: trials {shown}")
        try:
            while waiting or self._places:
                if self._asked_to_stop():
                    raise KeyboardInterrupt
                while waiting and self._launcher.has_room:
                    self._submit(*waiting.pop(0))
                for event in self._launcher.wait(_PATIENCE):
                    if isinstance(event, Question):
                        self._curves[event.job.name].append(event.value)
                        self._launcher.answer(event.job.name, None)
                    else:
                        waiting += self._take(event)
        finally:
            self._launcher.close()

    def _begun(self, number: int) -> dict[str, Any]:
        return confirmations(self._study).get(number) or {"scores": {}, "runs": {}}

    def _missing(self, number: int) -> list[int]:
        known = self._known[number]
        if "failure" in known:
            return []
        return [seed for seed in self._plan.fresh_seeds if str(seed) not in known["scores"]]

    def _submit(self, number: int, seed: int, attempt: int) -> None:
        job = self._job(number, seed, attempt)
        self._curves[job.name], self._places[job.name] = [], (number, seed, attempt)
        self._launcher.submit(job)

    def _job(self, number: int, seed: int, attempt: int) -> Job:
        values = from_json(self._trials[number].user_attrs[HYPERPARAMETERS])
        again = f"_attempt_{attempt}" if attempt > 1 else ""
        folder = self._plan.folder / f"confirm_{number}"
        name = f"confirming trial {number}, seed {seed}{again}"
        origin = f"trial {number} of {self._plan.study_name}"
        return make_job(self._plan, name, folder, values, seed, origin, f"seed_{seed}{again}.log")

    def _take(self, event: Outcome) -> list[tuple[int, int, int]]:
        """:return: what has to be done again"""
        number, seed, attempt = self._places.pop(event.job.name)
        known, curve = self._known[number], self._curves.pop(event.job.name)
        lost = event.lost or (event.reason is None and event.result["signal"] is not None)
        if lost and attempt < MOST_ATTEMPTS:
            return [(number, seed, attempt + 1)]
        if event.reason is not None or lost:
            known["failure"] = event.reason or "its process was stopped from outside"
            self._display.say(f"Trial {number} cannot be confirmed: {known['failure']}")
        else:
            known["scores"][str(seed)] = score_of(self._plan.settings.objective, curve)
            known["runs"][str(seed)] = event.result["run"]
            self._sum_up(number, known)
        keep_confirmation(self._study, number, known)
        return []

    def _sum_up(self, number: int, known: dict[str, Any]) -> None:
        if self._missing(number):
            return
        scores = [known["scores"][str(seed)] for seed in self._plan.fresh_seeds]
        known["score"] = median_of(scores)
        each = ", ".join(f"{score:.2f}" for score in scores)
        self._display.say(
            f"Trial {number}: {self._trials[number].value:.2f}, confirmed {known['score']:.2f} (seeds: {each})"
        )
