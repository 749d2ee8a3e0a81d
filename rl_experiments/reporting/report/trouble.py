"""Runs that went wrong although they came to an end: what diverged, collapsed, or stays far behind its siblings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rl_experiments.reporting.report.reading import RunData
from rl_experiments.runs import FAILED

_LOST = 0.5
"""A run has collapsed if it ends with less than this share of what its best evaluation had gained over its first."""
_SMALLEST_WINDOW, _WINDOWS = 3, 10
"""Means over a tenth of the curve are compared, of three points at least: one alone may be luck."""
_CERTAIN = 5.0
"""Standard errors by which the end must be below the best."""
_FEWEST_SIBLINGS = 4
_FAR = 3.5
"""Robust standard deviations below the median of the siblings, as Iglewicz and Hoaglin 1993 advise."""
_FAR_SHARE = 0.25
"""Share of what the median seed has learned that one far behind must lack."""
_TO_DEVIATION = 1.4826
"""Median absolute deviations of a normal distribution in a standard deviation."""


@dataclass(frozen=True)
class Trouble:
    """
    :param run: the run
    :param kind: ``failed``, ``diverged``, ``collapsed`` or ``far behind``
    :param reason: in words
    """

    run: RunData
    kind: str
    reason: str


def find_trouble(runs: Iterable[RunData]) -> list[Trouble]:
    """
    :param runs: of one group in one environment
    :return: those that went wrong, with the first thing that is
    """
    runs = list(runs)
    behind = _far_behind(runs)
    found = []
    for run in runs:
        if run.n_not_finite:
            found.append(Trouble(run, "diverged", f"{run.n_not_finite} returns are NaN or infinite"))
        elif run.listed.state == FAILED:
            found.append(Trouble(run, "failed", run.listed.reason or "for a reason that nobody wrote down"))
        elif (reason := _collapse(run)) is not None:
            found.append(Trouble(run, "collapsed", reason))
        elif run in behind:
            found.append(Trouble(run, "far behind", f"it ends at {run.score:.2f}, far below the other seeds"))
    return found


def _collapse(run: RunData) -> str | None:
    returns = run.curve.returns
    window = max(_SMALLEST_WINDOW, len(returns) // _WINDOWS)
    if len(returns) <= 2 * window:
        return None
    smooth = np.convolve(returns, np.full(window, 1 / window), mode="valid")
    first, best, last = float(smooth[0]), float(smooth.max()), float(smooth[-1])
    error = float(np.diff(returns).std()) / np.sqrt(window)  # of the difference of two means, in steady stretches
    if best - last <= _CERTAIN * error or last >= first + _LOST * (best - first):
        return None
    return f"it had reached {best:.2f} and ends at {last:.2f}"


def _far_behind(runs: Sequence[RunData]) -> list[RunData]:
    scores = np.array([run.score for run in runs])
    if len(runs) < _FEWEST_SIBLINGS or not np.isfinite(scores).all():
        return []
    median = float(np.median(scores))
    deviation = float(_TO_DEVIATION * np.median(np.abs(scores - median)))
    learned = abs(median - float(np.mean([run.curve.returns[0] for run in runs])))
    lacking = max(_FAR * deviation, _FAR_SHARE * learned)
    return [run for run, score in zip(runs, scores, strict=True) if lacking > 0 and score < median - lacking]
