"""A list of jobs, done one after the other by some processes of this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable

from rl_experiments.core.interruption import Interruption
from rl_experiments.launching.jobs import Job, Outcome
from rl_experiments.launching.processes import Processes

_LONGEST_WAIT = 1.0
"""Seconds between two looks at the progress."""


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
        self._launcher = Processes(
            n_workers, n_threads=n_threads, silence=silence, limit=limit, interruption=interruption
        )

    @property
    def counts(self) -> dict[str, int]:
        """The jobs that are under way, and what they last said of how far they are."""
        return self._launcher.counts

    def run(self, jobs: Iterable[Job], on_wait: Callable[[], None] | None = None) -> Generator[Outcome, None, None]:
        """
        Do the jobs in their order, and yield each when it has ended. Closing the generator ends those under way.

        :param jobs: each is asked for when its turn has come; they ask no questions
        :param on_wait: called now and then
        """
        waiting = iter(jobs)
        try:
            while True:
                while self._launcher.has_room and (job := next(waiting, None)) is not None:
                    try:
                        self._launcher.submit(job)
                    except OSError as error:
                        yield Outcome(job, None, f"the system starts no further process ({error.strerror})", 0.0)
                if not self._launcher.counts:
                    return
                for event in self._launcher.wait(_LONGEST_WAIT):
                    if isinstance(event, Outcome):
                        yield event
                if on_wait is not None:
                    on_wait()
        finally:
            self._launcher.close()
