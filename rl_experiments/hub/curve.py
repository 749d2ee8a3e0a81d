"""The learning curve of a run as a picture."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from rl_experiments.core.files import replacing
from rl_experiments.runs import Run

_POINTS = 100
"""A training curve is an average over so many stretches of the training."""
_BLUE = "#0072b2"


def draw_curve(run: Run, target: Path) -> bool:
    """
    Draw the evaluations of a training (mean and standard deviation over episodes), or else its training episodes.

    :param target: a .png file
    :return: whether there was anything to draw
    """
    curve = _evaluations(run.evaluations_file) or _training_episodes(run.monitor_files())
    if curve is None:
        return False
    steps, mean, spread, label = curve
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.fill_between(steps, mean - spread, mean + spread, color=_BLUE, alpha=0.2, linewidth=0)
    axes.plot(steps, mean, color=_BLUE, linewidth=1.5, marker="." if len(steps) < 20 else None)
    axes.set(xlabel="environment steps", ylabel=label, title=f"{run.algorithm} on {run.env_name}")
    axes.grid(alpha=0.3)
    with replacing(target) as temporary:
        # Without the version in the file, the same run gives the same bytes.
        FigureCanvasAgg(figure).print_png(temporary, metadata={"Software": None})
    return True


Curve = tuple[np.ndarray, np.ndarray, np.ndarray, str]


def _evaluations(file: Path) -> Curve | None:
    try:
        with np.load(file, allow_pickle=False) as content:
            steps, results = np.asarray(content["timesteps"]), np.asarray(content["results"], dtype=float)
    except Exception:  # it is missing or damaged: there is a card without a curve then
        return None
    if steps.ndim != 1 or results.ndim != 2 or len(steps) != len(results) or not results.size:
        return None
    return steps, results.mean(axis=1), results.std(axis=1), "return in evaluation"


def _training_episodes(files: Iterable[Path]) -> Curve | None:
    """Episodes of all training environments in the order of their end, averaged over stretches."""
    episodes: list[tuple[float, float, float]] = []
    for file in files:
        episodes += _episodes_of(file)
    if not episodes:
        return None
    episodes.sort()
    returns = np.array([episode[1] for episode in episodes])
    # The environments step together: the steps of all episodes so far are close to those of the training.
    steps = np.cumsum([episode[2] for episode in episodes])
    stretches = np.array_split(np.arange(len(returns)), min(_POINTS, len(returns)))
    mean = np.array([returns[stretch].mean() for stretch in stretches])
    spread = np.array([returns[stretch].std() for stretch in stretches])
    return np.array([steps[stretch[-1]] for stretch in stretches]), mean, spread, "return of training episodes"


def _episodes_of(file: Path) -> list[tuple[float, float, float]]:
    """:return: time, return and length of each episode of a Monitor log; nothing where it is no such log"""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            if not stream.readline().startswith("#"):
                return []
            return [(float(row["t"]), float(row["r"]), float(row["l"])) for row in csv.DictReader(stream)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return []
