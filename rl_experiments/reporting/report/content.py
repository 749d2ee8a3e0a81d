"""The content of a report as plain values: for the page, for JSON, and for all tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rl_experiments.reporting.report.bootstrap import Interval
from rl_experiments.reporting.report.normalising import Scale
from rl_experiments.reporting.report.overall import OPTIMALITY_GAP, Overall
from rl_experiments.reporting.report.summarising import Cell, Report

_MOST_NAMED = 6
_NAMES = {"median": "Median", "iqm": "IQM", "mean": "Mean", OPTIMALITY_GAP: "Optimality gap"}


@dataclass(frozen=True)
class Table:
    """
    :param name: for files
    :param title: for people
    :param header: of the columns; those of texts stand first
    :param rows: of texts, numbers, intervals and None
    :param n_texts: how many columns are texts
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    n_texts: int


def tables(report: Report) -> list[Table]:
    """:return: all tables that have a row"""
    made = [
        _results(report),
        _aggregates(report),
        _comparisons(report),
        _runs(report),
        _trouble(report),
        _skipped(report),
    ]
    return [table for table in made if table.rows]


def _results(report: Report) -> Table:
    header = ("environment", "group", "seeds", "mean", "std", "min", "max", "normalised", "steps", "steps/s", "hours")
    return Table("results", "Results", header, tuple(_result(report, cell) for cell in _cells(report)), 2)


def _result(report: Report, cell: Cell) -> tuple[Any, ...]:
    scale = report.scales.get(cell.environment)
    std = statistics.stdev(map(float, cell.scores)) if len(cell.scores) > 1 else None
    return (
        cell.environment,
        cell.group + (" (training episodes)" if cell.of_training else ""),
        len(cell.runs),
        cell.score,
        std,
        float(cell.scores.min()),
        float(cell.scores.max()),
        _normalised(cell.score, scale) if scale else None,
        int(np.median([run.steps for run in cell.runs])),
        cell.steps_per_second,
        cell.hours,
    )


def _normalised(score: Interval, scale: Scale) -> Interval:
    if score.low is None or score.high is None:
        return Interval(scale.of(score.value))
    low, high = sorted((scale.of(score.low), scale.of(score.high)))
    return Interval(scale.of(score.value), low, high)


def _aggregates(report: Report) -> Table:
    aggregates = report.overall.aggregates
    names = list(next(iter(aggregates.values()), {}))
    rows = tuple((label, *(of_label[name] for name in names)) for label, of_label in aggregates.items())
    title = f"Over {len(report.overall.environments)} environments, normalised"
    return Table("aggregates", title, ("group", *(_NAMES[name] for name in names)), rows, 1)


def _comparisons(report: Report) -> Table:
    rows = []
    for comparison in report.overall.comparisons:
        pair = (comparison.ours, comparison.theirs)
        if len(comparison.by_environment) > 1:
            rows.append((*pair, "all", comparison.probability))
        rows += [(*pair, name, probability) for name, probability in comparison.by_environment.items()]
    header = ("X", "Y", "environment", "P(X > Y)")
    return Table("comparisons", "Probability of improvement", header, tuple(rows), 3)


def _runs(report: Report) -> Table:
    wrong = {(trouble.run.listed.path, trouble.run.source): trouble.kind for trouble in report.trouble}
    rows = tuple(
        (
            run.environment,
            label,
            run.listed.state,
            wrong.get((run.listed.path, run.source), ""),
            run.listed.path,
            run.listed.number,
            run.seed,
            run.score,
            run.n_episodes,
            run.steps,
            run.steps_per_second,
            run.seconds / 3600 if run.seconds else None,
        )
        for label, run in report.runs
    )
    header = (
        "environment",
        "group",
        "state",
        "trouble",
        "folder",
        "run",
        "seed",
        "score",
        "episodes",
        "steps",
        "steps/s",
        "hours",
    )
    return Table("runs", "Runs", header, rows, 5)


def _trouble(report: Report) -> Table:
    rows = tuple(
        (
            trouble.run.environment,
            trouble.run.algorithm,
            trouble.kind,
            trouble.reason,
            trouble.run.listed.path,
            trouble.run.seed,
        )
        for trouble in report.trouble
    )
    header = ("environment", "algorithm", "trouble", "reason", "folder", "seed")
    return Table("trouble", "Seeds that went wrong", header, rows, 5)


def _skipped(report: Report) -> Table:
    rows = tuple((skipped.path, skipped.reason) for skipped in report.skipped)
    return Table("skipped", "Runs that are not in this report", ("folder", "reason"), rows, 2)


def _cells(report: Report) -> list[Cell]:
    return [cell for environment in report.environments for cell in report.cells_of(environment)]


def notes(report: Report) -> list[str]:
    """:return: what a reader must know to believe the numbers"""
    settings, overall = report.settings, report.overall
    counted = {
        "final": "the mean return of its last evaluation",
        "best": "the mean return of its best evaluation, which is more than the agent at the end is worth",
        "mean": "the mean over all its evaluations",
    }[settings.score]
    found = [
        f"The score of a run is {counted}. Where a run has no evaluation it is that of its last training episodes (up "
        "to 100), and the table says so.",
        f"Intervals are {100 * settings.confidence:g} % percentile intervals of {settings.resamples:,} stratified "
        "bootstrap resamples of the seeds (Agarwal et al. 2021). One seed has none.",
        "A mean curve goes on while at least half of its runs do. Returns between two evaluations are interpolated.",
    ]
    if report.trouble:
        found.append(
            "A run whose return is NaN or infinite counts as a random agent, or as the worst run where no table says "
            "what that is."
        )
    if settings.max_timesteps:
        found.append(f"Only the first {settings.max_timesteps:,} steps of each run count.")
    found += _on_scales(report, overall)
    uneven = _uneven(report)
    if uneven:
        found.append(
            f"Not all runs are equally long in: {', '.join(uneven)}. Their scores are those of their own ends "
            "(--max-timesteps cuts)."
        )
    found += _on_seeds(report)
    alone = [f"{cell.group} on {cell.environment}" for cell in report.cells.values() if len(cell.runs) == 1]
    if alone:
        more = f", and {len(alone) - _MOST_NAMED} more" if len(alone) > _MOST_NAMED else ""
        found.append(f"One seed is an anecdote: {', '.join(alone[:_MOST_NAMED])}{more}.")
    return found


def _on_seeds(report: Report) -> list[str]:
    numbers: dict[str, list[int]] = {}
    for cell in report.cells.values():
        numbers.setdefault(cell.group, []).append(len(cell.runs))
    if len({n for of_group in numbers.values() for n in of_group}) < 2:
        return []
    shown = ", ".join(
        f"{group} {min(ns)}" + (f" to {max(ns)}" if max(ns) > min(ns) else "") for group, ns in numbers.items()
    )
    return [
        f"Not everything has the same number of seeds: {shown}. Fewer seeds make wider intervals; mean, median and "
        "optimality gap count every environment alike, but in the IQM an environment with more seeds has more weight."
    ]


def _on_scales(report: Report, overall: Overall) -> list[str]:
    found = []
    if overall.environments and report.settings.normalise != "none":
        scales = "; ".join(
            f"{name} {report.scales[name].random:g} to {report.scales[name].reference:g}"
            for name in overall.environments
        )
        what = (
            "the lowest and the highest score in this report"
            if report.settings.normalise == "range"
            else "a random agent and a reference"
        )
        found.append(f"Normalised scores are 0 and 1 for {what}: {scales}.")
    for name, reason in overall.left_out.items():
        found.append(f"{name} is not among the environments of the overall figures: {reason}.")
    return found


def _uneven(report: Report) -> list[str]:
    found = []
    for environment in report.environments:
        ends = [float(run.curve.steps[-1]) for cell in report.cells_of(environment) for run in cell.runs]
        if max(ends) > 1.1 * min(ends):
            found.append(environment)
    return found


def rounded(value: Any) -> Any:
    """:return: a number or an array with 6 digits, ready for JSON, in which NaN is null"""
    if isinstance(value, np.ndarray):
        return [rounded(float(item)) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def as_dict(report: Report, curves: Mapping[str, Any], overall_curves: Mapping[str, Any]) -> dict[str, Any]:
    """
    :param curves: of :func:`rl_experiments.reporting.report.plotting.curves`
    :param overall_curves: profiles and sample efficiency by group
    :return: everything, ready for JSON
    """
    overall = report.overall
    return {
        "schema_version": 1,
        "folders": list(report.folders),
        "groups": report.labels,
        "environments": list(report.environments),
        "notes": notes(report),
        "scales": {
            name: {"random": scale.random, "reference": scale.reference, "of": scale.source}
            for name, scale in report.scales.items()
        },
        "overall_environments": list(overall.environments),
        **{table.name: _records(table) for table in tables(report)},
        "curves": dict(curves),
        **overall_curves,
    }


def _records(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.header, map(_plain, row), strict=True)) for row in table.rows]


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return {name: _finite(number) for name, number in value.as_dict().items()}
    return _finite(value)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def flat(table: Table) -> tuple[list[str], list[list[Any]]]:
    """:return: header and rows of a table whose intervals take three columns, as in a CSV file"""
    of_intervals = [any(isinstance(row[index], Interval) for row in table.rows) for index in range(len(table.header))]
    header: list[str] = []
    for name, is_interval in zip(table.header, of_intervals, strict=True):
        header += [name, f"{name} low", f"{name} high"] if is_interval else [name]
    return header, [_flat_row(row, of_intervals) for row in table.rows]


def _flat_row(row: Sequence[Any], of_intervals: Sequence[bool]) -> list[Any]:
    cells: list[Any] = []
    for value, is_interval in zip(row, of_intervals, strict=True):
        if isinstance(value, Interval):
            cells += [value.value, value.low, value.high]
        else:
            cells += [value, None, None] if is_interval else [value]
    return cells


def shown(value: Any) -> str:
    """:return: a cell of a table for people"""
    if isinstance(value, Interval):
        if value.low is None or value.high is None:
            return number(value.value)
        return f"{number(value.value)} [{number(value.low)}, {number(value.high)}]"
    if value is None:
        return ""
    return number(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def number(value: float) -> str:
    """:return: a number with a sensible number of digits"""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    return (
        f"{value:,.0f}"
        if size >= 10_000
        else f"{value:.1f}"
        if size >= 100
        else f"{value:.2f}"
        if size >= 1 or size == 0
        else f"{value:.3f}"
    )
