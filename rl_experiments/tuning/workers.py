"""A study by several processes on one storage, one trial in each at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

import optuna
from optuna.trial import TrialState

from rl_experiments.core.errors import RLExperimentsError, TrainingError
from rl_experiments.training.settings import Experiment
from rl_experiments.tuning.planning import Plan, make_plan
from rl_experiments.tuning.settings import Study
from rl_experiments.tuning.storage import load_study
from rl_experiments.tuning.sweeping import PROCESS, Turn, calmly, process_name, reason_of, sweep

_PATIENCE = 0.2
"""Seconds between two looks at the workers."""
_LONGEST_TURN = 30.0
"""Seconds for which a process may decide on its next trial."""


def sweep_in_processes(plan: Plan, study: optuna.Study, asked_to_stop: Callable[[], bool]) -> None:
    """
    Run trials in ``n_jobs`` processes until there are enough.

    :raises TrainingError: if trials fail in a row, all for the same reason, or the processes end on their own
    :raises KeyboardInterrupt: if it was asked to stop
    """
    context = multiprocessing.get_context("spawn")
    shared = _Shared(context, plan.settings.n_trials)
    workers: list[Any] = []
    try:
        for number in range(plan.n_jobs):
            arguments = (plan.experiment, plan.settings, study.study_name, number, shared)
            workers.append(context.Process(target=_work, args=arguments, name=f"trials-{number}"))
            workers[-1].start()
        _watch(workers, shared, asked_to_stop)
    except KeyboardInterrupt:
        for worker in workers:
            worker.kill()  # asked for the second time
        raise
    finally:
        shared.stop.set()
        for worker in workers:
            worker.join()
        _fail_trials_of_the_dead(study, {process_name(worker.pid) for worker in workers})
    if not shared.errors.empty():
        raise TrainingError(shared.errors.get())
    if asked_to_stop():
        raise KeyboardInterrupt
    codes = [worker.exitcode for worker in workers if worker.exitcode]
    if codes:
        message = f"{len(codes)} of {len(workers)} processes ended on their own (exit code {codes[0]})"
        if len(codes) == len(workers):
            raise TrainingError(message)
        print(f"{message}; what they were training counts as failed", file=sys.stderr, flush=True)


class _Shared:
    """What the processes of a study have in common."""

    def __init__(self, context: Any, n_trials: int) -> None:
        self.lock = context.Lock()
        self.stop = context.Event()
        self.left = context.Value("i", n_trials, lock=False)
        self.errors = context.SimpleQueue()
        self.parent = os.getpid()

    def claim(self) -> bool:
        """Take one of the trials that are left; the lock is held."""
        if self.left.value <= 0:
            return False
        self.left.value -= 1
        return True

    def asked_to_stop(self) -> bool:
        """Whether to end: the parent said so, or is gone."""
        return self.stop.is_set() or os.getppid() != self.parent


def _watch(workers: list[Any], shared: _Shared, asked_to_stop: Callable[[], bool]) -> None:
    """Wait for the workers; one that ends on an error ends the others, one that is killed does not."""
    alive = list(workers)
    while alive:
        wait([worker.sentinel for worker in alive], timeout=_PATIENCE)
        if asked_to_stop() or not shared.errors.empty():
            shared.stop.set()
        if any(worker.exitcode for worker in alive):
            # It may have held the lock, for which the others would wait for ever.
            shared.lock.acquire(timeout=_LONGEST_TURN)
            shared.lock.release()
        alive = [worker for worker in alive if worker.exitcode is None]


def _work(experiment: Experiment, settings: Study, name: str, number: int, shared: _Shared) -> None:
    """The life of a worker."""
    for heard in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, heard):
            signal.signal(getattr(signal, heard), signal.SIG_IGN)  # the parent hears them, and says when to stop
    turn = Turn(shared.lock, shared.claim, shared.asked_to_stop, number)
    try:
        with calmly(experiment):
            sweep(make_plan(experiment, settings), load_study(str(experiment.storage), name), turn)
    except KeyboardInterrupt:
        pass
    except RLExperimentsError as error:
        shared.errors.put(str(error))
    except Exception as error:
        shared.errors.put(reason_of(error))


def _fail_trials_of_the_dead(study: optuna.Study, processes: set[str]) -> None:
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(PROCESS) in processes:
            study.tell(trial.number, state=TrialState.FAIL)
