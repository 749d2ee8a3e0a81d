"""Which runs of a grid there are already, and how far they came."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.config.grammar import holds_symbol, to_text
from rl_experiments.config.schedules import as_written
from rl_experiments.core.errors import NotFoundError, RLExperimentsError
from rl_experiments.core.names import folder_name
from rl_experiments.core.options import default_of, options_of
from rl_experiments.launching.grid.settings import NOT_OF_THE_EXPERIMENT, SAME_VECTORS, Cell, Grid, identity_of
from rl_experiments.runs import FAILED, FINISHED, RUNNING, ListedRun, Run, all_runs
from rl_experiments.runs.listing import DAMAGED, PERHAPS_RUNNING
from rl_experiments.runs.record import read_record
from rl_experiments.training.settings import Experiment

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


def find_runs(grid: Grid, cell: Cell | None = None) -> dict[Cell, Found]:
    """
    :param cell: look for its runs alone
    :return: the run of each cell that has one: a finished one, or the latest
    """
    wanted = Wanted(grid, grid.cells if cell is None else [cell])
    found: dict[Cell, Found] = {}
    try:
        listed = (
            all_runs(grid.log_folder)
            if cell is None
            else all_runs(grid.log_folder, cell.algorithm, folder_name(cell.environment))
        )
    except NotFoundError:
        return {}
    for run in listed:
        of = None if run.state == DAMAGED or run.algorithm not in grid.algos else wanted.cell_of(run)
        if of is not None and (of not in found or _rank(run) > _rank(found[of].run)):
            found[of] = Found(run.state, run)
    return found


class Wanted:
    """
    What cells are known by.

    :param grid: that they belong to
    :param cells: of it
    """

    def __init__(self, grid: Grid, cells: Sequence[Cell]) -> None:
        self._grid = grid
        self._by_words = {grid.identity(cell): cell for cell in cells}
        self._by_fields = {(cell.algorithm, cell.environment, cell.seed): cell for cell in cells}

    def cell_of(self, run: ListedRun) -> Cell | None:
        """:return: the cell whose run it is, by the command that began it, or else by the arguments that it noted"""
        words = command_words(Path(run.path))
        found = None if words is None else self._by_words.get(identity_of(words))
        return found or self._of_arguments(run)

    def _of_arguments(self, run: ListedRun) -> Cell | None:
        """Whoever began it: with short flags, flags that say the default, ``rl-experiments train``, or from Python."""
        opened = Run(Path(run.path), run.algorithm, run.environment_name)
        try:
            arguments, record = opened.arguments, read_record(run.path)
        except RLExperimentsError:
            return None
        seed = record.get("seed")
        cell = self._by_fields.get((run.algorithm, run.environment, seed if isinstance(seed, int) else -1))
        if cell is None:
            return None
        defaults = {declared.name: default_of(declared) for declared in options_of(Experiment)}
        experiment, own = self._grid.experiment_of(cell), opened.hyperparameters.get("env_kwargs")
        same = all(
            is_same(name, arguments.get(name, defaults.get(name, value)), value, own)
            for name, value in experiment.as_arguments().items()
            if name not in NOT_OF_THE_EXPERIMENT
        )
        return cell if same else None


def is_same(name: str, noted: Any, wanted: Any, own: Any) -> bool:
    """
    :param name: of a setting
    :param noted: its value in a run
    :param wanted: its value in a grid
    :param own: arguments of the environment that the hyperparameters bring; a run notes them among those it was given
    """
    if name == "vec_env" and noted in SAME_VECTORS:
        return wanted in SAME_VECTORS
    if name == "env_kwargs":
        further = {*(own if isinstance(own, Mapping) else ()), "frameskip"}
        noted = {key: item for key, item in (noted or {}).items() if key in (wanted or {}) or key not in further}
    return _plain(noted) == _plain(wanted)


def _plain(value: Any) -> Any:
    """Values as a run notes them: texts of the grammar, lists for tuples, nothing for what is empty."""
    if holds_symbol(value):
        return to_text(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()} or None
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value] or None
    if isinstance(value, str) or value is None:
        return value or None
    return to_text(as_written(value))


def command_words(run: Path) -> list[str] | None:
    """:return: the arguments of ``train`` that a run was begun with, None where they are not known"""
    try:
        words = shlex.split(str(read_record(run).get("command", "")))
        return words[words.index(_COMMAND) + 1 :]
    except (RLExperimentsError, ValueError):
        return None


def _rank(run: ListedRun) -> tuple[int, int]:
    return -_ORDER.index(run.state) if run.state in _ORDER else -len(_ORDER), run.number
