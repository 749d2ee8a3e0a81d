"""Jobs in processes of this machine; one that raises, crashes, hangs or is killed costs no other."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import math
import os
import sys
import time
import traceback
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from rl_experiments.core.interruption import Interruption
from rl_experiments.core.isolation import ChildProcess, Parent
from rl_experiments.launching.jobs import Job, Outcome, Question


class Processes:
    """
    A :class:`~rl_experiments.launching.jobs.Launcher`.

    :param capacity: jobs at once
    :param n_threads: torch's number of threads in each. More than one is safe only if this process has never used more
    :param silence: seconds without a word after which a job is given up
    :param limit: seconds after which it is given up in any case
    :param interruption: whose signals end :meth:`wait` with ``KeyboardInterrupt``, and nothing else
    :param forks: whether jobs begin with all that this process has; what uses a GPU does not survive that
    """

    def __init__(
        self,
        capacity: int,
        *,
        n_threads: int = 1,
        silence: float = math.inf,
        limit: float = math.inf,
        interruption: Interruption | None = None,
        forks: bool = True,
    ) -> None:
        self._capacity, self._n_threads, self._forks = capacity, n_threads, forks
        self._silence, self._limit = silence, limit
        self._interruption = interruption or Interruption()
        self._workers: dict[str, _Worker] = {}

    @property
    def has_room(self) -> bool:
        """Whether another job would begin at once."""
        return len(self._workers) < self._capacity

    @property
    def counts(self) -> dict[str, int]:
        """The jobs that are under way, and what they last said of how far they are."""
        return {name: worker.count for name, worker in self._workers.items()}

    def submit(self, job: Job) -> None:
        """
        Begin a job.

        :raises OSError: if the system starts no further process
        """
        self._workers[job.name] = _Worker(job, self._n_threads, self._forks)

    def wait(self, seconds: float) -> list[Outcome | Question]:
        """:return: what happened, at the latest after so many seconds; at once where nothing is under way"""
        if not self._workers:
            return []
        now = time.monotonic()
        left = [worker.seconds_left(now, self._silence, self._limit) for worker in self._workers.values()]
        sources = [source for worker in self._workers.values() for source in worker.sources]
        with self._interruption.may_interrupt():
            wait(sources, max(0.0, min([seconds, *left])))
        events: list[Outcome | Question] = []
        for worker in list(self._workers.values()):
            heard = worker.listen() or worker.check_time(self._silence, self._limit)
            if isinstance(heard, Outcome):
                self._end(worker)
            if heard is not None:
                events.append(heard)
        return events

    def answer(self, name: str, value: Any) -> None:
        """Answer the question of a job."""
        if name in self._workers:
            self._workers[name].process.answer(value)

    def ask_to_stop(self, name: str) -> None:
        """Send SIGTERM to a job's process."""
        if name in self._workers:
            self._workers[name].process.ask_to_stop()

    def close(self) -> None:
        """End all that is under way at once."""
        for worker in list(self._workers.values()):
            self._end(worker)

    def _end(self, worker: _Worker) -> None:
        worker.process.end()
        del self._workers[worker.job.name]


class _Worker:
    """A job under way."""

    def __init__(self, job: Job, n_threads: int, forks: bool) -> None:
        self.job = job
        self.count = 0
        self._began = self._heard = time.monotonic()
        self.process = ChildProcess(_Task(job), n_threads, forks)

    @property
    def sources(self) -> list[Any]:
        """What there is to wait for; what a dead process has started can keep its pipe open."""
        return [self.process.receiver, self.process.sentinel]

    def listen(self) -> Outcome | Question | None:
        """:return: how it ended or what it asks, None where it goes on"""
        has_ended = bool(wait([self.process.sentinel], 0))  # before its last words are read, not after
        try:
            while self.process.receiver.poll():
                kind, value = self.process.receiver.recv()
                self._heard = time.monotonic()
                if kind == "question":
                    return Question(self.job, value)
                if kind == "result":
                    return self._outcome(result=json.loads(value))
                if kind == "error":
                    return self._outcome(reason=value)
                self.count = value
        except (EOFError, OSError):
            has_ended = True
        return self._outcome(reason=self.process.describe_crash(), lost=True) if has_ended else None

    def check_time(self, silence: float, limit: float) -> Outcome | None:
        """:return: that it is given up, None where it has time left"""
        now = time.monotonic()
        if self.seconds_left(now, silence, limit) > 0:
            return None
        if now - self._began >= limit:
            return self._outcome(reason=f"it was not done after {limit:g} seconds")
        return self._outcome(reason=f"nothing happened for {silence:g} seconds")

    def seconds_left(self, now: float, silence: float, limit: float) -> float:
        """:return: until it is given up, if it says nothing more"""
        return min(self._heard + silence, self._began + limit) - now

    def _outcome(self, result: Any = None, reason: str | None = None, lost: bool = False) -> Outcome:
        return Outcome(self.job, result, reason, time.monotonic() - self._began, lost)


class _Task:
    """What runs in the process; a class, so that it can be pickled where the system does not fork."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, parent: Parent) -> str:
        """:return: the result as JSON"""
        if self._job.log is None:
            return self._work(parent)
        print_to(self._job.log)
        try:
            return self._work(parent)
        except (Exception, SystemExit):
            traceback.print_exc()
            raise

    def _work(self, parent: Parent) -> str:
        return json.dumps(self._job.work(parent), allow_nan=False)


def print_to(log: Path) -> None:
    """Let this process, its libraries in C too, print to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)
    # Those of a notebook, or of whatever this process was forked from, may lead elsewhere.
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        faulthandler.enable(2)
