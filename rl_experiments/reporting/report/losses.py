"""Losses of training: from ``progress.csv`` in the run's folder, or else from its TensorBoard log."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rl_experiments.core.errors import MissingPackageError, RLExperimentsError
from rl_experiments.reporting.report.bootstrap import Bootstrap
from rl_experiments.reporting.report.curves import Band, mean_curve
from rl_experiments.reporting.report.reading import Curve, RunData
from rl_experiments.reporting.report.summarising import HOURS, STEPS, Report
from rl_experiments.runs import Run

LossCurves = dict[str, dict[tuple[str, str], tuple[list[tuple[RunData, Curve]], dict[str, Band]]]]
"""By name, then group and environment: the lines of the runs, and their means by steps and hours."""

_PREFIX = "train/"
_NO_LOSSES = ("n_updates",)
_STEPS_COLUMN = "time/total_timesteps"
_EVENTS = re.compile(r"events\.out\.tfevents\.(?P<time>\d+)\.(?P<host>.+?)\.(?P<pid>\d+)\.\d+(?:\..*)?$")
_MOST_POINTS = 1000
"""That TensorBoard's reader keeps of each curve."""
_EARLIEST, _LATEST = -5.0, 120.0
"""Seconds from the start of a run within which its log begins."""


def collect_losses(report: Report) -> LossCurves:
    """:return: the curves of all losses that are found; none where a run left no log"""
    bootstrap = Bootstrap(report.settings.resamples, report.settings.confidence, report.settings.seed)
    found: dict[str, dict[tuple[str, str], list[tuple[RunData, Curve]]]] = {}
    for key, cell in report.cells.items():
        for run in cell.runs:
            for name, curve in read_losses(run).items():
                found.setdefault(name, {}).setdefault(key, []).append((run, curve))
    return {
        name: {key: (lines, _bands([curve for _, curve in lines], bootstrap)) for key, lines in of_loss.items()}
        for name, of_loss in sorted(found.items())
    }


def _bands(curves: Sequence[Curve], bootstrap: Bootstrap) -> dict[str, Band]:
    means = {axis: mean_curve(curves, bootstrap, hours=axis == HOURS) for axis in (STEPS, HOURS)}
    return {axis: band for axis, band in means.items() if band is not None}


def read_losses(run: RunData) -> dict[str, Curve]:
    """:return: each loss of a run by its name in the log"""
    progress = run.path / "progress.csv"
    values = _from_csv(progress) if progress.is_file() else {}
    if not values:
        folder = tensorboard_folder(run)
        values = _from_tensorboard(folder) if folder is not None else {}
    return {name: Curve(steps, losses, _hours(run, steps)) for name, (steps, losses) in values.items() if len(steps)}


def _hours(run: RunData, steps: np.ndarray) -> np.ndarray | None:
    if run.training is None or run.training.hours is None:
        return None
    return np.asarray(np.interp(steps, np.r_[0.0, run.training.steps], np.r_[0.0, run.training.hours]))


def _from_csv(file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    names = [name for name in (rows[0] if rows else {}) if _is_loss(name)]
    return {name: _column(rows, name) for name in names}


def _column(rows: Sequence[Mapping[str, str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    points = []
    for row in rows:
        try:
            points.append((float(row[_STEPS_COLUMN]), float(row[name])))
        except (KeyError, TypeError, ValueError):  # nothing was logged at this step
            continue
    steps, values = np.array(points, dtype=float).reshape(-1, 2).T
    return steps, values


def tensorboard_folder(run: RunData) -> Path | None:
    """:return: the folder of the run's TensorBoard log: the one that its process, or some process then, began"""
    folder = Run(run.path, run.listed.algorithm, run.listed.environment_name)
    try:
        root = folder.arguments.get("tensorboard_log")
    except (RLExperimentsError, OSError):
        return None
    parent = Path(str(root)) / run.listed.environment_name if root else None
    if parent is None or not parent.is_dir():
        return None
    candidates = [(match, file.parent) for file in parent.glob("*/events.*") if (match := _EVENTS.match(file.name))]
    process = run.record.get("process", {})
    exact = [
        where
        for match, where in candidates
        if match["pid"] == str(process.get("pid")) and match["host"] == process.get("host")
    ]
    started = run.began
    if exact or started is None:
        return exact[0] if len(set(exact)) == 1 else None
    near = [
        (abs(late), where)
        for match, where in candidates
        if _EARLIEST <= (late := int(match["time"]) - started) <= _LATEST
    ]
    return min(near)[1] if near else None


def _from_tensorboard(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    try:
        from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator
    except ImportError:
        raise MissingPackageError("--losses", "tensorboard", "all") from None
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    log = EventAccumulator(str(folder), size_guidance={SCALARS: _MOST_POINTS})
    log.Reload()
    names = [name for name in log.Tags()[SCALARS] if _is_loss(name)]
    points = {name: np.array([(event.step, event.value) for event in log.Scalars(name)], dtype=float) for name in names}
    return {name: (of_one[:, 0], of_one[:, 1]) for name, of_one in points.items()}


def _is_loss(name: str) -> bool:
    return name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in _NO_LOSSES
