"""Curves over runs of unequal length: the mean in each environment, and the interquartile mean over environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rl_experiments.reporting.report.bootstrap import Bootstrap
from rl_experiments.reporting.report.reading import Curve
from rl_experiments.reporting.report.statistics import interquartile_mean

_MOST_POINTS = 200
_POINTS_OVERALL = 50
_RESAMPLES = 500
"""Of a curve, whose intervals need be no finer than a line."""
_ALIVE = 0.5
"""A curve goes on while so large a part of the runs does; the rest would be another set of runs."""


@dataclass(frozen=True)
class Band:
    """
    :param x: steps, hours, or share of the training
    :param mean: at each
    :param low: lower ends of the intervals, NaN where one run alone is left
    :param high: upper ends
    :param n_runs: how many runs there are at each
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n_runs: np.ndarray


def mean_curve(curves: Sequence[Curve], bootstrap: Bootstrap, hours: bool = False) -> Band | None:
    """
    :param hours: over hours in place of steps
    :return: the mean of the runs that have come so far, None where there is nothing to show
    """
    lines = [line for curve in curves if (line := _line(curve, hours)) is not None]
    if not lines:
        return None
    x = _grid([line[0] for line in lines])
    values = np.stack([_at(x, *line) for line in lines])
    n_runs = np.isfinite(values).sum(axis=0)
    kept = n_runs >= max(1.0, _ALIVE * len(lines))
    x, values, n_runs = x[kept], values[:, kept], n_runs[kept]
    if not len(x):
        return None
    low, high = _mean_intervals(values, bootstrap)
    return Band(x, np.nanmean(values, axis=0), low, high, n_runs)


def overall_curve(
    curves: Mapping[str, Sequence[Curve]], budgets: Mapping[str, float], bootstrap: Bootstrap, in_steps: bool
) -> Band | None:
    """
    The sample-efficiency curve: the interquartile mean over all runs in all environments.

    :param curves: of each environment, normalised
    :param budgets: steps of the longest training in each
    :param in_steps: over steps, where all budgets are equal; else over the share of the budget
    :return: as far as there is, in every environment, at least half of the runs
    """
    shares = np.linspace(0.0, 1.0, _POINTS_OVERALL + 1)[1:]
    values = {
        name: np.stack([_at(shares * budgets[name], curve.steps, curve.returns) for curve in of_one])
        for name, of_one in curves.items()
    }
    alive = {name: np.isfinite(of_one).sum(axis=0) for name, of_one in values.items()}
    kept = np.all([n >= max(1.0, _ALIVE * len(values[name])) for name, n in alive.items()], axis=0)
    if not kept.any():
        return None
    quick = Bootstrap(min(bootstrap.n_resamples, _RESAMPLES), bootstrap.confidence, bootstrap.seed)
    points = []
    for index in np.flatnonzero(kept):
        scores = [column[np.isfinite(column)] for column in (of_one[:, index] for of_one in values.values())]
        estimate = quick.interval(scores, interquartile_mean)
        ends = (np.nan, np.nan) if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)
        points.append((estimate.value, *ends, sum(map(len, scores))))
    mean, low, high, n_runs = np.array(points).T
    x = shares[kept] * (max(budgets.values()) if in_steps else 1.0)
    return Band(x, mean, low, high, n_runs.astype(int))


def _line(curve: Curve, hours: bool) -> tuple[np.ndarray, np.ndarray] | None:
    x = curve.hours if hours else curve.steps
    return None if x is None else (x, curve.returns)


def _grid(all_x: Sequence[np.ndarray]) -> np.ndarray:
    """:return: where the runs themselves were measured if these are few points, else evenly spaced ones"""
    together = np.unique(np.concatenate(all_x))
    if len(together) <= _MOST_POINTS:
        return together
    return np.linspace(together[0], together[-1], _MOST_POINTS)


def _at(x: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """:return: the values between which a run was measured, NaN before the first and after the last"""
    tolerance = 1e-9 * max(1.0, abs(float(known[-1])))
    found = np.interp(x, known, values)
    found[(x < known[0] - tolerance) | (x > known[-1] + tolerance)] = np.nan
    return found


def _mean_intervals(values: np.ndarray, bootstrap: Bootstrap) -> tuple[np.ndarray, np.ndarray]:
    """:return: the ends of the intervals of the mean over runs, of those that are there at each point"""
    n_runs = len(values)
    if n_runs < 2:
        nothing = np.full(values.shape[1], np.nan)
        return nothing, nothing
    generator = np.random.default_rng(bootstrap.seed)
    n_resamples = min(bootstrap.n_resamples, _RESAMPLES)
    weights = generator.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=n_resamples).astype(float)
    there = np.isfinite(values)
    # No matrix product: its threads, which wait by spinning, cost more than they bring where others work too.
    counts = np.einsum("br,rx->bx", weights, there.astype(float))
    sums = np.einsum("br,rx->bx", weights, np.where(there, values, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(counts > 0, sums / counts, np.nan)
        outside = 100 * (1 - bootstrap.confidence) / 2
        percentiles = np.percentile if np.isfinite(means).all() else np.nanpercentile  # the second is slow
        low, high = percentiles(means, [outside, 100 - outside], axis=0)
    alone = there.sum(axis=0) < 2
    low[alone], high[alone] = np.nan, np.nan
    return low, high
