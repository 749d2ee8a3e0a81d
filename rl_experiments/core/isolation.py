"""
Running a function in a process of its own.

What it calls (an environment, a renderer) may crash or hang: that costs its result, and not the program. The process
is forked, so that it has everything that this one has, environments that a user's script registered included.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, Protocol

from rl_experiments.core.accelerated import is_jax_running
from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.processes import end_with_parent

Beat = Callable[[int], None]
"""Tells that the work goes on, and how far it is."""


class Parent(Protocol):
    """What a function in a process of its own has of the process that started it."""

    def __call__(self, count: int) -> None:
        """Tell that the work goes on, and how far it is."""

    def ask(self, question: Any) -> Any:
        """Tell something that must arrive, and wait for the answer."""


_LONGEST_SILENCE = 0.1
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_PATIENCE_WITH_THE_DEAD = 5.0
_here_is_isolated = False


class IsolatedError(RLExperimentsError):
    """The function raised, crashed or hung; the message says which."""


def can_isolate() -> bool:
    """Whether this process forks safely: on macOS and Windows none does, and none in which JAX has begun to compute."""
    return sys.platform == "linux" and not is_jax_running()


def is_isolated() -> bool:
    """Whether this process runs such a function: its crash takes nothing along."""
    return _here_is_isolated


def run_isolated(
    function: Callable[[Beat], Any],
    deadline: float,
    on_beat: Callable[[int], None] | None = None,
    n_threads: int = 1,
    here: bool = False,
) -> Any:
    """
    Run a function in a forked process and return what it returns; where that is not possible, run it in this one.

    :param function: takes a function to call now and then, with a count of what is done; returns what can be pickled
    :param deadline: seconds without such a call after which it is given up
    :param on_beat: called with each new count, in this process
    :param n_threads: torch's number of threads there. More than one is safe only if this process has never used more
    :param here: run it in this process all the same; what it uses (a GPU) does not survive a fork
    :raises IsolatedError: if it raised anything, crashed or hung
    """
    if here or not can_isolate():
        return _run_here(function, on_beat)
    child = ChildProcess(function, n_threads)
    try:
        while child.receiver.poll(deadline):
            kind, value = child.receiver.recv()
            if kind == "beat" and on_beat is not None:
                on_beat(value)
            elif kind == "result":
                return value
            elif kind == "error":
                raise IsolatedError(value)
        raise IsolatedError(f"nothing happened for {deadline:g} seconds")
    except EOFError:
        raise IsolatedError(child.describe_crash()) from None
    finally:
        child.end()


def be_silent() -> None:
    """Let this process print nothing from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


class ChildProcess:
    """
    A function that runs in a process of its own.

    Its messages come through ``receiver``: pairs of ``beat`` and a count, ``question`` and what is asked, for which
    :meth:`answer` is called, ``result`` and what was returned, or ``error`` and a text; EOFError is a crash.

    :param function: takes its :class:`Parent`. Where the system does not fork safely, it must be possible to pickle it
    :param n_threads: torch's number of threads there
    :param forks: whether it has what this process has; what uses a GPU does not survive that, and starts anew
    """

    def __init__(self, function: Callable[[Parent], Any], n_threads: int = 1, forks: bool = True) -> None:
        context: Any = multiprocessing.get_context("fork" if forks and can_isolate() else "spawn")
        self.receiver, sender = context.Pipe()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
                stream.flush()
        self._process = context.Process(target=_child, args=(function, self.receiver, sender, n_threads))
        try:
            with _no_signals():  # one that came in the middle of the fork would leave a process that nobody ends
                self._process.start()
        except BaseException:
            self.end()
            raise
        finally:
            sender.close()

    @property
    def sentinel(self) -> int:
        """What :func:`multiprocessing.connection.wait` takes to wait for its end."""
        return int(self._process.sentinel)

    def answer(self, value: Any) -> None:
        """Answer a question; one that nobody waits for any more is no error."""
        with contextlib.suppress(OSError):
            self.receiver.send(value)

    def ask_to_stop(self) -> None:
        """Send SIGTERM, which a training ends on with everything saved."""
        if self._process.is_alive():
            self._process.terminate()

    def describe_crash(self) -> str:
        """:return: how it ended, although it did not say so"""
        self._process.join(_PATIENCE_WITH_THE_DEAD)
        return f"its process crashed ({_ending(self._process.exitcode)})"

    def end(self) -> None:
        """End the process and those that it started, such as an encoder."""
        if self._process.pid is not None:
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.join()
        self.receiver.close()


@contextlib.contextmanager
def _no_signals() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def describe_error(error: BaseException) -> str:
    """:return: one line; errors of ours speak for themselves"""
    text = " ".join(str(error).split())[:400]
    if isinstance(error, RLExperimentsError) and text:
        return text
    name = KeyboardInterrupt.__name__ if isinstance(error, KeyboardInterrupt) else type(error).__name__
    return f"{name}: {text}" if text else name


def _run_here(function: Callable[[Beat], Any], on_beat: Callable[[int], None] | None) -> Any:
    try:
        return function(on_beat or (lambda _: None))
    except KeyboardInterrupt:
        raise
    except (Exception, SystemExit) as error:
        raise IsolatedError(describe_error(error)) from error


class _ParentProcess:
    """The child's end of the pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._last = 0.0

    def __call__(self, count: int) -> None:
        now = time.monotonic()
        if now - self._last >= _LONGEST_SILENCE:
            self._last = now
            _send(self._connection, "beat", count)

    def ask(self, question: Any) -> Any:
        _send(self._connection, "question", question)
        return self._connection.recv()


def _child(function: Callable[[Parent], Any], receiver: Connection, sender: Connection, n_threads: int) -> None:
    global _here_is_isolated
    _here_is_isolated = True
    end_with_parent()
    receiver.close()
    if hasattr(os, "setpgid"):
        # A group of its own: Ctrl-C in a terminal is for the parent, and all that starts here ends together.
        os.setpgid(0, 0)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n_threads)
    try:
        result = function(_ParentProcess(sender))
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        _send(sender, "error", describe_error(error))
    else:
        _send(sender, "result", result)


def _send(sender: Connection, kind: str, value: Any) -> None:
    try:
        sender.send((kind, value))
    except (BrokenPipeError, ConnectionError):  # the parent is gone, and nobody wants the result
        os._exit(1)


def _ending(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        try:
            return signal.Signals(-exit_code).name
        except ValueError:
            return f"signal {-exit_code}"
    return f"exit code {exit_code}"
