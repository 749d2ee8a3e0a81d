"""Training episodes: what the monitors of a run's environments wrote, as one curve."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import open_plain

_LARGEST = 1 << 30
_COLUMNS = ("r", "l", "t")
_REPETITION = 1.5
"""How many times more steps the episodes must have than the training before frames count as skipped."""

_WORDS = {"True": 1.0, "False": 0.0, "": float("nan")}


@dataclass(frozen=True)
class Episodes:
    """
    Episodes of all environments in the order of their end.

    :param returns: of each
    :param lengths: steps of each, as the monitor counts them: for Atari those of the emulator
    :param seconds: when each ended, since the training began
    :param began: when that was, in seconds since 1970; 0 where no monitor tells
    :param successes: share of success of each, where the environment tells
    """

    returns: np.ndarray
    lengths: np.ndarray
    seconds: np.ndarray
    began: float
    successes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.returns)

    def steps(self, total: int | None) -> np.ndarray:
        """
        :param total: environment steps of the whole training, where they are known
        :return: the step of the training at which each ended
        """
        ends = np.cumsum(self.lengths)
        if (
            total and len(ends) and ends[-1] > _REPETITION * total
        ):  # one step of the training is several of the emulator
            return ends * (total / ends[-1])
        return ends


def read_episodes(files: Iterable[Path]) -> Episodes | None:
    """
    :param files: of monitors
    :return: their episodes, None where there is none
    :raises RLExperimentsError: if a file is damaged; a last line that was not written to its end is none
    """
    found = [part for part in map(_read, files) if part is not None and len(part[1])]
    if not found:
        return None
    first = min(start for start, _, _ in found)
    table = np.concatenate([rows + np.array([0.0, 0.0, start - first]) for start, rows, _ in found])
    successes = None
    if all(success is not None for _, _, success in found):
        successes = np.concatenate([success for _, _, success in found if success is not None])
    order = np.argsort(table[:, 2], kind="stable")
    returns, lengths, seconds = table[order].T
    return Episodes(returns, lengths, seconds, first, None if successes is None else successes[order])


def _read(file: Path) -> tuple[float, np.ndarray, np.ndarray | None] | None:
    """:return: when the monitor began, its rows of return, length and seconds, and successes; None for an empty file"""
    with open_plain(file, _LARGEST) as stream:
        content = stream.read()
    if not content:
        return None
    head, _, body = content.partition(b"\n")
    names, _, rows = body.partition(b"\n")
    header = names.decode("utf-8", "replace").strip().split(",")
    if not head.startswith(b"#") or not (set(_COLUMNS) <= set(header) or not names):
        raise ConfigurationError(f"{file} is damaged: it is no log of episodes")
    start = _start(head)
    columns = [header.index(name) for name in _COLUMNS] if names else []
    if "is_success" in header:
        columns.append(header.index("is_success"))
    table = _parse(file, rows[: rows.rfind(b"\n") + 1], header, columns) if names else np.empty((0, 3))
    return start, table[:, :3], table[:, 3] if table.shape[1] > 3 else None


def _start(head: bytes) -> float:
    try:
        return float(json.loads(head[1:]).get("t_start", 0.0))
    except (ValueError, AttributeError, TypeError):
        return 0.0


def _parse(file: Path, rows: bytes, header: list[str], columns: list[int]) -> np.ndarray:
    if not rows.strip():
        return np.empty((0, len(columns)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.loadtxt(io.BytesIO(rows), delimiter=",", usecols=columns, ndmin=2, comments=None)
    except (ValueError, IndexError):
        return _parse_slowly(file, rows, header, columns)


def _parse_slowly(file: Path, rows: bytes, header: list[str], columns: list[int]) -> np.ndarray:
    """Columns in quotes, truth values as words, and headers that a training that went on has written once more."""
    found = []
    for row in csv.reader(io.StringIO(rows.decode("utf-8", "replace"), newline="")):
        if not row or row[0].startswith("#") or row == header:
            continue
        try:
            found.append([_number(row[column]) for column in columns])
        except (ValueError, IndexError):
            raise ConfigurationError(f"{file} is damaged: {','.join(row)!r:.60} is no episode") from None
    return np.array(found, dtype=float).reshape(-1, len(columns))


def _number(text: str) -> float:
    return _WORDS[text] if text in _WORDS else float(text)


def in_stretches(values: np.ndarray, n: int) -> np.ndarray:
    """:return: the mean of each of at most ``n`` stretches of about the same number of values"""
    return np.array([stretch.mean() for stretch in np.array_split(values, min(n, len(values)))])


def ends_of_stretches(values: np.ndarray, n: int) -> np.ndarray:
    """:return: the last value of each stretch of :func:`in_stretches`"""
    return np.array([stretch[-1] for stretch in np.array_split(values, min(n, len(values)))])
