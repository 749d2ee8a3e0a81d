"""What all benchmarks share: the plan, the rows of tables, and where things are."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
CHILDREN = Path(__file__).resolve().parent / "children"
"""What runs in processes of its own."""


class BenchmarkError(Exception):
    """A side did not do what was to be timed."""


@dataclass(frozen=True)
class Plan:
    """
    :param folder: for everything that is written; it goes at the end
    :param rounds: how often each side is measured
    :param seconds: how long the learning is timed, at least
    :param start_ups: how often each command line is timed
    :param patience: how many seconds to wait for a quiet machine, before each training that is to have one
    """

    folder: Path
    rounds: int
    seconds: float
    start_ups: int
    patience: float

    def new_folder(self) -> Path:
        """:return: an empty folder"""
        return Path(tempfile.mkdtemp(dir=self.folder))


@dataclass(frozen=True)
class Headline:
    """
    A line of the README's table.

    :param what: was measured
    :param ours: our median
    :param zoo: that of the other side
    :param times: how many times faster ours is, in each round
    :param aim: what is to be reached, None where there is no aim
    """

    what: str
    ours: str
    zoo: str
    times: tuple[float, ...]
    aim: float | None = None


@dataclass(frozen=True)
class Row:
    """
    :param table: the title of the table that it stands in
    :param cells: column to text
    :param data: everything that was measured, for ``--results``
    :param headline: what the README's table shows of it, if anything
    """

    table: str
    cells: Mapping[str, str]
    data: Mapping[str, Any]
    headline: Headline | None = None


def say(text: str) -> None:
    """Tell what is being done."""
    print(text, file=sys.stderr, flush=True)
