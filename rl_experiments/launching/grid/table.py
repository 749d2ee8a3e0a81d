"""The table of a grid under way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rl_experiments.runs import FAILED, FINISHED, INTERRUPTED, RUNNING

if TYPE_CHECKING:
    from rich.table import Table

    from rl_experiments.launching.grid.running import CellState

_MOST_UNDER_WAY = 12


class LiveTable:
    """A table at the bottom of the terminal, below the lines that are said."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(auto_refresh=False, transient=True)

    def __enter__(self) -> LiveTable:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        """Print a line above the table."""
        self._live.console.print(text, markup=False, highlight=False)

    def show(self, states: Sequence[CellState], seconds: float) -> None:
        """Draw what is known by now."""
        from rich.console import Group

        self._live.update(Group(_summary(states, seconds), _under_way(states)), refresh=True)


def _summary(states: Sequence[CellState], seconds: float) -> Table:
    table = _table(("algorithm", "environment"), ("runs", "finished", "running", "failed", "mean return"))
    for algorithm, environment in dict.fromkeys((one.cell.algorithm, one.cell.environment) for one in states):
        of_pair = [one for one in states if (one.cell.algorithm, one.cell.environment) == (algorithm, environment)]
        scores = [one.score for one in of_pair if one.state == FINISHED and one.score is not None]
        counts = [_count(of_pair, (FINISHED,)), _count(of_pair, (RUNNING,)), _count(of_pair, (FAILED, INTERRUPTED))]
        mean = f"{sum(scores) / len(scores):.2f}" if scores else "-"
        table.add_row(algorithm, environment, str(len(of_pair)), *counts, mean)
    minutes, rest = divmod(int(seconds), 60)
    table.caption = f"{minutes}:{rest:02}"
    return table


def _under_way(states: Sequence[CellState]) -> Table:
    table = _table(("under way",), ("steps",))
    running = [one for one in states if one.state == RUNNING]
    for one in running[:_MOST_UNDER_WAY]:
        table.add_row(one.cell.name, "-" if one.steps is None else f"{one.steps:,}")
    if len(running) > _MOST_UNDER_WAY:
        table.add_row(f"{len(running) - _MOST_UNDER_WAY} more", "")
    return table


def _table(texts: Iterable[str], numbers: Iterable[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, caption_justify="left")
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _count(states: Sequence[CellState], kinds: Iterable[str]) -> str:
    return str(sum(one.state in tuple(kinds) for one in states))
