"""What all environments say together: aggregates, performance profiles, comparisons in pairs, sample efficiency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from rl_experiments.reporting.report.bootstrap import Bootstrap, Interval
from rl_experiments.reporting.report.curves import Band, overall_curve
from rl_experiments.reporting.report.normalising import Scale
from rl_experiments.reporting.report.reading import Curve
from rl_experiments.reporting.report.statistics import AGGREGATES, profile

OPTIMALITY_GAP = "optimality_gap"
_THRESHOLDS = 101
_LOWEST, _HIGHEST = -0.5, 2.0
"""Normalised scores between which profiles are drawn, if there are scores so far out."""
_SAME = 0.01
"""Relative difference of training lengths that counts as none."""

Cells = Mapping[tuple[str, str], tuple[np.ndarray, Sequence[Curve]]]


@dataclass(frozen=True)
class Comparison:
    """
    :param ours: a group
    :param theirs: another one
    :param probability: that a run of ours beats one of theirs, mean over the environments that both have
    :param by_environment: the same in each
    """

    ours: str
    theirs: str
    probability: Interval
    by_environment: dict[str, Interval]


@dataclass(frozen=True)
class Overall:
    """
    :param environments: that have a scale and a run of each group; those of everything but the comparisons
    :param left_out: the other environments, and why
    :param aggregates: by group and name
    :param profiles: share of runs above each normalised score, by group
    :param comparisons: of each two groups
    :param efficiency: the interquartile mean over the training, by group
    :param in_steps: whether it is over steps; else over the share of the training
    """

    environments: tuple[str, ...]
    left_out: dict[str, str]
    aggregates: dict[str, dict[str, Interval]]
    profiles: dict[str, Band]
    comparisons: tuple[Comparison, ...]
    efficiency: dict[str, Band] = field(repr=False)
    in_steps: bool = True


def summarise_overall(
    labels: Sequence[str], cells: Cells, scales: Mapping[str, Scale], bootstrap: Bootstrap, normalised: bool = True
) -> Overall:
    """
    :param labels: of the groups
    :param cells: scores and curves by group and environment
    :param scales: by environment
    :param normalised: whether 1 is a target, without which there is no gap to it
    """
    everywhere = sorted({environment for _, environment in cells})
    left_out = {name: reason for name in everywhere if (reason := _why_not(name, labels, cells, scales)) is not None}
    common = tuple(name for name in everywhere if name not in left_out)
    scores = {label: [scales[name].apply(cells[label, name][0]) for name in common] for label in labels if common}
    names = [name for name in AGGREGATES if normalised or name != OPTIMALITY_GAP]
    aggregates = {
        label: {name: bootstrap.interval(of_label, AGGREGATES[name]) for name in names}
        for label, of_label in scores.items()
    }
    budgets = {
        name: max(float(curve.steps[-1]) for label in labels for curve in cells[label, name][1]) for name in common
    }
    in_steps = bool(budgets) and max(budgets.values()) <= (1 + _SAME) * min(budgets.values())
    efficiency = {
        label: band
        for label in scores
        if (band := overall_curve(_normalised(label, common, cells, scales), budgets, bootstrap, in_steps)) is not None
    }
    profiles = _profiles(scores, bootstrap)
    return Overall(common, left_out, aggregates, profiles, _compare(labels, cells, bootstrap), efficiency, in_steps)


def _why_not(name: str, labels: Sequence[str], cells: Cells, scales: Mapping[str, Scale]) -> str | None:
    missing = [label for label in labels if (label, name) not in cells]
    if missing:
        return f"no run of {', '.join(missing)}"
    return None if name in scales else "no random and reference score in the table (--scores FILE adds them)"


def _normalised(label: str, names: Sequence[str], cells: Cells, scales: Mapping[str, Scale]) -> dict[str, list[Curve]]:
    return {
        name: [Curve(curve.steps, scales[name].apply(curve.returns)) for curve in cells[label, name][1]]
        for name in names
    }


def _profiles(scores: Mapping[str, Sequence[np.ndarray]], bootstrap: Bootstrap) -> dict[str, Band]:
    if not scores:
        return {}
    together = np.concatenate([of_one for of_label in scores.values() for of_one in of_label])
    low = max(min(0.0, float(together.min())), _LOWEST)
    high = min(max(1.0, float(together.max())), max(_HIGHEST, float(np.median(together)) * 2))
    thresholds = np.linspace(low, high, _THRESHOLDS)
    found = {}
    for label, of_label in scores.items():
        ends = bootstrap.band(of_label, lambda drawn: profile(drawn, thresholds))
        nothing = np.full(_THRESHOLDS, np.nan)
        n_runs = np.full(_THRESHOLDS, sum(map(len, of_label)))
        lower, upper = (nothing, nothing) if ends[0] is None or ends[1] is None else ends
        found[label] = Band(thresholds, profile(of_label, thresholds), lower, upper, n_runs)
    return found


def _compare(labels: Sequence[str], cells: Cells, bootstrap: Bootstrap) -> tuple[Comparison, ...]:
    found = []
    for ours, theirs in combinations(labels, 2):
        shared = sorted(name for label, name in cells if label == ours and (theirs, name) in cells)
        if not shared:
            continue
        sides = [[cells[label, name][0] for name in shared] for label in (ours, theirs)]
        by_environment = {
            name: bootstrap.improvement([mine], [other]) for name, mine, other in zip(shared, *sides, strict=True)
        }
        together = bootstrap.improvement(sides[0], sides[1])
        found.append(Comparison(ours, theirs, together, by_environment))
    return tuple(found)
