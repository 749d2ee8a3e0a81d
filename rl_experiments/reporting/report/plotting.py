"""What the figures of a report show, as plain lists: one content for the page, for files and for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rl_experiments.reporting.report.content import rounded
from rl_experiments.reporting.report.curves import Band
from rl_experiments.reporting.report.losses import LossCurves
from rl_experiments.reporting.report.reading import Curve, RunData
from rl_experiments.reporting.report.summarising import EVALUATION, HOURS, STEPS, TRAINING, Cell, Report
from rl_experiments.reporting.report.videos import find_video, link_to

_MOST_POINTS = 200
"""Of the faint line of one seed."""


def curves(report: Report, losses: LossCurves | None = None) -> dict[str, Any]:
    """
    :param losses: by name, group and environment
    :return: by environment, then kind (``evaluation``, ``training``, the name of a loss), then group: the lines of its
        seeds and the mean of them
    """
    found: dict[str, Any] = {}
    for environment in report.environments:
        kinds: dict[str, Any] = {EVALUATION: {}, TRAINING: {}}
        for cell in report.cells_of(environment):
            for kind in (EVALUATION, TRAINING):
                if (content := _of_cell(cell, kind)) is not None:
                    kinds[kind][cell.group] = content
            for name, of_loss in (losses or {}).items():
                if (cell.group, environment) in of_loss:
                    runs, bands = of_loss[cell.group, environment]
                    seeds = [_seed(run, curve) for run, curve in runs]
                    means = {axis: band_as_dict(band) for axis, band in bands.items()}
                    kinds.setdefault(name, {})[cell.group] = {"seeds": seeds, "mean": means}
        found[environment] = {kind: content for kind, content in kinds.items() if content}
    return found


def _of_cell(cell: Cell, kind: str) -> dict[str, Any] | None:
    lines = [
        (run, curve)
        for run in cell.runs
        if (curve := run.evaluation if kind == EVALUATION else run.training) is not None
    ]
    if not lines:
        return None
    means = {axis: band_as_dict(cell.bands[kind, axis]) for axis in (STEPS, HOURS) if (kind, axis) in cell.bands}
    return {"seeds": [_seed(run, curve) for run, curve in lines], "mean": means}


def _seed(run: RunData, curve: Curve) -> dict[str, Any]:
    chosen = np.unique(np.linspace(0, len(curve.steps) - 1, min(_MOST_POINTS, len(curve.steps))).round().astype(int))
    return {
        "name": run.name,
        "steps": rounded(curve.steps[chosen]),
        "hours": None if curve.hours is None else rounded(curve.hours[chosen]),
        "value": rounded(curve.returns[chosen]),
    }


def band_as_dict(band: Band) -> dict[str, Any]:
    """:return: ready for JSON"""
    return {
        "x": rounded(band.x),
        "value": rounded(band.mean),
        "low": rounded(band.low),
        "high": rounded(band.high),
        "runs": [int(n) for n in band.n_runs],
    }


def overall(report: Report) -> dict[str, Any]:
    """:return: the content of the figures over all environments"""
    content = report.overall
    return {
        "aggregates": {
            label: {name: interval.as_dict() for name, interval in of_label.items()}
            for label, of_label in content.aggregates.items()
        },
        "profiles": {label: band_as_dict(band) for label, band in content.profiles.items()},
        "efficiency": {label: band_as_dict(band) for label, band in content.efficiency.items()},
        "in_steps": content.in_steps,
        "comparisons": [
            {"x": comparison.ours, "y": comparison.theirs, **comparison.probability.as_dict()}
            for comparison in content.comparisons
        ],
    }


def videos(report: Report, page: Path) -> dict[str, list[dict[str, Any]]]:
    """
    :param page: where the report will be
    :return: by environment, the best and the median run of each group, with the address of its video if there is one
    """
    return {
        environment: [entry for cell in report.cells_of(environment) for entry in _videos_of(cell, page)]
        for environment in report.environments
    }


def _videos_of(cell: Cell, page: Path) -> list[dict[str, Any]]:
    chosen: Mapping[str, RunData] = {"best": cell.best, "median": cell.middle}
    entries = []
    for what, run in chosen.items():
        if what == "median" and run is cell.best:
            continue
        file = find_video(run)
        entries.append(
            {
                "group": cell.group,
                "what": what if len(cell.runs) > 1 else "only",
                "name": run.name,
                "score": rounded(run.score),
                "link": link_to(file, page) if file else None,
            }
        )
    return entries
