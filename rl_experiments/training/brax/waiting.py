"""Showing that something is under way that says nothing itself: a compilation, or updates between two evaluations."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

from rl_experiments.core.background import wait_for
from rl_experiments.core.progress import progress_bar

_BETWEEN_LINES = 10.0
"""Seconds."""


class Progress:
    """
    Steps, return and time left, from the first second: as a bar on a terminal that was asked for, else as lines.

    :param total: steps of the training
    :param bar: whether to draw a bar, if the output is a terminal
    :param lines: whether to print lines
    """

    def __init__(self, total: int, bar: bool, lines: bool) -> None:
        self._total = total
        self._bar = progress_bar(total, "training", "step", bar)
        self._lines = lines and self._bar.disable
        self._steps = self._first = 0
        self._began = self._told = time.monotonic()
        self._return: float | None = None

    def begin(self, steps: int) -> None:
        """Training begins, or goes on from here."""
        self._steps = self._first = steps
        self._began = self._told = time.monotonic()
        self._bar.update(steps - self._bar.n)
        self._bar.start_t = time.time()
        self._bar.initial = steps

    def wait_for(self, what: str, function: Callable[[], Any]) -> Any:
        """
        Run a function that takes long in a thread, so that a signal is heard meanwhile.

        :param what: what is compiled
        :return: what the function returned
        """
        self._say(f"Compiling {what}")
        began = time.monotonic()
        value = wait_for(function, lambda seconds: self._bar.set_description(f"compiling {what}, {seconds:.0f} s"))
        self._bar.set_description("training")
        self._say(f"Compiled {what} in {time.monotonic() - began:.1f} s")
        return value

    def update(self, steps: int, mean_return: float | None) -> None:
        """
        :param steps: done so far
        :param mean_return: of the training episodes that ended lately, None where none did
        """
        self._steps = steps
        self._return = mean_return if mean_return is not None else self._return
        if self._return is not None:
            self._bar.set_postfix({"return": f"{self._return:.1f}"}, refresh=False)
        self._bar.update(steps - self._bar.n)
        if time.monotonic() - self._told >= _BETWEEN_LINES:
            self._say(self.line())

    def line(self) -> str:
        """:return: how far it is"""
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = (self._steps - self._first) / seconds
        left = (self._total - self._steps) / rate if rate > 0 else None
        parts = [f"{self._steps:,} of {self._total:,} steps"]
        if self._return is not None:
            parts.append(f"training return {self._return:.1f}")
        if left is not None:
            parts += [f"{rate:,.0f} steps/s", f"{_clock(max(left, 0.0))} left"]
        return ", ".join(parts)

    def say(self, text: str) -> None:
        """Print a line, whether there is a bar or not."""
        with self._bar.external_write_mode(file=sys.stdout) if not self._bar.disable else contextlib.nullcontext():
            print(text, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def _say(self, text: str) -> None:
        self._told = time.monotonic()
        if self._lines:
            print(text, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
