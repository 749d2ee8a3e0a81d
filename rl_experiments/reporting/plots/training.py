"""Rolling means over training episodes, one line for each run: what the zoo's ``plot_train`` shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rl_experiments.core.errors import NotFoundError, RLExperimentsError
from rl_experiments.core.suggest import hint
from rl_experiments.reporting.plots.showing import Look, present
from rl_experiments.reporting.report.episodes import Episodes, read_episodes
from rl_experiments.reporting.report.palette import colour
from rl_experiments.runs import ListedRun, Run, all_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

X_AXES = {"steps": "Timesteps", "episodes": "Episodes", "time": "Walltime (in hours)"}
Y_AXES = {"reward": "Training Episodic Reward", "success": "Training Success Rate", "length": "Training Episode Length"}
_SECONDS_OF_AN_HOUR = 3600.0


@dataclass(frozen=True)
class TrainingPlot:
    """
    :param algorithm: whose runs
    :param environments: each stands for all whose name contains it
    :param folder: of all runs
    :param x: one of :data:`X_AXES`
    :param y: one of :data:`Y_AXES`
    :param window: episodes of one mean
    :param max_timesteps: steps of the episodes that are shown
    """

    algorithm: str
    environments: Sequence[str]
    folder: str
    x: str = "steps"
    y: str = "reward"
    window: int = 100
    max_timesteps: int | None = None


def plot_training(plot: TrainingPlot, look: Look) -> list[Path]:
    """
    :return: the files that were written
    :raises NotFoundError: if no run has anything to show
    """
    lines = {}
    for listed in chosen_runs(plot.folder, plot.algorithm, plot.environments):
        line = _line(plot, listed, look.say)
        if line is not None:
            lines[Path(listed.path).name] = line
    if not lines:
        raise NotFoundError(
            f"No run has {plot.window} training episodes with a {plot.y}. A smaller window shows shorter ones: -w 10"
        )

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for index, (name, (x, y)) in enumerate(lines.items()):
            axes.plot(x, y, linewidth=2, label=name, color=colour(index))
        axes.set_title(Y_AXES[plot.y], fontsize=look.fontsize)
        axes.set_xlabel(X_AXES[plot.x], fontsize=look.fontsize)
        axes.set_ylabel(Y_AXES[plot.y], fontsize=look.fontsize)
        axes.grid(alpha=0.3)
        axes.legend()

    return present({f"train-{plot.algorithm}-{'-'.join(plot.environments)}-{plot.y}": draw}, look)


def chosen_runs(folder: str, algorithm: str, environments: Sequence[str]) -> list[ListedRun]:
    """
    :return: the runs of an algorithm whose folder's name contains one of these, in the order in which they were changed
    :raises NotFoundError: if there is none
    """
    of_algorithm = [run for run in all_runs(folder) if run.algorithm == algorithm]
    if not of_algorithm:
        raise NotFoundError(f"There is no run of {algorithm} in {folder}.")
    chosen = [run for run in of_algorithm if any(name in Path(run.path).name for name in environments)]
    if not chosen:
        there = {run.environment_name for run in of_algorithm}
        raise NotFoundError(
            f"There is no run of {algorithm} on {environments[0]} in {folder}.{hint(environments[0], there)}"
        )
    return sorted(chosen, key=lambda run: run.changed)


def _line(plot: TrainingPlot, listed: ListedRun, say: Callable[[str], None]) -> tuple[np.ndarray, np.ndarray] | None:
    run = Run(Path(listed.path), listed.algorithm, listed.environment_name)
    try:
        episodes = read_episodes(run.monitor_files())
    except (RLExperimentsError, OSError) as error:
        say(f"Skipped {listed.path}: {error}")
        return None
    values = None if episodes is None else _values(plot.y, episodes)
    if episodes is None or values is None:
        say(f"No data available for {listed.path}")
        return None
    steps = episodes.steps(listed.steps)
    kept = slice(None) if plot.max_timesteps is None else steps <= plot.max_timesteps
    x = {"steps": steps, "episodes": np.arange(1, len(episodes) + 1), "time": episodes.seconds / _SECONDS_OF_AN_HOUR}
    return _rolling(x[plot.x][kept], values[kept], plot.window)


def _values(y: str, episodes: Episodes) -> np.ndarray | None:
    return {"reward": episodes.returns, "length": episodes.lengths, "success": episodes.successes}[y]


def _rolling(x: np.ndarray, y: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray] | None:
    if len(x) < window:
        return None
    sums = np.cumsum(np.r_[0.0, y])
    return x[window - 1 :], (sums[window:] - sums[:-window]) / window
