"""What a launcher is given, what it tells, and its face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rl_experiments.core.isolation import Parent

PROCESSES, RAY = LAUNCHERS = ("processes", "ray")


@dataclass(frozen=True)
class Needs:
    """
    :param cpus: cores that a job keeps busy
    :param gpus: GPUs that it uses; a part of one, where several jobs share it
    """

    cpus: float = 1
    gpus: float = 0


@dataclass(frozen=True)
class Job:
    """
    :param name: tells it from the others
    :param work: takes its :class:`~rl_experiments.core.isolation.Parent`, a function to call now and then with a count
        of what is done; returns what JSON can hold
    :param log: a file that gets what the work prints, and where it failed; None leaves its output as it is
    :param needs: what it takes of a machine
    """

    name: str
    work: Callable[[Parent], Any]
    log: Path | None = None
    needs: Needs = field(default=Needs())


@dataclass(frozen=True)
class Outcome:
    """
    How a job ended.

    :param job: what was done
    :param result: what it returned
    :param reason: why there is no result, None where there is one
    :param seconds: how long it took
    :param lost: whether its process ended without a word: it was killed, crashed, or its machine is gone
    """

    job: Job
    result: Any
    reason: str | None
    seconds: float
    lost: bool = False


@dataclass(frozen=True)
class Question:
    """
    A job waits for an answer.

    :param job: that asks
    :param value: what it asks
    """

    job: Job
    value: Any


class Launcher(Protocol):
    """Runs many jobs at once, each in a process of its own, here or elsewhere."""

    @property
    def has_room(self) -> bool:
        """Whether another job would begin at once."""

    @property
    def counts(self) -> dict[str, int]:
        """The jobs that are under way, and what they last said of how far they are."""

    def submit(self, job: Job) -> None:
        """
        Begin a job.

        :raises OSError: if the system starts no further process
        """

    def wait(self, seconds: float) -> list[Outcome | Question]:
        """:return: what happened, at the latest after so many seconds"""

    def answer(self, name: str, value: Any) -> None:
        """Answer the question of a job."""

    def ask_to_stop(self, name: str) -> None:
        """Ask a job to end soon with everything saved, as SIGTERM asks a training."""

    def close(self) -> None:
        """End all that is under way at once."""
