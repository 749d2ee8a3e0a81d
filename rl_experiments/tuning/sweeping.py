"""The trials of a study: this process asks for them, hears of their evaluations, and says how each ended."""

from __future__ import annotations

import re
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import optuna
import torch
from optuna.trial import TrialState

from rl_experiments.core.errors import TrainingError
from rl_experiments.core.isolation import describe_error
from rl_experiments.launching import Launcher, Outcome, Question
from rl_experiments.training.settings import Experiment
from rl_experiments.tuning.attributes import FAILURE, HEARTBEAT, HYPERPARAMETERS, PROCESS, SEED, SEEDS, as_json
from rl_experiments.tuning.planning import Plan
from rl_experiments.tuning.repairing import BETWEEN_HEARTBEATS, Repairs, this_process, try_again
from rl_experiments.tuning.searching import make_pruner, make_sampler, seed_of
from rl_experiments.tuning.showing import Display
from rl_experiments.tuning.underway import TrialUnderWay

LARGEST_STREAK = 3
"""So many failures in a row with the same message end a study."""
COUNTED = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.PRUNED)
"""Trials that ``--max-total-trials`` counts; failed ones are tried again."""
INTERRUPTED = "interrupted"
_PATIENCE = 0.5
"""Seconds between two looks at what is under way."""
_TIME_TO_SAVE = 20.0
"""Seconds that trainings have to end after they were asked to."""
_NUMBERS = re.compile(r"\d[\d.e+-]*")


class Sweep:
    """
    :param plan: what is to be done
    :param study: Optuna's
    :param launcher: runs the trainings
    :param display: shows them
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
        self._under_way: dict[str, TrialUnderWay] = {}
        self._begun = 0
        self._failures: deque[str | None] = deque(maxlen=LARGEST_STREAK)
        self._repairs = Repairs(study)
        self._heartbeat = time.monotonic()
        settings = plan.settings
        study.pruner = make_pruner(settings.pruner, settings.n_startup_trials, plan.n_evaluations, settings.seeds)
        if settings.sampler == "auto":
            study.sampler = make_sampler(settings.sampler, plan.experiment.seed, settings.n_startup_trials)

    def run(self) -> None:
        """
        Run trials until there are enough.

        :raises TrainingError: if they fail in a row, all for the same reason
        :raises KeyboardInterrupt: if it was asked to stop
        """
        self._repairs.at_the_beginning()
        try:
            while True:
                self._begin_trials()
                if not self._under_way:
                    return
                for event in self._launcher.wait(_PATIENCE):
                    self._take(event)
                self._keep_alive()
                self._display.show(self._study, list(self._under_way.values()), self._launcher.counts)
        except BaseException:
            self._stop()
            raise

    def _begin_trials(self) -> None:
        while self._launcher.has_room:
            if self._asked_to_stop():
                raise KeyboardInterrupt
            trial = self._next_trial()
            if trial is None:
                return
            self._begin(trial)
        if self._asked_to_stop():
            raise KeyboardInterrupt

    def _next_trial(self) -> optuna.Trial | None:
        """Ask the study, unless there are enough trials."""
        settings = self._plan.settings
        if settings.max_total_trials is not None:
            if len(self._study.get_trials(deepcopy=False, states=COUNTED)) >= settings.max_total_trials:
                return None
        elif self._begun >= settings.n_trials:
            return None
        self._begun += 1
        if settings.sampler == "auto":
            return self._study.ask()
        self._study.sampler = optuna.samplers.RandomSampler(seed=0)  # until it is known which trial it is
        number = self._study.ask().number
        # From its number alone: a study that goes on, or that several machines share, samples nothing twice.
        seed = seed_of(self._plan.experiment.seed, number, 0)
        self._study.sampler = make_sampler(settings.sampler, seed, settings.n_startup_trials)
        return optuna.Trial(self._study, self._study.get_trials(deepcopy=False)[number]._trial_id)

    def _begin(self, trial: optuna.Trial) -> None:
        trial.set_user_attr(PROCESS, this_process())
        trial.set_user_attr(HEARTBEAT, time.time())
        try:
            values = self._plan.space.sample(trial, self._plan.context)
            seeds = self._plan.seeds_of(trial.number, trial.user_attrs.get(SEEDS))
            trial.set_user_attr(HYPERPARAMETERS, as_json(values))
            trial.set_user_attr(SEED, seeds[0])
            trial.set_user_attr(SEEDS, list(seeds))
            begun = TrialUnderWay(self._plan, trial, values, seeds, self._plan.folder / f"trial_{trial.number}")
            self._submit(begun)
        except Exception as error:
            self._fail(trial, describe_error(error))

    def _submit(self, begun: TrialUnderWay) -> None:
        job = begun.job()
        self._launcher.submit(job)
        self._under_way[job.name] = begun

    def _take(self, event: Outcome | Question) -> None:
        begun = self._under_way[event.job.name]
        if isinstance(event, Question):
            self._launcher.answer(event.job.name, begun.evaluated(*event.value))
            return
        del self._under_way[event.job.name]
        lost = event.lost or (event.reason is None and event.result["signal"] is not None)
        if lost and begun.may_try_again(event):
            self._display.say(f"Trial {begun.number}: {event.reason or 'its process was stopped'}; it begins again")
            self._submit(begun)
        elif event.reason is not None or lost:
            begun.keep()
            self._fail(begun.trial, event.reason or "its process was stopped from outside")
        elif begun.finished_one(event.result["run"]):
            self._submit(begun)
        else:
            self._finish(begun)

    def _finish(self, begun: TrialUnderWay) -> None:
        begun.keep()
        self._plan.copy_results(begun.number, begun.runs[0])
        if begun.pruned:
            self._study.tell(begun.trial, state=TrialState.PRUNED)
            self._display.ended(f"Trial {begun.number} pruned")
        else:
            self._study.tell(begun.trial, begun.score)
            best = self._study.best_trial
            self._display.ended(
                f"Trial {begun.number}: {begun.score:.2f} (best: {best.value:.2f}, trial {best.number})"
            )
        self._failures.append(None)

    def _fail(self, trial: optuna.Trial, reason: str) -> None:
        trial.set_user_attr(FAILURE, reason)
        self._study.tell(trial, state=TrialState.FAIL)
        self._display.ended(f"Trial {trial.number} failed: {reason}", sys.stderr)
        self._failures.append(_NUMBERS.sub("#", reason))
        if len(self._failures) == LARGEST_STREAK and len(set(self._failures)) == 1:
            raise TrainingError(f"{LARGEST_STREAK} trials in a row failed, the last because of {reason}")

    def _keep_alive(self) -> None:
        """Say that the trials are under way, and look for those of others that no longer are."""
        if time.monotonic() - self._heartbeat < BETWEEN_HEARTBEATS:
            return
        self._heartbeat = time.monotonic()
        for begun in self._under_way.values():
            begun.trial.set_user_attr(HEARTBEAT, time.time())
        self._repairs.meanwhile({begun.number for begun in self._under_way.values()})

    def _stop(self) -> None:
        """End the trainings that are under way; the same command makes their trials once more."""
        for name in self._under_way:
            self._launcher.ask_to_stop(name)
        deadline = time.monotonic() + _TIME_TO_SAVE
        stopping = dict(self._under_way)
        try:
            while stopping and time.monotonic() < deadline:
                for event in self._launcher.wait(_PATIENCE):
                    if isinstance(event, Question):
                        self._launcher.answer(event.job.name, INTERRUPTED)
                        continue
                    begun = stopping.pop(event.job.name)
                    if begun.is_last and event.reason is None and event.result["signal"] is None:
                        del self._under_way[event.job.name]  # it came to its end just now
                        begun.finished_one(event.result["run"])
                        self._finish(begun)
        finally:
            self._launcher.close()
            for begun in self._under_way.values():
                begun.trial.set_user_attr(FAILURE, INTERRUPTED)
                self._study.tell(begun.trial, state=TrialState.FAIL)
                try_again(self._study, begun.number)


@contextmanager
def calmly(experiment: Experiment) -> Iterator[None]:
    """One thread in this process, from which others are forked, and no reports of Optuna's own."""
    threads, verbosity = torch.get_num_threads(), optuna.logging.get_verbosity()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.INFO if experiment.verbose >= 2 else optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        torch.set_num_threads(threads)
        optuna.logging.set_verbosity(verbosity)
