"""A list of jobs, each in a process of its own; one that raises, crashes, hangs or is killed costs no other."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from rl_experiments.core.interruption import Interruption
from rl_experiments.core.isolation import Beat, ChildProcess

_LONGEST_WAIT = 1.0
"""Seconds between two looks at the progress."""


@dataclass(frozen=True)
class Job:
    """
    :param name: tells it from the others
    :param work: takes a function to call now and then, with a count of what is done; returns what JSON can hold
    :param log: a file that gets what the work prints, and where it failed; None leaves its output as it is
    """

    name: str
    work: Callable[[Beat], Any]
    log: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """
    :param job: what was done
    :param result: what it returned
    :param reason: why there is no result, None where there is one
    :param seconds: how long it took
    """

    job: Job
    result: Any
    reason: str | None
    seconds: float


class Pool:
    """
    :param n_workers: jobs at once
    :param n_threads: torch's number of threads in each. More than one is safe only if this process has never used more
    :param silence: seconds without a beat after which a job is given up
    :param limit: seconds after which it is given up in any case
    :param interruption: whose signals end the pool with ``KeyboardInterrupt`` while it waits, and at no other moment
    """

    def __init__(
        self,
        n_workers: int,
        *,
        n_threads: int = 1,
        silence: float = math.inf,
        limit: float = math.inf,
        interruption: Interruption | None = None,
    ) -> None:
        self._n_workers, self._n_threads = n_workers, n_threads
        self._silence, self._limit = silence, limit
        self._interruption = interruption or Interruption()
        self._workers: list[_Worker] = []

    @property
    def counts(self) -> dict[str, int]:
        """The jobs that are under way, and what they last said of how far they are."""
        return {worker.job.name: worker.count for worker in self._workers}

    def run(self, jobs: Iterable[Job], on_wait: Callable[[], None] | None = None) -> Generator[Outcome, None, None]:
        """
        Do the jobs in their order, and yield each when it has ended. Closing the generator ends those under way.

        :param jobs: each is asked for when its turn has come
        :param on_wait: called now and then
        """
        waiting = iter(jobs)
        try:
            while True:
                while len(self._workers) < self._n_workers and (job := next(waiting, None)) is not None:
                    try:
                        self._workers.append(_Worker(job, self._n_threads))
                    except OSError as error:
                        yield Outcome(job, None, f"the system starts no further process ({error.strerror})", 0.0)
                if not self._workers:
                    return
                self._wait()
                for worker in list(self._workers):
                    outcome = worker.listen() or worker.check_time(self._silence, self._limit)
                    if outcome is not None:
                        self._end(worker)
                        yield outcome
                if on_wait is not None:
                    on_wait()
        finally:
            for worker in list(self._workers):
                self._end(worker)

    def _wait(self) -> None:
        now = time.monotonic()
        left = [worker.seconds_left(now, self._silence, self._limit) for worker in self._workers]
        sources = [source for worker in self._workers for source in worker.sources]
        with self._interruption.may_interrupt():
            wait(sources, max(0.0, min([_LONGEST_WAIT, *left])))

    def _end(self, worker: _Worker) -> None:
        worker.process.end()
        self._workers.remove(worker)


class _Worker:
    """A job under way."""

    def __init__(self, job: Job, n_threads: int) -> None:
        self.job = job
        self.count = 0
        self._began = self._heard = time.monotonic()
        self.process = ChildProcess(_Task(job), n_threads)

    @property
    def sources(self) -> list[Any]:
        """What there is to wait for; what a dead process has started can keep its pipe open."""
        return [self.process.receiver, self.process.sentinel]

    def listen(self) -> Outcome | None:
        """:return: how it ended, None where it goes on"""
        has_ended = bool(wait([self.process.sentinel], 0))  # before its last words are read, not after
        try:
            while self.process.receiver.poll():
                kind, value = self.process.receiver.recv()
                self._heard = time.monotonic()
                if kind == "result":
                    return self._outcome(result=json.loads(value))
                if kind == "error":
                    return self._outcome(reason=value)
                self.count = value
        except (EOFError, OSError):
            has_ended = True
        return self._outcome(reason=self.process.describe_crash()) if has_ended else None

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

    def _outcome(self, result: Any = None, reason: str | None = None) -> Outcome:
        return Outcome(self.job, result, reason, time.monotonic() - self._began)


class _Task:
    """What runs in the process; a class, so that it can be pickled where the system does not fork."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, beat: Beat) -> str:
        """:return: the result as JSON"""
        if self._job.log is None:
            return self._work(beat)
        _print_to(self._job.log)
        try:
            return self._work(beat)
        except (Exception, SystemExit):
            traceback.print_exc()
            raise

    def _work(self, beat: Beat) -> str:
        return json.dumps(self._job.work(beat), allow_nan=False)


def _print_to(log: Path) -> None:
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
