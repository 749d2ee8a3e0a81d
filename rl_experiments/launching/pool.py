"""A list of jobs, done one after the other by a launcher: processes of this machine, if nothing else is said."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator

from rl_experiments.core.interruption import Interruption
from rl_experiments.launching.jobs import Job, Launcher, Outcome
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
    :param launcher: takes the place of processes of this machine, and of all that is said of them
    """

    def __init__(
        self,
        n_workers: int,
        *,
        n_threads: int = 1,
        silence: float = math.inf,
        limit: float = math.inf,
        interruption: Interruption | None = None,
        launcher: Launcher | None = None,
    ) -> None:
        self._launcher = launcher or Processes(
            n_workers, n_threads=n_threads, silence=silence, limit=limit, interruption=interruption
        )

    @property
    def counts(self) -> dict[str, int]:
        """The jobs that are under way, and what they last said of how far they are."""
        return self._launcher.counts

    def ask_to_stop(self) -> None:
        """Ask all that is under way to end soon with everything saved."""
        for name in self._launcher.counts:
            self._launcher.ask_to_stop(name)

    def run(
        self,
        jobs: Iterable[Job],
        on_wait: Callable[[], None] | None = None,
        again: Callable[[Outcome], Job | None] | None = None,
    ) -> Generator[Outcome, None, None]:
        """
        Do the jobs in their order, and yield each when it has ended. Closing the generator ends those under way.

        :param jobs: each is asked for when its turn has come; they ask no questions
        :param on_wait: called now and then
        :param again: takes an outcome; returns a job to do in its place, or None where it stands
        """
        waiting, repeated = iter(jobs), deque[Job]()
        try:
            while True:
                while self._launcher.has_room and (job := _next(repeated, waiting)) is not None:
                    try:
                        self._launcher.submit(job)
                    except OSError as error:
                        yield Outcome(job, None, f"the system starts no further process ({error.strerror})", 0.0)
                if not self._launcher.counts and not repeated:
                    return
                for event in self._launcher.wait(_LONGEST_WAIT):
                    if not isinstance(event, Outcome):
                        continue
                    if again is not None and (job := again(event)) is not None:
                        repeated.append(job)
                    else:
                        yield event
                if on_wait is not None:
                    on_wait()
        finally:
            self._launcher.close()


def _next(repeated: deque[Job], waiting: Iterator[Job]) -> Job | None:
    return repeated.popleft() if repeated else next(waiting, None)
