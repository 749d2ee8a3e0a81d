"""
Trials that are said to run, but whose process is gone: found on every storage, failed, and tried again.

Optuna's own heartbeats are for databases and for ``study.optimize``; ours are attributes, which every storage has.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Collection
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from rl_experiments.core.processes import start_of, still_runs
from rl_experiments.tuning.attributes import FAILURE, HEARTBEAT, PROCESS, RETRIES, RETRY_OF, SEEDS

BETWEEN_HEARTBEATS = 30.0
"""Seconds."""
_LONGEST_SILENCE = 180.0
"""Seconds without a heartbeat, by the clock of who looks, after which a trial elsewhere counts as lost."""
_LONGEST_AGE = 900.0
"""Seconds since the last heartbeat, as the clocks of two machines see them, after which it counts as lost at once."""
MOST_RETRIES = 2
LOST = "the process that ran it is gone"


def this_process() -> dict[str, Any]:
    """:return: what tells this process from all others"""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": start_of(os.getpid())}


def try_again(study: optuna.Study, number: int) -> None:
    """Let a trial that was lost be made once more, with the same hyperparameters and seeds, but not for ever."""
    trial = study.get_trials(deepcopy=False)[number]
    retries = int(trial.user_attrs.get(RETRIES, 0)) + 1
    if not trial.params or retries > MOST_RETRIES:
        return
    kept = {SEEDS: trial.user_attrs[SEEDS]} if SEEDS in trial.user_attrs else {}
    study.enqueue_trial(trial.params, user_attrs={RETRY_OF: number, RETRIES: retries, **kept})


class Repairs:
    """
    Looks after the trials of other processes.

    :param study: Optuna's
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._heard: dict[int, tuple[Any, float]] = {}

    def at_the_beginning(self) -> list[int]:
        """
        Close what is known to be lost, without waiting for a heartbeat.

        :return: the numbers of these trials
        """
        return self.meanwhile(())

    def meanwhile(self, own: Collection[int]) -> list[int]:
        """
        Close what is lost by now.

        :param own: trials of this process
        :return: the numbers of those that were closed
        """
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        lost = [trial for trial in running if trial.number not in own and self._is_lost(trial)]
        return [trial.number for trial in lost if self._close(trial)]

    def _is_lost(self, trial: FrozenTrial) -> bool:
        process = trial.user_attrs.get(PROCESS)
        if not isinstance(process, dict) or HEARTBEAT not in trial.user_attrs:
            return self._is_old_and_nameless(trial)
        if process.get("host") == socket.gethostname():
            runs = still_runs(int(process.get("pid") or 0), process.get("started"))
            if runs is not None:
                return not runs
        return self._is_silent(trial)

    def _is_silent(self, trial: FrozenTrial) -> bool:
        """By the time since its heartbeat changed under our eyes; clocks of two machines need not agree."""
        beat, now = trial.user_attrs[HEARTBEAT], time.monotonic()
        if self._heard.get(trial.number, (None, 0.0))[0] != beat:
            self._heard[trial.number] = (beat, now)
        return now - self._heard[trial.number][1] > _LONGEST_SILENCE or time.time() - float(beat) > _LONGEST_AGE

    def _is_old_and_nameless(self, trial: FrozenTrial) -> bool:
        """Its process ended before it gave its name: after the asking, nothing takes so long."""
        if trial.params or trial.user_attrs or trial.datetime_start is None:
            return False  # of another program, which knows its own
        return time.time() - trial.datetime_start.timestamp() > _LONGEST_SILENCE

    def _close(self, trial: FrozenTrial) -> bool:
        try:
            self._study._storage.set_trial_user_attr(trial._trial_id, FAILURE, LOST)
            self._study.tell(trial.number, state=TrialState.FAIL)
        except (ValueError, RuntimeError):  # another process was first, or it ended just now
            return False
        try_again(self._study, trial.number)
        return True
