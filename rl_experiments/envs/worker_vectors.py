"""SB3's vector of environments in processes of their own. Importing this module imports torch."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import SubprocVecEnv, subproc_vec_env

from rl_experiments.envs.workers import (
    PATIENCE,
    WorkerError,
    WorkerReports,
    drain,
    end_processes,
    quiet_loops,
    report_failures,
    reporting,
    start_server,
)


class WorkerVecEnv(SubprocVecEnv):
    """
    SB3's vector of environments in processes of their own; a worker that fails says why, and closing always ends.

    :param env_fns: make one environment each
    :raises WorkerError: here and from every method, if a worker failed
    """

    def __init__(self, env_fns: list[Callable[[], gym.Env]]) -> None:
        self._reports = WorkerReports()
        start_server()
        try:
            with quiet_loops(subproc_vec_env):
                super().__init__(
                    [functools.partial(_make, make, self._reports.file(index)) for index, make in enumerate(env_fns)]
                )
        except BaseException as error:
            failure = self._failure() if isinstance(error, (EOFError, ConnectionError)) else error
            self._end(patience=0)
            raise failure from None
        self.remotes = tuple(_Remote(remote, self._failure) for remote in self.remotes)

    def close(self) -> None:
        """End the workers, those that no longer answer too."""
        if self.closed:
            return
        for remote in self.remotes:
            with contextlib.suppress(WorkerError, OSError):
                remote.send(("close", None))
        # A worker that was left in the middle of a step first gets rid of its answer.
        deadline = time.monotonic() + PATIENCE
        drain([remote.fileno() for remote in self.remotes], deadline)
        self._end(max(deadline - time.monotonic(), 1.0))

    def _end(self, patience: float) -> None:
        end_processes(getattr(self, "processes", []), patience)
        for remote in getattr(self, "remotes", ()):
            remote.close()
        self._reports.close()
        self.closed = True

    def _failure(self) -> WorkerError:
        return self._reports.failure(self.processes)


class _Remote:
    """The parent's end of a pipe; a worker that has ended is a :class:`WorkerError`."""

    def __init__(self, connection: Any, failure: Callable[[], WorkerError]) -> None:
        self._connection = connection
        self._failure = failure

    def send(self, message: Any) -> None:
        """Ask the worker for something."""
        with self._translated():
            self._connection.send(message)

    def recv(self) -> Any:
        """Wait for its answer."""
        with self._translated():
            return self._connection.recv()

    def fileno(self) -> int:
        """The pipe's file descriptor."""
        return int(self._connection.fileno())

    def close(self) -> None:
        """Close the pipe."""
        self._connection.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, ConnectionError):
            raise self._failure() from None


def _make(make: Callable[[], gym.Env], file: Path) -> gym.Env:
    """Make one environment in its process, which has NumPy's generator from the process that it was forked from."""
    np.random.seed()
    return report_failures(reporting(file, make), file)
