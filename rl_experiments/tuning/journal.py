"""A journal file that a full disk or a killed process does not spoil: each record is in it whole, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from rl_experiments.core.errors import TrainingError

_BLOCK = 4096


class WholeRecords(JournalFileBackend):
    """
    Optuna's journal file, which is also read by any Optuna.

    :param path: of the file
    """

    def __init__(self, path: str) -> None:
        self._path, self._writing = path, JournalFileSymlinkLock(path)
        super().__init__(path, self._writing)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """
        Add records.

        :raises TrainingError: if the disk takes them not; the file is then as before
        """
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        try:
            with self._held(), Path(self._path).open("r+b", buffering=0) as file:
                end = _end_of_records(file)
                try:
                    file.truncate(end)
                    file.seek(end)
                    _write_all(file, text.encode("utf-8"))
                except OSError:
                    file.truncate(end)
                    raise
        except OSError as error:
            raise TrainingError(f"The study cannot be written to {self._path}: {error.strerror or error}") from error

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._writing.acquire()
        try:
            yield
        finally:
            self._writing.release()


def _write_all(file: FileIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]
    os.fsync(file.fileno())


def _end_of_records(file: FileIO) -> int:
    """:return: where the last whole line ends; a process that was killed can leave a part of one behind it"""
    place = file.seek(0, os.SEEK_END)
    while place > 0:
        begin = max(place - _BLOCK, 0)
        file.seek(begin)
        found = file.read(place - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        place = begin
    return 0
