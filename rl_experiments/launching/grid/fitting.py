"""How many runs at once the memory has room for: their replay buffers fill up long after all have begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.isolation import Beat, IsolatedError, run_isolated
from rl_experiments.core.memory import free_memory, readable
from rl_experiments.launching.grid.settings import Cell, Grid
from rl_experiments.training.settings import Experiment, Trial

_PATIENCE = 300.0
_SHARE = 0.9
"""Of the free memory; the rest is for what others do beside it."""
Resolved = tuple[Experiment, Trial | None]


class RefusedError(RLExperimentsError):
    """No run could begin; the message is what the command ``train`` would say."""


def memory_of(grid: Grid, cell: Cell) -> float | None:
    """:return: bytes that a run takes, None where it cannot be told; why, its own training tells"""
    try:
        return check_cell(grid.experiment_of(cell))
    except (RefusedError, IsolatedError):
        return None


def check_cell(experiment: Experiment, resolve: Callable[[Experiment], Resolved] | None = None) -> float:
    """
    Check an experiment as its training would, in a process of its own, so that this one stays small.

    :param resolve: finds the tuned trial that the experiment names
    :return: bytes that it takes
    :raises RefusedError: if it could not begin
    :raises IsolatedError: if checking it crashes
    """

    def check(beat: Beat) -> Mapping[str, Any]:
        from rl_experiments.training.preparation import prepare
        from rl_experiments.training.sizes import memory_of_training

        try:
            found, trial = resolve(experiment) if resolve else (experiment, None)
            return {"bytes": memory_of_training(prepare(found, trial))}
        except RLExperimentsError as error:
            return {"refused": str(error), "code": error.exit_code}

    answer = run_isolated(check, _PATIENCE)
    if "refused" in answer:
        refused = RefusedError(answer["refused"])
        refused.exit_code = answer["code"]
        raise refused
    return float(answer["bytes"])


def one_of_each(cells: Iterable[Cell]) -> list[Cell]:
    """:return: a cell of each algorithm and environment"""
    return list({(cell.algorithm, cell.environment): cell for cell in cells}.values())


def fitting(by_cores: int, needed: float, say: Callable[[str], None]) -> int:
    """
    :param by_cores: how many runs at once the cores have room for
    :param needed: bytes of one
    :param say: told where memory is what counts
    :return: how many fit
    """
    free = free_memory()
    if free is None or needed <= 0:
        return by_cores
    count = max(1, min(by_cores, int(_SHARE * free / needed)))
    if count < by_cores:
        say(
            f"{count} at once, though there are cores for {by_cores}: a run takes about {readable(needed)} of memory, "
            f"and {readable(free)} are free"
        )
    return count
