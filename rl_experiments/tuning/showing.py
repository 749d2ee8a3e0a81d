"""What a study shows while it runs: one table that changes, or plain lines where the output is no terminal."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import optuna
from optuna.trial import TrialState

if TYPE_CHECKING:
    from rl_experiments.tuning.underway import TrialUnderWay

_BETWEEN_LINES = 60.0
"""Seconds between two lines on how far it is, where the output is no terminal."""
_BETWEEN_DRAWINGS = 0.5
_MOST_ROWS = 16


class Display:
    """
    :param n_trials: of the study, as far as they are this process's to make
    :param n_jobs: at once
    :param n_timesteps: of a training
    :param enabled: whether anything is shown but failures
    """

    def __init__(self, n_trials: int, n_jobs: int, n_timesteps: int, enabled: bool = True) -> None:
        self._n_trials, self._n_jobs, self._n_timesteps, self._enabled = n_trials, n_jobs, n_timesteps, enabled
        self._began = self._drawn = time.monotonic()
        self._ended_here = 0
        self._live: Any = None

    def __enter__(self) -> Display:
        if self._enabled and sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, text: str, stream: TextIO | None = None) -> None:
        """Print a line above the table; what goes to the error output is shown in any case."""
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False, soft_wrap=True)
        elif self._enabled or stream is not None:
            print(text, file=stream or sys.stdout, flush=True)

    def ended(self, text: str, stream: TextIO | None = None) -> None:
        """A trial ended, in whatever way."""
        self._ended_here += 1
        self.say(text, stream)

    def show(self, study: optuna.Study, under_way: Sequence[TrialUnderWay], counts: Mapping[str, int]) -> None:
        """Show how far the study is, if it is time to."""
        pause = _BETWEEN_DRAWINGS if self._live is not None else _BETWEEN_LINES
        if not self._enabled or time.monotonic() - self._drawn < pause:
            return
        self._drawn = time.monotonic()
        heading = self._heading(study)
        if self._live is None:
            rows = [_as_text(*self._row(trial, counts)) for trial in under_way]
            print(f"{heading}. Running: {'; '.join(rows)}", flush=True)
        else:
            self._live.update(self._table(heading, under_way, counts), refresh=True)

    def _table(self, heading: str, under_way: Sequence[TrialUnderWay], counts: Mapping[str, int]) -> Any:
        from rich.table import Table

        hidden = len(under_way) - _MOST_ROWS
        table = Table(title=heading, title_justify="left", caption=f"and {hidden} more" if hidden > 0 else None)
        for name in ("running", "step", "last score"):
            table.add_column(name, justify="left" if name == "running" else "right")
        for trial in under_way[:_MOST_ROWS]:
            table.add_row(*self._row(trial, counts))
        return table

    def _heading(self, study: optuna.Study) -> str:
        trials = study.get_trials(deepcopy=False)
        counts = {state: sum(trial.state == state for trial in trials) for state in TrialState}
        done = counts[TrialState.COMPLETE] + counts[TrialState.PRUNED]
        parts = [f"{done} of {max(self._n_trials, done)} trials"]
        parts += [f"{counts[state]} {state.name.lower()}" for state in (TrialState.PRUNED, TrialState.FAIL)]
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        if complete:
            best = max(complete, key=lambda trial: float(trial.value or 0.0))
            parts.append(f"best {best.value:.2f} (trial {best.number})")
        return ", ".join([*parts, self._time_left(trials, self._n_trials - done)])

    def _time_left(self, trials: Sequence[optuna.trial.FrozenTrial], n_left: int) -> str:
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        durations = [trial.duration.total_seconds() for trial in trials if trial.state in ended and trial.duration]
        if not durations:
            return f"{in_words(time.monotonic() - self._began)} so far"
        return f"about {in_words(statistics.fmean(durations) * max(n_left, 0) / self._n_jobs)} left"

    def _row(self, trial: TrialUnderWay, counts: Mapping[str, int]) -> tuple[str, str, str]:
        steps = f"{counts.get(trial.job_name, 0):,} of {self._n_timesteps:,}"
        return trial.job_name, steps, "" if trial.last_mean is None else f"{trial.last_mean:.2f}"


def _as_text(name: str, steps: str, score: str) -> str:
    return f"{name}: step {steps}" + (f", last score {score}" if score else "")


def in_words(seconds: float) -> str:
    """:return: a time for people"""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
