"""Running a grid: what is missing, many at once; what fails costs no other run, and a signal lets all save first."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.files import check_can_write
from rl_experiments.core.interruption import Interruption
from rl_experiments.core.processes import available_cores
from rl_experiments.launching.grid.fitting import fitting, memory_of, one_of_each
from rl_experiments.launching.grid.runs import Found, find_runs
from rl_experiments.launching.grid.settings import AUTO, Cell, Grid
from rl_experiments.launching.grid.training import TrainRun
from rl_experiments.launching.pool import Job, Outcome, Pool
from rl_experiments.runs import FAILED, FINISHED, INTERRUPTED, RUNNING
from rl_experiments.runs.record import read_record

WAITING, ELSEWHERE = "waiting", "running elsewhere"
_LOGS = ".grid"
"""Folder in the log folder for what the trainings print; a point at its start keeps it from being an algorithm's."""


@dataclass(frozen=True)
class CellState:
    """
    :param cell: which run
    :param state: waiting, running, finished, failed, interrupted, or running elsewhere
    :param run: its folder
    :param steps: environment steps that were done
    :param total: environment steps that are planned
    :param score: mean return of the last evaluation
    :param reason: why it failed
    :param seconds: that it took here
    """

    cell: Cell
    state: str = WAITING
    run: str | None = None
    steps: int | None = None
    total: int | None = None
    score: float | None = None
    reason: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class GridResult:
    """
    :param states: of all cells
    :param signal: what stopped it, None where it came to its end
    """

    states: tuple[CellState, ...]
    signal: int | None = None

    def count(self, state: str) -> int:
        """:return: how many are in this state"""
        return sum(one.state == state for one in self.states)


class GridRun:
    """
    A grid under way.

    :param grid: what it is made of
    :param say: takes a line for each run that ends
    :param needed: bytes that a run takes, where they are known; else they are found where they matter
    """

    def __init__(self, grid: Grid, say: Callable[[str], None], needed: float | None = None) -> None:
        self._grid, self._say, self._needed = grid, say, needed
        self._logs = Path(grid.log_folder) / _LOGS
        self._states = {cell: CellState(cell) for cell in grid.cells}
        self._found: dict[Cell, Found] = {}
        self._processes: dict[str, Path] = {}
        self._asked = False
        self.interruption = Interruption()
        self._pool: Pool | None = None

    def _n_workers(self, cells: Sequence[Cell]) -> int:
        if self._grid.jobs != AUTO:
            return int(self._grid.jobs)
        by_cores = max(1, available_cores() // self._grid.num_threads)
        if min(by_cores, len(cells)) == 1:
            return 1
        needed = self._needed or max(memory_of(self._grid, cell) or 0 for cell in one_of_each(cells))
        return fitting(by_cores, needed, self._say)

    @property
    def states(self) -> list[CellState]:
        """Of all cells; steps of those under way are the latest that are known."""
        counts = self._pool.counts if self._pool else {}
        return [
            replace(state, steps=counts.get(state.cell.name) or state.steps) if state.state == RUNNING else state
            for state in self._states.values()
        ]

    def run(self, on_wait: Callable[[], None] | None = None) -> GridResult:
        """
        :param on_wait: called about once a second
        :return: how all runs ended
        :raises ConfigurationError: if the log folder cannot be written to
        """
        check_can_write(self._logs / "grid", "--log-folder")
        self._look()
        jobs = {cell.name: cell for cell, state in self._states.items() if state.state == WAITING}
        self._pool = Pool(self._n_workers(list(jobs.values())), n_threads=self._grid.num_threads)

        def wait() -> None:
            if self.interruption.signal is not None:
                self._ask_to_stop()
            if on_wait is not None:
                on_wait()

        with (
            self.interruption.listening(),
            contextlib.closing(self._pool.run(self._jobs(jobs), wait)) as outcomes,
            contextlib.suppress(KeyboardInterrupt),
        ):
            for outcome in outcomes:
                self._take(jobs[outcome.job.name], outcome)
        for cell, state in self._states.items():
            if state.state == RUNNING:  # a second signal has ended it
                self._states[cell] = replace(state, state=INTERRUPTED)
        return GridResult(tuple(self._states.values()), self.interruption.signal)

    def _look(self) -> None:
        """Take what is there from before."""
        self._found = find_runs(self._grid)
        for cell, found in self._found.items():
            if found.is_done or found.is_elsewhere:
                state = FINISHED if found.is_done else ELSEWHERE
                self._states[cell] = self._with_record(replace(self._states[cell], state=state, run=found.run.path))
        done, elsewhere = (sum(one.state == state for one in self._states.values()) for state in (FINISHED, ELSEWHERE))
        if done:
            self._say(f"{done} of {len(self._states)} runs were done before")
        if elsewhere:
            self._say(f"{elsewhere} of {len(self._states)} runs are under way in other processes, and are left to them")

    def _jobs(self, cells: dict[str, Cell]) -> Iterator[Job]:
        for name, cell in cells.items():
            if self.interruption.signal is not None:
                return
            found = self._found.get(cell)
            again = found is not None and found.can_go_on
            words = ["--resume", found.run.path] if found is not None and again else self._grid.words_of(cell)
            log, process_file = self._logs / cell.log_name, self._logs / f"{cell.log_name}.pid"
            parent = Path(self._grid.log_folder) / cell.algorithm
            self._processes[name] = process_file
            self._states[cell] = CellState(cell, RUNNING, found.run.path if found is not None and again else None)
            yield Job(name, TrainRun(tuple(words), log, parent, process_file, self._grid.num_threads), log)

    def _take(self, cell: Cell, outcome: Outcome) -> None:
        self._processes.pop(cell.name).unlink(missing_ok=True)
        state = replace(self._states[cell], seconds=outcome.seconds)
        if outcome.reason is not None:
            reason = f"{outcome.reason} (see {self._logs / cell.log_name})"
            self._states[cell] = replace(state, state=FAILED, reason=reason)
        else:
            ended = FINISHED if outcome.result["code"] == 0 else INTERRUPTED
            run = outcome.result["run"] or state.run
            self._states[cell] = self._with_record(replace(state, state=ended, run=run))
        n_done = sum(one.state not in (WAITING, RUNNING) for one in self._states.values())
        self._say(f"[{n_done}/{len(self._states)}] {describe(self._states[cell])}")

    def _with_record(self, state: CellState) -> CellState:
        try:
            record = {} if state.run is None else read_record(state.run)
        except RLExperimentsError:
            return state
        return replace(
            state, steps=record.get("steps"), total=record.get("n_timesteps"), score=record.get("last_mean_reward")
        )

    def _ask_to_stop(self) -> None:
        """Once: they save and end by themselves."""
        if self._asked:
            return
        self._asked = True
        self._say(f"{self.interruption.name}: {len(self._processes)} runs save and stop. Once more ends them at once")
        for file in self._processes.values():
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(file.read_text()), signal.SIGTERM)


def run_grid(
    grid: Grid, say: Callable[[str], None] | None = None, live: bool = False, needed: float | None = None
) -> GridResult:
    """
    Train what a grid is missing.

    :param say: takes a line for each run that ends
    :param live: draw a table, if the output is a terminal
    :param needed: bytes that a run takes, where they are known
    :raises RLExperimentsError: if a setting cannot work
    """
    from rl_experiments.launching.grid.table import LiveTable

    if not live or not sys.stdout.isatty():
        return GridRun(grid, say or (lambda _: None), needed).run()
    with LiveTable() as table:
        running = GridRun(grid, table.say, needed)
        began = time.monotonic()
        return running.run(lambda: table.show(running.states, time.monotonic() - began))


def describe(state: CellState) -> str:
    """:return: a run in one line"""
    parts: list[Any] = [f"{state.cell.name}: {state.state}"]
    if state.reason:
        return f"{parts[0]}: {state.reason}"
    if state.steps is not None:
        parts.append(f"{state.steps:,} steps")
    if state.score is not None:
        parts.append(f"mean return {state.score:.2f}")
    if state.seconds is not None:
        parts.append(f"{state.seconds:.0f} s")
    return ", ".join(parts)
