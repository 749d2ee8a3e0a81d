"""What a publishing runs so that neither a signal nor an environment can end it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from rl_experiments.core.interruption import Interruption
from rl_experiments.core.isolation import Beat, IsolatedError, can_isolate, run_isolated
from rl_experiments.core.progress import progress_bar
from rl_experiments.hub.manifest import FAILED, INTERRUPTED
from rl_experiments.runs import LoadedAgent

T = TypeVar("T")
U = TypeVar("U")
INTERRUPTION = "it was interrupted"


class Guard:
    """
    :param agent: what plays
    :param deadline: seconds without progress after which something is given up
    :param n_threads: torch's number of threads in processes of their own
    :param show_progress: draw bars, if the output is a terminal
    """

    def __init__(self, agent: LoadedAgent, deadline: float, n_threads: int, show_progress: bool) -> None:
        self.interruption = Interruption()
        self._on_cpu = _computes_on_cpu(agent)
        self._deadline = deadline
        self._n_threads = n_threads
        self._show_progress = show_progress

    def isolated(
        self, work: Callable[[Beat], T], total: int, description: str, unit: str
    ) -> tuple[T | None, str | None]:
        """:return: what the work returned, or None and why it did not"""
        with progress_bar(total, description, unit, self._show_progress) as bar:

            def advance(count: int) -> None:
                bar.update(count - bar.n)

            try:
                with self.interruption.may_interrupt():
                    return run_isolated(
                        work,
                        self._deadline,
                        advance,
                        n_threads=self._n_threads,
                        here=not self.isolates,
                    ), None
            except KeyboardInterrupt:
                return None, self.reason()
            except IsolatedError as error:
                return None, str(error)

    @property
    def isolates(self) -> bool:
        """Whether environments run in processes of their own."""
        return can_isolate() and self._on_cpu

    def unless_interrupted(self, function: Callable[[], T], otherwise: U) -> T | U:
        """:return: what the function returns, or the other value if a signal comes, or has come"""
        try:
            with self.interruption.may_interrupt():
                return function()
        except KeyboardInterrupt:
            return otherwise

    def reason(self) -> str:
        """:return: what a signal has done to what was under way"""
        return f"{INTERRUPTION} ({self.interruption.name or 'SIGINT'})"

    def failure(self) -> str:
        """:return: the status of a stage that was not done"""
        return FAILED if self.interruption.signal is None else INTERRUPTED


def _computes_on_cpu(agent: LoadedAgent) -> bool:
    device = getattr(getattr(agent.agent, "model", None), "device", None)
    return device is None or getattr(device, "type", "cpu") == "cpu"


def never_raising(say: Callable[[str], None]) -> Callable[[str], None]:
    """:return: the same function, for which a terminal that was closed, or a reader that has gone, is no error"""

    def tell(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            say(text)

    return tell
