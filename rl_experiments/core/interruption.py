"""SIGINT, SIGTERM and SIGHUP as something that a command can finish on, instead of being ended by it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from rl_experiments.core.errors import Terminated

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_MOMENT = 10.0
_PATIENCE_AFTER_A_SIGNAL = 0.5
_listening: list[Interruption] = []
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def ignore_signals() -> None:
    """For a command that has ended: a signal while Python shuts down would replace its exit code."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """
    Let SIGTERM and SIGHUP end what is inside as Ctrl-C does, in the main thread: Python allows it nowhere else.

    A SIGHUP that is ignored, as nohup asks for, stays ignored.

    :raises Terminated: when one comes
    """

    def end(number: int, frame: FrameType | None) -> None:
        for caught in previous:
            signal.signal(caught, signal.SIG_IGN)
        raise Terminated(number)

    previous: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if number != signal.SIGINT and signal.getsignal(number) != signal.SIG_IGN:
                    previous[number] = signal.signal(number, end)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def wait_for_answer(connection: Connection, patience: float) -> str | None:
    """
    Wait for a process, and give it up soon after a signal that an :class:`Interruption` remembers.

    :param connection: where its answer comes
    :param patience: seconds that it has without a signal
    :return: why it is given up; None if the answer is there
    """
    end, signalled = time.monotonic() + patience, False
    while not connection.poll(max(0.0, min(_PATIENCE_AFTER_A_SIGNAL, end - time.monotonic()))):
        if time.monotonic() >= end:
            return f"nothing happened for {patience:g} seconds"
        name = next((interruption.name for interruption in _listening if interruption.name), None)
        if name is not None and signalled:
            return f"it did not answer when {name} came"
        signalled = name is not None
    return None


class Interruption:
    """
    Remembers a signal, and raises ``KeyboardInterrupt`` for it only in sections that may be left in the middle.

    What follows a signal takes a moment. Another one within that moment is not heard (fingers press Ctrl-C twice, and a
    terminal that closes sends two); a later one raises everywhere.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._came = 0.0
        self._may_raise = False

    @property
    def name(self) -> str | None:
        """The signal's name, if one has come."""
        return None if self.signal is None else signal.Signals(self.signal).name

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the signals while the block runs; outside the main thread, where Python allows none, catch nothing."""
        previous: dict[int, Any] = {}
        try:
            for number in _SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks for
                    previous[number] = signal.signal(number, self._handle)
        except ValueError:
            previous.clear()
        _listening.append(self)
        try:
            yield
        finally:
            _listening.remove(self)
            for number, handler in previous.items():
                signal.signal(number, handler if self.signal is None else self._after_the_moment(handler))

    @contextmanager
    def may_interrupt(self) -> Iterator[None]:
        """
        A section that may be left in the middle.

        :raises KeyboardInterrupt: when a signal comes, or if one has come before
        """
        self._may_raise = True
        try:
            if self.signal is not None:
                raise KeyboardInterrupt
            yield
        finally:
            self._may_raise = False

    @property
    def _in_its_moment(self) -> bool:
        return self.signal is not None and time.monotonic() - self._came < _MOMENT

    def _after_the_moment(self, handler: Any) -> Callable[[int, FrameType | None], None]:
        """:return: what hands over to the handler that was there before, once the moment is over"""

        def handle(number: int, frame: FrameType | None) -> None:
            if not self._in_its_moment:
                signal.signal(number, handler)
                signal.raise_signal(number)

        return handle

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._in_its_moment:
            return
        is_first = self.signal is None
        self.signal, self._came = number, time.monotonic()
        if self._may_raise or not is_first:
            self._may_raise = False
            raise KeyboardInterrupt
