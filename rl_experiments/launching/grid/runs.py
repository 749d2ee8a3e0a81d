"""Which runs of a grid there are already, and how far they came."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rl_experiments.core.errors import NotFoundError, RLExperimentsError
from rl_experiments.launching.grid.settings import Cell, Grid, Identity, identity_of
from rl_experiments.runs import FAILED, FINISHED, RUNNING, ListedRun, all_runs
from rl_experiments.runs.listing import DAMAGED, PERHAPS_RUNNING
from rl_experiments.runs.record import read_record

_COMMAND = "rl_experiments.train"
_ORDER = (FINISHED, RUNNING, PERHAPS_RUNNING)
"""States that count before others, where a cell has several runs."""


@dataclass(frozen=True)
class Found:
    """
    :param state: of the run: finished, running (by another process), interrupted or failed
    :param run: as a list of runs shows it
    """

    state: str
    run: ListedRun

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.state == FINISHED

    @property
    def is_elsewhere(self) -> bool:
        """Whether another process trains it, or may do so."""
        return self.state in (RUNNING, PERHAPS_RUNNING)

    @property
    def can_go_on(self) -> bool:
        """Whether training goes on from its checkpoint; a run that failed is begun anew."""
        return not self.is_done and not self.is_elsewhere and self.state != FAILED


def find_runs(grid: Grid) -> dict[Cell, Found]:
    """:return: the run of each cell that has one: a finished one, or the latest"""
    wanted = {grid.identity(cell): cell for cell in grid.cells}
    found: dict[Cell, Found] = {}
    try:
        listed = all_runs(grid.log_folder)
    except NotFoundError:
        return {}
    for run in listed:
        cell = None if run.state == DAMAGED or run.algorithm not in grid.algos else _cell_of(run, wanted)
        if cell is not None and (cell not in found or _rank(run) > _rank(found[cell].run)):
            found[cell] = Found(run.state, run)
    return found


def _cell_of(run: ListedRun, wanted: Mapping[Identity, Cell]) -> Cell | None:
    words = command_words(Path(run.path))
    return None if words is None else wanted.get(identity_of(words))


def command_words(run: Path) -> list[str] | None:
    """:return: the arguments of ``train`` that a run was begun with, None where they are not known"""
    try:
        words = shlex.split(str(read_record(run).get("command", "")))
        return words[words.index(_COMMAND) + 1 :]
    except (RLExperimentsError, ValueError):
        return None


def _rank(run: ListedRun) -> tuple[int, int]:
    return -_ORDER.index(run.state) if run.state in _ORDER else -len(_ORDER), run.number
