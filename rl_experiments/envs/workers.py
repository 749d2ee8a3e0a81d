"""Environments in processes of their own, whose failures reach this process in words."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import textwrap
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import gymnasium as gym

from rl_experiments.core.errors import RLExperimentsError

PATIENCE = 5.0
"""Seconds that a worker has to end by itself."""
_LONGEST_REASON = 300
"""Characters of an error's text: torch shows whole tensors."""
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


_NO_NUMBERS = ("found invalid values", "probability tensor contains either")
"""What torch says of distributions whose parameters are no numbers, when they are made and when they are drawn from."""


class WorkerError(Exception):
    """A worker process failed; the text is what failed there, as :func:`reason_of` says it."""


def reason_of(error: BaseException) -> str:
    """:return: type and text of an error, in one line; errors of ours explain themselves"""
    text = textwrap.shorten(str(error), _LONGEST_REASON, placeholder=" ...")
    if isinstance(error, (RLExperimentsError, WorkerError)):
        return " ".join(str(error).split())
    if any(part in text for part in _NO_NUMBERS):
        return "the network's outputs are no numbers (NaN)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class WorkerReports:
    """What failed in worker processes: each leaves a file before it ends."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="rl_experiments_workers_"))

    def file(self, index: int) -> Path:
        """:return: the file of one worker"""
        return self._folder / f"{index}.json"

    def failure(self, processes: Sequence[Any]) -> WorkerError:
        """
        :param processes: the workers, of which one no longer answers
        :return: the error that one of them reported, or its exit code
        """
        wait([process.sentinel for process in processes], timeout=PATIENCE)
        for file in sorted(self._folder.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, KeyError):
                report = json.loads(file.read_text(encoding="utf-8"))
                error = WorkerError(report["reason"])
                error.add_note(report["traceback"])
                return error
        codes = [process.exitcode for process in processes if process.exitcode is not None]
        return WorkerError(f"a worker process ended (exit code {codes[0]})" if codes else "a worker process is gone")

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)


def reporting(file: Path, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call a function in a worker process; if it fails, write why, and end the process without a traceback."""
    try:
        return function(*arguments, **named)
    except BaseException as error:
        if not file.exists():
            report = {"reason": reason_of(error), "traceback": f"In the worker process:\n{traceback.format_exc()}"}
            with contextlib.suppress(OSError):
                file.write_text(json.dumps(report), encoding="utf-8")
        raise SystemExit(1) from None


def report_failures(env: gym.Env, file: Path) -> gym.Env:
    """:return: the environment, whose failures :func:`reporting` writes down"""
    find = env.get_wrapper_attr

    def get_wrapper_attr(name: str) -> Any:
        found = find(name)
        return functools.partial(reporting, file, found) if callable(found) else found

    for name in ("reset", "step", "render", "close"):
        setattr(env, name, functools.partial(reporting, file, getattr(env, name)))
    env.get_wrapper_attr = get_wrapper_attr  # type: ignore[method-assign]
    return env


@contextlib.contextmanager
def quiet_loops(module: Any) -> Iterator[None]:
    """
    Workers that are started meanwhile end without a traceback when this process is killed.

    :param module: of a library, whose ``_worker`` is the loop of a worker process
    """
    loop = module._worker
    module._worker = functools.partial(_until_the_parent_is_gone, loop.__module__)
    try:
        yield
    finally:
        module._worker = loop


def _until_the_parent_is_gone(module: str, *arguments: Any) -> None:
    """The environment's own errors, of connections too, are reported before they come here."""
    try:
        importlib.import_module(module)._worker(*arguments)
    except (ConnectionError, EOFError):
        raise SystemExit(1) from None


def drain(pipes: Sequence[int], deadline: float) -> None:
    """
    Read what is still written to pipes, until their other ends are closed.

    :param deadline: when to give up, in the time of ``time.monotonic``
    """
    left = list(pipes)
    while left and (seconds := deadline - time.monotonic()) > 0:
        for pipe in wait(left, seconds):
            try:
                more = bool(os.read(pipe, 1 << 16))  # type: ignore[arg-type]
            except OSError:
                more = False
            if not more:
                left.remove(pipe)  # type: ignore[arg-type]


def end_processes(processes: Sequence[Any], patience: float) -> None:
    """Wait for worker processes to end, and kill those that do not: they leave the signals to this process."""
    deadline = time.monotonic() + patience
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def start_server() -> None:
    """
    Start the process that worker processes are forked from, with the signals blocked that ask a program to stop.

    A terminal and a batch system send them to every process of the program, and a worker that they ended, or that
    printed a traceback before it could ignore them, would spoil what this process does about them. It imports what
    workers need, once for all of them: that takes seconds.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    from multiprocessing import forkserver, resource_tracker

    multiprocessing.set_forkserver_preload(["rl_experiments.envs.making", "rl_experiments.envs.worker_vectors"])
    resource_tracker.ensure_running()  # first, because it unblocks the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        try:
            forkserver.ensure_running()
        except ChildProcessError:
            _forget_the_server_of_the_parent()
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _forget_the_server_of_the_parent() -> None:
    """In a process forked from one that has a server, Python waits for it as if it were a child of this one."""
    from multiprocessing import forkserver

    server: Any = forkserver._forkserver
    os.close(server._forkserver_alive_fd)
    server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None


def leave_signals_to_the_parent() -> None:
    """
    To be called in a worker process. What the environment itself starts gets the signals as usual: handlers are not
    inherited, while blocked or ignored signals are.
    """
    for number in _SIGNALS:
        signal.signal(number, lambda number, frame: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
