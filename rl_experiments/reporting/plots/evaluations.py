"""Evaluations of algorithms in environments, as curves and as a table: what the zoo's ``all_plots`` shows."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_experiments.core.errors import NotFoundError, RLExperimentsError
from rl_experiments.core.files import write_bytes
from rl_experiments.core.suggest import hint
from rl_experiments.reporting.plots.showing import Look, present
from rl_experiments.reporting.report.palette import colour
from rl_experiments.reporting.report.reading import read_evaluations
from rl_experiments.runs import Run, all_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MILLION = 1e6
TABLE = "results_table"
"""The key of the table among the results, as in the zoo's files."""


@dataclass(frozen=True)
class EvaluationPlot:
    """
    :param algorithms: whose runs
    :param environments: each stands for all whose name contains it
    :param folders: of all runs
    :param labels: what to call each folder
    :param key: of ``evaluations.npz``
    :param max_timesteps: where curves are cut
    :param min_timesteps: runs that are shorter are left out
    :param median: in the table, in place of mean and standard error
    :param in_millions: of steps
    :param print_n_trials: say how many runs each result is of
    """

    algorithms: Sequence[str]
    environments: Sequence[str]
    folders: Sequence[str]
    labels: Sequence[str] = ()
    key: str = "results"
    max_timesteps: int = 2_000_000
    min_timesteps: int = -1
    median: bool = False
    in_millions: bool = True
    print_n_trials: bool = False
    output: Path | None = field(default=None)


def plot_evaluations(plot: EvaluationPlot, look: Look) -> dict[str, Any]:
    """
    :return: the results as the zoo stores them: by environment, then ``<ALGO>-<label>``, and a table
    :raises NotFoundError: if there is nothing to show
    """
    labels = list(plot.labels or plot.folders)
    results: dict[str, Any] = {environment: {} for environment in plot.environments}
    for folder, label in zip(plot.folders, labels, strict=True):
        listed = all_runs(folder)
        for environment in plot.environments:
            for algorithm in plot.algorithms:
                runs = [run for run in listed if run.algorithm == algorithm and environment in Path(run.path).name]
                measured = [one for run in runs if (one := _measured(plot, Path(run.path), look.say)) is not None]
                if measured:
                    name = f"{algorithm.upper()}-{label}"
                    results[environment][name] = merge(measured, plot.max_timesteps)
                    if plot.print_n_trials:
                        look.say(f"{environment}-{name}: {len(measured)}")
    if not any(results.values()):
        there = {(run.algorithm, run.environment) for folder in plot.folders for run in all_runs(folder)}
        in_those = sorted({algo for algo, env in there if any(name in env for name in plot.environments)})
        if in_those:
            near = f" There: {', '.join(in_those)}"
        else:
            near = hint(plot.environments[0], {env for _, env in there})
        raise NotFoundError(
            f"There is no evaluation of {', '.join(plot.algorithms)} on {', '.join(plot.environments)} in "
            f"{', '.join(plot.folders)}.{near}"
        )
    table = _table(plot, labels, results)
    look.say(as_markdown(table))
    if plot.output is not None:
        target = plot.output if plot.output.suffix == ".pkl" else plot.output.with_name(f"{plot.output.name}.pkl")
        look.say(f"Saving to {target}")
        write_bytes(target, pickle.dumps({**results, TABLE: table}))
    present(curve_drawings(results, look, plot.in_millions), look)
    return {**results, TABLE: table}


def _measured(plot: EvaluationPlot, folder: Path, say: Callable[[str], None]) -> tuple[np.ndarray, np.ndarray] | None:
    """:return: steps and the value of each evaluation of one run"""
    try:
        steps, values = read_evaluations(Run(folder, "", "").evaluations_file, plot.key)
    except (RLExperimentsError, OSError) as error:
        say(f"Skipped {folder}: {error}")
        return None
    if not len(steps):
        say(f"Eval not found for {folder}")
        return None
    if steps[-1] < plot.min_timesteps or steps[0] > plot.max_timesteps:
        return None
    kept = steps <= plot.max_timesteps
    return steps[kept], values[kept].mean(axis=1)


def merge(runs: Sequence[tuple[np.ndarray, np.ndarray]], max_timesteps: float) -> dict[str, Any]:
    """
    Put runs together, whatever their evaluations are apart: on the steps of the one with the fewest evaluations among
    the longest, to which the others are brought by the nearest of theirs; shorter ones count only with their end.
    """
    end = max(steps[-1] for steps, _ in runs)
    whole = [run for run in runs if run[0][-1] >= 0.95 * end]
    steps = min((run[0] for run in whole), key=len)
    together = np.stack([values[np.abs(own[:, None] - steps).argmin(axis=0)] for own, values in whole], axis=1)
    last = np.array([values[-1] for _, values in runs])
    return {
        "timesteps": steps,
        "mean": together.mean(axis=1),
        "std_error": together.std(axis=1) / np.sqrt(together.shape[1]),
        "last_evals": last,
        "std_error_last_eval": float(last.std() / np.sqrt(len(last))),
        "mean_per_eval": together,
    }


def _table(plot: EvaluationPlot, labels: Sequence[str], results: Mapping[str, Any]) -> dict[str, Any]:
    columns = [(algorithm.upper(), label) for algorithm in plot.algorithms for label in labels]
    rows = [["", *(label for _, label in columns)]]
    for environment in plot.environments:
        cells = [_cell(results[environment].get(f"{algorithm}-{label}"), plot.median) for algorithm, label in columns]
        rows.append([environment, *cells])
    return {"headers": ["Environments", *(algorithm for algorithm, _ in columns)], "value_matrix": rows}


def _cell(result: Mapping[str, Any] | None, median: bool) -> str:
    if result is None:
        return ""
    if median:
        return f"{np.median(result['last_evals']):.0f}"
    return f"{result['last_evals'].mean():.0f} +/- {result['std_error_last_eval']:.0f}"


def as_markdown(table: Mapping[str, Any]) -> str:
    """:return: the table of :func:`plot_evaluations`, or of the zoo, as text"""
    rows = [[str(cell) for cell in row] for row in (table["headers"], *table["value_matrix"])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def curve_drawings(
    results: Mapping[str, Any], look: Look, in_millions: bool = True, labels: Mapping[str, str] | None = None
) -> dict[str, Callable[[Figure], None]]:
    """:return: what draws the curves of each environment, by name"""
    return {
        f"evaluations-{environment}": partial(_draw, environment, of_one, look, in_millions, labels or {})
        for environment, of_one in results.items()
        if environment != TABLE and of_one
    }


def _draw(
    environment: str,
    results: Mapping[str, Any],
    look: Look,
    in_millions: bool,
    labels: Mapping[str, str],
    figure: Figure,
) -> None:
    axes = figure.add_subplot()
    for index, (name, result) in enumerate(results.items()):
        x = np.asarray(result["timesteps"]) / (_MILLION if in_millions else 1.0)
        mean, error = np.asarray(result["mean"]), np.asarray(result["std_error"])
        axes.plot(x, mean, label=labels.get(name, name), linewidth=3, color=colour(index))
        axes.fill_between(x, mean - error, mean + error, alpha=0.3, color=colour(index), linewidth=0)
    axes.set_title(environment, fontsize=look.fontsize)
    axes.set_xlabel(f"Timesteps{' (in Million)' if in_millions else ''}", fontsize=look.fontsize)
    axes.set_ylabel("Score", fontsize=look.fontsize)
    axes.grid(alpha=0.3)
    axes.legend()
