"""Signals: before anything was trained they end the command at once, afterwards at the next step."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""What asks a process to stop; Windows has no SIGHUP."""


class Interrupted(KeyboardInterrupt):
    """
    A signal came before anything was trained.

    :param number: the signal's
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"{signal.Signals(number).name}: stopped before training began; nothing is left behind")
        self.number = number


class StopRequest:
    """
    Whether a signal has asked this process to stop.

    :param waits: only remember the signal; otherwise raise :class:`Interrupted` where the program stands. May be
        changed while it listens
    """

    def __init__(self, waits: bool = False) -> None:
        self.waits = waits
        self.signal: int | None = None

    def check(self) -> None:
        """
        :raises Interrupted: if a signal came that was not raised where the program stood
        """
        if self.signal is not None:
            raise Interrupted(self.signal)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let the block run to its end, and raise after it what came meanwhile."""
        before, self.waits = self.waits, True
        try:
            yield
        finally:
            self.waits = before
        self.check()

    @contextmanager
    def listening(self, announce: Callable[[str], None] | None = None) -> Iterator[StopRequest]:
        """
        Catch SIGINT, SIGTERM and SIGHUP while the block runs; the second signal is no longer caught.

        One that is ignored stays ignored.

        Outside the main thread, where Python allows no handlers, nothing is caught.

        :param announce: told that training stops at the next step
        """
        previous: dict[int, Any] = {}

        def handle(number: int, frame: FrameType | None) -> None:
            self.signal = number
            for caught, handler in previous.items():
                signal.signal(caught, handler)
            if not self.waits:
                raise Interrupted(number)
            if announce is not None:
                name = signal.Signals(number).name
                announce(f"{name}: stopping at the next step and saving. Once more stops at once")

        try:
            for name in SIGNALS:
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks for
                    previous[number] = signal.signal(number, handle)
        except ValueError:
            previous.clear()
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def to_stderr(text: str) -> None:
    """Show a line at once."""
    print(text, file=sys.stderr, flush=True)
