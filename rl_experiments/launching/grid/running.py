"""Running a grid: what is missing, many at once; what fails costs no other run, and a signal lets all save first."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.files import check_can_write
from rl_experiments.core.interruption import Interruption
from rl_experiments.launching.grid.checking import check_grid, jobs_of
from rl_experiments.launching.grid.claims import Claims
from rl_experiments.launching.grid.runs import Found, find_runs
from rl_experiments.launching.grid.settings import AUTO, Cell, Grid
from rl_experiments.launching.grid.training import TrainRun
from rl_experiments.launching.jobs import RAY, Job, Needs, Outcome
from rl_experiments.launching.pool import Pool
from rl_experiments.runs import FAILED, FINISHED, INTERRUPTED, RUNNING
from rl_experiments.runs.record import read_record

WAITING, ELSEWHERE = "waiting", "running elsewhere"
_LOGS = ".grid"
"""Folder in the log folder for what the trainings print; a point at its start keeps it from being an algorithm's."""
_MOST_ATTEMPTS = 3
"""Of a run whose process or machine goes."""


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

    def __init__(self, grid: Grid, say: Callable[[str], None], needed: int | None = None) -> None:
        self._grid, self._say, self._needed = grid, say, needed
        self._logs = Path(grid.log_folder) / _LOGS
        self._states = {cell: CellState(cell) for cell in grid.cells}
        self._found: dict[Cell, Found] = {}
        self._attempts: dict[Cell, int] = {}
        self._claims = Claims(self._logs)
        self._asked = False
        self._pool: Pool | None = None
        self.interruption = Interruption()

    @property
    def states(self) -> list[CellState]:
        """Of all cells; steps of those under way are the latest that are known."""
        counts = {} if self._pool is None else self._pool.counts
        return [
            replace(state, steps=counts.get(state.cell.name) or state.steps) if state.state == RUNNING else state
            for state in self._states.values()
        ]

    def run(self, on_wait: Callable[[], None] | None = None) -> GridResult:
        """
        :param on_wait: called about once a second
        :return: how all runs ended
        :raises RLExperimentsError: if a setting cannot work, or the log folder cannot be written to
        """
        self._look()
        jobs = {cell.name: cell for cell, state in self._states.items() if state.state == WAITING}
        known = None if self._needed is None else dict.fromkeys(jobs.values(), self._needed)
        needs = check_grid(self._grid, jobs.values()) if known is None else known
        pool = self._pool = self._pool_for(needs)
        check_can_write(self._logs / "grid", "--log-folder")

        def wait() -> None:
            if self.interruption.signal is not None:
                self._ask_to_stop()
            if on_wait is not None:
                on_wait()

        with (
            self.interruption.listening(),
            contextlib.closing(pool.run(self._jobs(jobs), wait, self._again)) as outcomes,
            contextlib.suppress(KeyboardInterrupt),
        ):
            for outcome in outcomes:
                self._take(jobs[outcome.job.name], outcome)
        for cell, state in self._states.items():
            if state.state == RUNNING:  # a second signal has ended it
                self._states[cell] = replace(state, state=INTERRUPTED)
        self._claims.release_all()
        return GridResult(tuple(self._states.values()), self.interruption.signal)

    def _pool_for(self, needs: dict[Cell, int]) -> Pool:
        grid = self._grid
        if grid.launcher == RAY and needs:
            from rl_experiments.launching.on_ray import RayTasks

            return Pool(1, launcher=RayTasks(grid.ray_address, None if grid.jobs == AUTO else int(grid.jobs)))
        jobs, remark = jobs_of(grid, needs)
        if remark is not None:
            self._say(remark)
        return Pool(jobs, n_threads=grid.num_threads)

    def _look(self) -> None:
        """Take what is there from before."""
        self._found = find_runs(self._grid)
        for cell, found in self._found.items():
            self._take_over(cell, found)
        done, elsewhere = (sum(one.state == state for one in self._states.values()) for state in (FINISHED, ELSEWHERE))
        if done:
            self._say(f"{done} of {len(self._states)} runs were done before")
        if elsewhere:
            self._say(f"{elsewhere} of {len(self._states)} runs are under way in other processes, and are left to them")

    def _take_over(self, cell: Cell, found: Found) -> bool:
        """:return: whether there is nothing to do"""
        if not (found.is_done or found.is_elsewhere):
            return False
        state = CellState(cell, FINISHED if found.is_done else ELSEWHERE, found.run.path)
        self._states[cell] = self._with_record(state)
        return True

    def _jobs(self, cells: dict[str, Cell]) -> Iterator[Job]:
        for cell in cells.values():
            if self.interruption.signal is not None:
                return
            if not self._claims.take(self._grid.claim_of(cell)):
                self._states[cell] = CellState(cell, ELSEWHERE)
                self._say_state(cell)
                continue
            found = find_runs(self._grid, cell).get(cell)  # another grid may have been here in the meantime
            if found is not None and self._take_over(cell, found):
                self._claims.release(self._grid.claim_of(cell))
                self._say_state(cell)
                continue
            yield self._job(cell, found.run.path if found is not None and found.can_go_on else None)

    def _job(self, cell: Cell, run: str | None) -> Job:
        """:param run: that goes on, None for a new one"""
        words = self._grid.words_of(cell) if run is None else ["--resume", run]
        log, parent = self._logs / cell.log_name, Path(self._grid.log_folder) / cell.algorithm
        self._states[cell] = CellState(cell, RUNNING, run)
        self._attempts[cell] = self._attempts.get(cell, 0) + 1
        n_threads = self._grid.num_threads
        return Job(cell.name, TrainRun(tuple(words), log, parent, n_threads), log, Needs(cpus=n_threads))

    def _again(self, outcome: Outcome) -> Job | None:
        """What was lost with its process or its machine is tried again, from its last checkpoint."""
        cell = next(cell for cell in self._states if cell.name == outcome.job.name)
        if not outcome.lost or self.interruption.signal is not None or self._attempts[cell] >= _MOST_ATTEMPTS:
            return None
        found = find_runs(self._grid, cell).get(cell)
        self._say(f"{cell.name}: {outcome.reason}; it is tried again")
        goes_on = found is not None and not found.is_done and found.state != FAILED
        return self._job(cell, found.run.path if found is not None and goes_on else None)

    def _say_state(self, cell: Cell) -> None:
        n_done = sum(one.state not in (WAITING, RUNNING) for one in self._states.values())
        self._say(f"[{n_done}/{len(self._states)}] {describe(self._states[cell])}")

    def _take(self, cell: Cell, outcome: Outcome) -> None:
        self._claims.release(self._grid.claim_of(cell))
        state = replace(self._states[cell], seconds=outcome.seconds)
        if outcome.reason is not None:
            reason = f"{outcome.reason} (see {self._logs / cell.log_name})"
            self._states[cell] = replace(state, state=FAILED, reason=reason)
        else:
            ended = FINISHED if outcome.result["code"] == 0 else INTERRUPTED
            run = outcome.result["run"] or state.run
            self._states[cell] = self._with_record(replace(state, state=ended, run=run))
        self._say_state(cell)

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
        assert self._pool is not None
        self._say(f"{self.interruption.name}: {len(self._pool.counts)} runs save and stop. Once more ends them at once")
        self._pool.ask_to_stop()


def run_grid(
    grid: Grid, say: Callable[[str], None] | None = None, live: bool = False, needed: int | None = None
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
