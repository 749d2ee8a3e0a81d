"""Training one run of a grid: the command ``train`` in a process of its own, watched from the job that started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.interruption import Interruption
from rl_experiments.core.isolation import Beat
from rl_experiments.core.processes import end_with_parent
from rl_experiments.runs.record import read_record

_BETWEEN_LOOKS = 0.5
"""Seconds."""
_LAST_BYTES = 8192
"""Of a log, in which the reason of an end is looked for."""


class FailedTrainingError(RLExperimentsError):
    """The command ended with an error."""


@dataclass(frozen=True)
class TrainRun:
    """
    The command ``train``; a class, so that it can be pickled.

    :param words: its arguments
    :param log: what it prints
    :param parent: the folder in which it makes its run
    :param num_threads: of numerical libraries too
    """

    words: tuple[str, ...]
    log: Path
    parent: Path
    num_threads: int

    def __call__(self, beat: Beat) -> dict[str, Any]:
        """
        :return: the folder of the run, and how far it is
        :raises FailedTrainingError: if the command fails
        """
        interruption = Interruption()
        with interruption.listening():
            return self._train(beat, interruption)

    def _train(self, beat: Beat, interruption: Interruption) -> dict[str, Any]:
        """A signal is handed on to the command, which saves and ends."""
        process = subprocess.Popen(
            [sys.executable, "-m", "rl_experiments.train", *self.words],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": str(self.num_threads)},
            preexec_fn=end_with_parent if sys.platform == "linux" else None,
        )
        run, asked = None, False
        while True:
            code = _wait(process)
            run = run or find_run_of(self.parent, process.pid)
            record = _record(run)
            beat(int(record.get("steps") or 0))
            if code is not None:
                break
            if interruption.signal is not None and not asked:
                asked = True
                process.terminate()
        if code != 0 and record.get("status") != "interrupted":
            raise FailedTrainingError(str(record.get("reason") or self._reason_of(code)))
        return {"run": None if run is None else str(run), "code": code}

    def _reason_of(self, code: int) -> str:
        if code < 0:
            more = ", as a system does that is out of memory" if -code == signal.SIGKILL else ""
            return f"it was killed by {signal.Signals(-code).name}{more}"
        return last_error(self.log) or f"exit code {code}"


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(_BETWEEN_LOOKS)
    except subprocess.TimeoutExpired:
        return None


def find_run_of(parent: Path, pid: int) -> Path | None:
    """:return: the run in a folder that a process of this machine trains"""
    host = socket.gethostname()
    recent = time.time() - 24 * 3600
    try:
        with os.scandir(parent) as entries:
            folders = [Path(entry.path) for entry in entries if entry.is_dir() and entry.stat().st_mtime > recent]
    except OSError:
        return None
    for folder in folders:
        process = _record(folder).get("process", {})
        if process.get("pid") == pid and process.get("host") == host:
            return folder
    return None


def _record(run: Path | None) -> Mapping[str, Any]:
    try:
        return {} if run is None else read_record(run)
    except RLExperimentsError:
        return {}


def last_error(log: Path) -> str | None:
    """:return: what the command said of why it ended"""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _LAST_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    errors: Sequence[str] = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    return errors[-1] if errors else next((line for line in reversed(lines) if line.strip()), None)
