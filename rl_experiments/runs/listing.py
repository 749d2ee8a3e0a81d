"""All runs of a log folder, each by one small file: what it is, how far it came, and whether it still runs."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.processes import still_runs
from rl_experiments.core.suggest import hint
from rl_experiments.runs.record import FAILED, FINISHED, INTERRUPTED, RUNNING, read_record
from rl_experiments.runs.traces import read_traces

PERHAPS_RUNNING, DAMAGED = "running?", "damaged"
STATES = (RUNNING, PERHAPS_RUNNING, FINISHED, INTERRUPTED, FAILED, DAMAGED)
_FOLDER = re.compile(r"(.+)_([1-9]\d*)(?:_.+)?$")
_SILENCE = 3600.0
"""Seconds without a change after which a run of the zoo that has no model is over."""


@dataclass(frozen=True)
class ListedRun:
    """
    A run as a list shows it; what is not known is None.

    :param path: its folder
    :param algorithm: as the folder says
    :param environment: the environment's id
    :param number: of the run, as ``--exp-id`` takes it
    :param state: one of :data:`STATES`; ``running?`` where nobody here can tell
    :param reason: why it failed, stopped or counts as it does
    :param steps: environment steps that were done
    :param n_timesteps: environment steps that were planned
    :param last_mean_reward: of the last evaluation; without any, of the last training episodes where the zoo trained
    :param best_mean_reward: of the best evaluation
    :param started: seconds since 1970
    :param changed: when it was last heard of, in seconds since 1970
    :param host: the machine that it runs on, or ran on
    """

    path: str
    algorithm: str
    environment: str
    number: int
    state: str
    reason: str | None = None
    steps: int | None = None
    n_timesteps: int | None = None
    last_mean_reward: float | None = None
    best_mean_reward: float | None = None
    started: float | None = None
    changed: float = 0.0
    host: str | None = None

    @property
    def environment_name(self) -> str:
        """The environment as in names of folders."""
        match = _FOLDER.match(os.path.basename(self.path))
        return match[1] if match else self.environment

    def age(self, now: float) -> float:
        """
        :param now: seconds since 1970
        :return: seconds since it was last heard of
        """
        return max(now - self.changed, 0.0)

    def as_dict(self, now: float) -> dict[str, Any]:
        """:return: all of it, ready for JSON, with times in ISO 8601"""
        times = {"started": _in_words(self.started), "changed": _in_words(self.changed)}
        return {**asdict(self), **times, "age_seconds": round(self.age(now))}


def all_runs(folder: str | Path, algorithm: str | None = None, name: str | None = None) -> list[ListedRun]:
    """
    :param folder: of all runs, ``<folder>/<algo>/<env>_<n>``
    :param algorithm: only its runs
    :param name: only runs in the environment whose folders have this name
    :return: its runs, those that were heard of last first
    :raises NotFoundError: if there is no such folder
    """
    folder = Path(folder)
    if not folder.is_dir():
        there = [entry.name for entry in _folders(folder.parent)]
        raise NotFoundError(f"There is no log folder {folder}.{hint(folder.name, there)}")
    host, now = socket.gethostname(), time.time()
    runs = []
    for parent in _folders(folder):
        if algorithm is not None and parent.name != algorithm:
            continue
        for entry in _folders(parent):
            match = _FOLDER.match(entry.name)
            if match and name is not None and match[1] != name:
                continue
            run = _listed(entry.path, parent.name, match[1], int(match[2]), host, now) if match else None
            if run is not None:
                runs.append(run)
    return sorted(runs, key=lambda run: (-run.changed, run.algorithm, run.environment, -run.number))


def _folders(folder: str | Path | os.DirEntry[str]) -> Iterator[os.DirEntry[str]]:
    """Those that may not be read, such as ``lost+found``, hold no runs of ours."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if entry.is_dir())
    except OSError:
        return


def _listed(folder: str, algorithm: str, name: str, number: int, host: str, now: float) -> ListedRun | None:
    """:return: the run, None where the folder is none or has gone in the meantime"""
    try:
        record = read_record(folder)
        return (
            _recorded(folder, algorithm, name, number, record, host)
            if record
            else _traced(folder, algorithm, name, number, now)
        )
    except ConfigurationError as error:
        reason = str(error).replace(f"{folder}{os.sep}", "")
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}"
    try:
        changed = os.stat(folder).st_mtime
    except OSError:
        return None
    return ListedRun(folder, algorithm, name, number, DAMAGED, reason, changed=changed)


def _recorded(
    folder: str, algorithm: str, name: str, number: int, record: Mapping[str, Any], host: str
) -> ListedRun | None:
    fields, process, timings = _Fields(record), _Fields(record.get("process", {})), _Fields(record.get("timings", {}))
    status, reason = fields.text("status"), fields.text("reason")
    if status not in (RUNNING, FINISHED, INTERRUPTED, FAILED):
        raise ConfigurationError(f"run.json is damaged: there is no status {status!r:.80}")
    if status == RUNNING:
        status, reason = _seen_from_here(process, host)
        if status == INTERRUPTED and (ended := read_record(folder)) != record:  # at this very moment
            return _recorded(folder, algorithm, name, number, ended, host)
    started = timings.moment("started")
    heard = [moment for key in ("ended", "updated") if (moment := timings.moment(key)) is not None]
    return ListedRun(
        folder,
        algorithm,
        fields.text("environment") or name,
        number,
        status,
        reason,
        fields.whole("steps"),
        fields.whole("n_timesteps"),
        fields.number("last_mean_reward"),
        fields.number("best_mean_reward"),
        started,
        heard[0] if heard else os.stat(folder).st_mtime if started is None else started,
        process.text("host"),
    )


def _seen_from_here(process: _Fields, host: str) -> tuple[str, str | None]:
    """:return: the state of a run that calls itself running, and why it counts as that"""
    there, pid = process.text("host"), process.whole("pid")
    if pid is None or there is None:
        return PERHAPS_RUNNING, "run.json names no process"
    if there != host:
        return PERHAPS_RUNNING, f"on {there}"
    runs = still_runs(pid, process.text("started"))
    if runs is None:
        return PERHAPS_RUNNING, f"process {pid} may be another one"
    return (RUNNING, None) if runs else (INTERRUPTED, f"process {pid} is gone")


def _traced(folder: str, algorithm: str, name: str, number: int, now: float) -> ListedRun | None:
    traces = read_traces(folder, name)
    if not traces.is_run:
        return None
    state, reason = FINISHED, None
    if not traces.finished:
        recent = now - traces.newest < _SILENCE
        state, reason = (PERHAPS_RUNNING, None) if recent else (INTERRUPTED, "there is no model at the end")
    progress = traces.progress
    return ListedRun(
        folder,
        algorithm,
        name,
        number,
        state,
        reason,
        progress.steps,
        last_mean_reward=progress.last,
        best_mean_reward=progress.best,
        changed=traces.newest,
    )


class _Fields:
    """Values of a record, each of the type that it must have, or None where it is missing."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content

    def text(self, key: str) -> str | None:
        value = self._content.get(key)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(key, "a text")

    def whole(self, key: str) -> int | None:
        value = self._content.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise self._wrong(key, "a whole number")

    def number(self, key: str) -> float | None:
        value = self._content.get(key)
        if value is None:
            return None
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self._wrong(key, "a number")
        return value if abs(value) < float("inf") else None

    def moment(self, key: str) -> float | None:
        text = self.text(key)
        if text is None:
            return None
        try:
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError, OSError):
            raise self._wrong(key, "a time in ISO 8601") from None

    def _wrong(self, key: str, expected: str) -> ConfigurationError:
        return ConfigurationError(
            f"run.json is damaged: '{key}' must be {expected}, but got {self._content[key]!r:.80}"
        )


def _in_words(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
