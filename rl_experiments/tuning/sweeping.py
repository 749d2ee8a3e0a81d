"""The trials of a study, one after the other, in one process."""

from __future__ import annotations

import gc
import os
import re
import socket
import sys
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
import torch
from optuna.trial import TrialState

from rl_experiments.core.errors import RLExperimentsError, TrainingError
from rl_experiments.training.settings import Experiment
from rl_experiments.tuning.planning import Plan
from rl_experiments.tuning.searching import make_pruner, make_sampler, seed_of
from rl_experiments.tuning.trials import FAILURE, run_trial

LARGEST_STREAK = 3
"""So many failures in a row with the same message end a study."""
COUNTED = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.PRUNED)
"""Trials that ``--max-total-trials`` counts; failed ones are tried again."""
PROCESS = "process"
"""User attribute of a trial: which process runs it."""
_NUMBERS = re.compile(r"\d[\d.e+-]*")


@dataclass(frozen=True)
class Turn:
    """
    The right of a process to begin trials.

    :param lock: held while it is decided whether there is another trial, and which
    :param claim: takes one of this sweep's trials; False when none is left
    :param asked_to_stop: whether to end now
    :param worker: number of the process
    """

    lock: AbstractContextManager[Any]
    claim: Callable[[], bool]
    asked_to_stop: Callable[[], bool]
    worker: int = 0


def sweep(plan: Plan, study: optuna.Study, turn: Turn) -> None:
    """
    Run trials until there are enough.

    :raises TrainingError: if they fail in a row, all for the same reason
    :raises KeyboardInterrupt: if it was asked to stop
    """
    settings = plan.settings
    study.pruner = make_pruner(settings.pruner, settings.n_startup_trials, plan.n_evaluations)
    if settings.sampler == "auto":
        study.sampler = make_sampler(settings.sampler, plan.experiment.seed, settings.n_startup_trials)
    failures: deque[str | None] = deque(maxlen=LARGEST_STREAK)
    while (trial := _next_trial(plan, study, turn)) is not None:
        reason = _run(plan, study, trial, turn)
        failures.append(reason and _NUMBERS.sub("#", reason))
        gc.collect()  # models and callbacks refer to each other
        if len(failures) == LARGEST_STREAK and None not in failures and len(set(failures)) == 1:
            raise TrainingError(f"{LARGEST_STREAK} trials in a row failed, the last because of {reason}")


@contextmanager
def calmly(experiment: Experiment) -> Iterator[None]:
    """One thread for each trial, unless the user said how many, and no reports of Optuna's own."""
    threads, verbosity = torch.get_num_threads(), optuna.logging.get_verbosity()
    given = experiment.num_threads
    torch.set_num_threads(given if isinstance(given, int) and given > 0 else 1)
    optuna.logging.set_verbosity(optuna.logging.INFO if experiment.verbose >= 2 else optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        torch.set_num_threads(threads)
        optuna.logging.set_verbosity(verbosity)


def process_name(number: int) -> str:
    """:return: a name for a process of this machine"""
    return f"{socket.gethostname()}:{number}"


def _next_trial(plan: Plan, study: optuna.Study, turn: Turn) -> optuna.Trial | None:
    """Ask the study, unless there are enough trials."""
    if turn.asked_to_stop():
        raise KeyboardInterrupt
    settings = plan.settings
    with turn.lock:
        if settings.max_total_trials is not None:
            counted = study.get_trials(deepcopy=False, states=COUNTED)
            if len(counted) >= settings.max_total_trials:
                return None
        elif not turn.claim():
            return None
        if settings.sampler != "auto":
            # Anew for each trial: a study that goes on samples what it would have sampled without the interruption.
            seed = seed_of(plan.experiment.seed, len(study.get_trials(deepcopy=False)), turn.worker)
            study.sampler = make_sampler(settings.sampler, seed, settings.n_startup_trials)
        trial = study.ask()
    trial.set_user_attr(PROCESS, process_name(os.getpid()))
    return trial


def _run(plan: Plan, study: optuna.Study, trial: optuna.Trial, turn: Turn) -> str | None:
    """:return: why it failed, None if it did not"""
    try:
        score = run_trial(plan, trial, turn.asked_to_stop)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
        _say(plan, f"Trial {trial.number} pruned")
    except KeyboardInterrupt:
        _fail(study, trial, "interrupted")
        raise
    except Exception as error:
        reason = reason_of(error)
        _fail(study, trial, reason)
        if plan.experiment.verbose >= 2:
            traceback.print_exc()
        print(f"Trial {trial.number} failed: {reason}", file=sys.stderr, flush=True)
        return reason
    else:
        study.tell(trial, score)
        best = study.best_trial
        _say(plan, f"Trial {trial.number}: {score:.2f} (best: {best.value:.2f}, trial {best.number})")
    return None


def reason_of(error: BaseException) -> str:
    """:return: what is kept of an error: its kind, and the first lines of what it says"""
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, RLExperimentsError) else f"{type(error).__name__}: {text}"


def _fail(study: optuna.Study, trial: optuna.Trial, reason: str) -> None:
    trial.set_user_attr(FAILURE, reason)
    study.tell(trial, state=TrialState.FAIL)


def _say(plan: Plan, text: str) -> None:
    if plan.experiment.verbose > 0:
        print(text, flush=True)
