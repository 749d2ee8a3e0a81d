"""Stored results of evaluations, compared: what the zoo's ``plot_from_file`` shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.files import check_plain_file
from rl_experiments.core.pickles import loads, refusal
from rl_experiments.core.suggest import hint
from rl_experiments.reporting.plots.evaluations import TABLE, as_markdown, curve_drawings
from rl_experiments.reporting.plots.showing import Look, present
from rl_experiments.reporting.report.bootstrap import Bootstrap
from rl_experiments.reporting.report.figures import draw_aggregates, draw_comparisons, draw_curves
from rl_experiments.reporting.report.normalising import built_in_table
from rl_experiments.reporting.report.overall import summarise_overall
from rl_experiments.reporting.report.palette import colour
from rl_experiments.reporting.report.plotting import band_as_dict
from rl_experiments.reporting.report.reading import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LARGEST = 1 << 30
_NAMES_OF_ZOO = {
    "Half": "HalfCheetahBulletEnv-v0",
    "Ant": "AntBulletEnv-v0",
    "Hopper": "HopperBulletEnv-v0",
    "Walker": "Walker2DBulletEnv-v0",
    "Mountain": "MountainCarContinuous-v0",
    "LunarLanderContinuous": "LunarLanderContinuous-v3",
    "BipedalWalker": "BipedalWalker-v3",
}
"""Parts of names by which the zoo's users call these environments."""


@dataclass(frozen=True)
class ComparisonPlot:
    """
    :param file: of results, as ``plot evaluations -o`` and the zoo write it
    :param merge: further ones, whose results are added
    :param labels: of the keys, in their order
    :param rliable: aggregates and performance profiles
    :param versus: with ``rliable``, the probability of improvement
    :param iqm: with ``rliable``, the sample efficiency
    :param output: where the last figure of scores goes
    """

    file: str
    merge: Sequence[str] = ()
    skip_envs: Sequence[str] = ()
    keep_envs: Sequence[str] = ()
    skip_keys: Sequence[str] = ()
    keep_keys: Sequence[str] = ()
    labels: Sequence[str] = ()
    in_millions: bool = True
    skip_timesteps: bool = False
    boxplot: bool = False
    rliable: bool = False
    versus: bool = False
    iqm: bool = False
    confidence: float = 0.95
    legend: Any = "best"
    output: str | None = None
    format: str = "svg"


def plot_comparison(plot: ComparisonPlot, look: Look) -> list[Path]:
    """
    :return: the files that were written
    :raises RLExperimentsError: if there is nothing to show, or a name is wrong
    """
    stored = _merged([read_results(name) for name in (plot.file, *plot.merge)])
    if TABLE in stored:
        look.say(as_markdown(stored[TABLE]))
    results = _chosen(plot, {name: of_one for name, of_one in stored.items() if name != TABLE and of_one})
    keys = list(dict.fromkeys(key for of_one in results.values() for key in of_one))
    look.say(f"keys: {keys}")
    if plot.labels and len(plot.labels) != len(keys):
        raise ConfigurationError(f"--labels: expected {len(keys)}, one for each of {', '.join(keys)}")
    labels = dict(zip(keys, plot.labels or keys, strict=True))
    named = {name: {labels[key]: value for key, value in of_one.items()} for name, of_one in results.items()}
    drawings = {} if plot.skip_timesteps else curve_drawings(named, look, plot.in_millions)
    if plot.rliable:
        drawings |= _overall(plot, named, list(labels.values()), look)
    scores = {"scores": lambda figure: _draw_scores(figure, named, look, plot.legend)}
    if plot.boxplot:
        scores["boxplot"] = lambda figure: _draw_boxes(figure, named)
    files = present(drawings | scores, look)
    if plot.output is not None:
        target = Path(plot.output)
        to_file = replace(
            look, folder=target.parent, formats=(target.suffix.lstrip(".") or plot.format,), display=False
        )
        files += present({target.stem: scores["scores"]}, to_file)
    return files


def read_results(name: str) -> dict[str, Any]:
    """
    :param name: a file, whose ``.pkl`` may be left out
    :raises RLExperimentsError: if it is not there, or holds anything but results
    """
    path = Path(name if name.endswith(".pkl") else f"{name}.pkl")
    check_plain_file(path, _LARGEST)
    try:
        content = loads(path.read_bytes())
    except Exception as error:  # what a damaged pickle raises can be anything
        raise refusal(str(path), error) from None
    if not isinstance(content, dict) or not all(isinstance(value, dict) for value in content.values()):
        raise ConfigurationError(f"{path} holds no results. Expected what 'plot evaluations -o FILE' writes")
    return content


def _merged(all_results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The table is that of the first."""
    merged = {name: dict(of_one) for name, of_one in all_results[0].items()}
    for results in all_results[1:]:
        for name, of_one in results.items():
            if name != TABLE and name in merged:
                merged[name].update(of_one)
    return merged


def _chosen(plot: ComparisonPlot, results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    keys = {key for of_one in results.values() for key in of_one}
    for flag, names, there in (
        ("--skip-envs", plot.skip_envs, set(results)),
        ("--keep-envs", plot.keep_envs, set(results)),
        ("--skip-keys", plot.skip_keys, keys),
        ("--keep-keys", plot.keep_keys, keys),
    ):
        for name in names:
            if name not in there:
                raise ConfigurationError(f"{flag}: there is no '{name}' in {plot.file}.{hint(name, there)}")
    chosen = {
        name: {
            key: value
            for key, value in of_one.items()
            if isinstance(value, dict) and key not in plot.skip_keys and (not plot.keep_keys or key in plot.keep_keys)
        }
        for name, of_one in results.items()
        if name not in plot.skip_envs and (not plot.keep_envs or name in plot.keep_envs)
    }
    chosen = {name: of_one for name, of_one in chosen.items() if of_one}
    if not chosen:
        raise NotFoundError(f"{plot.file} has no results that are wanted")
    return chosen


def _overall(
    plot: ComparisonPlot, results: Mapping[str, Mapping[str, Any]], labels: list[str], look: Look
) -> dict[str, Callable[[Figure], None]]:
    cells = {
        (label, name): (np.atleast_1d(np.asarray(value["last_evals"], dtype=float)), _curves(value))
        for name, of_one in results.items()
        for label, value in of_one.items()
    }
    table = built_in_table()
    scales = {name: scale for name in results if (scale := table.find(_NAMES_OF_ZOO.get(name, name))) is not None}
    content = summarise_overall(labels, cells, scales, Bootstrap(2000, plot.confidence))
    for name, reason in content.left_out.items():
        look.say(f"{name} is left out of aggregates: {reason}")
    styles = {label: index for index, label in enumerate(labels)}
    aggregates = {
        label: {name: interval.as_dict() for name, interval in of_label.items()}
        for label, of_label in content.aggregates.items()
    }
    drawings: dict[str, Callable[[Figure], None]] = {}
    if aggregates:
        drawings["aggregates"] = lambda figure: draw_aggregates(figure, aggregates, styles)
        drawings["profiles"] = lambda figure: _draw_bands(figure, content.profiles, styles, "normalised score")
    if plot.versus and content.comparisons:
        pairs = [{"x": one.ours, "y": one.theirs, **one.probability.as_dict()} for one in content.comparisons]
        drawings["comparisons"] = lambda figure: draw_comparisons(figure, pairs)
    if plot.iqm and content.efficiency:
        x = "timesteps" if content.in_steps else "share of the training"
        drawings["efficiency"] = lambda figure: _draw_bands(figure, content.efficiency, styles, x)
    return drawings


def _curves(value: Mapping[str, Any]) -> list[Curve]:
    steps = np.asarray(value["timesteps"], dtype=float)
    per_run = np.asarray(value.get("mean_per_eval", np.asarray(value["mean"])[:, None]), dtype=float)
    return [Curve(steps, column) for column in per_run.T]


def _draw_bands(figure: Figure, bands: Mapping[str, Any], styles: Mapping[str, int], x: str) -> None:
    axes = figure.add_subplot()
    content = {label: {"seeds": [], "mean": {"x": band_as_dict(band)}} for label, band in bands.items()}
    draw_curves(axes, content, "x", styles)
    axes.set(xlabel=x, ylabel="share of runs above it" if x == "normalised score" else "IQM of normalised scores")


def _draw_scores(figure: Figure, results: Mapping[str, Mapping[str, Any]], look: Look, legend: Any) -> None:
    """Mean of the last evaluations with its standard error, environments side by side."""
    axes = figure.add_subplot()
    labels = list(dict.fromkeys(label for of_one in results.values() for label in of_one))
    width = 0.8 / len(labels)
    for index, label in enumerate(labels):
        there = [(place, of_one[label]) for place, of_one in enumerate(results.values()) if label in of_one]
        x = [place + (index - (len(labels) - 1) / 2) * width for place, _ in there]
        heights = [float(np.mean(value["last_evals"])) for _, value in there]
        errors = [float(value.get("std_error_last_eval", 0.0)) for _, value in there]
        axes.bar(x, heights, width, yerr=errors, label=label, color=colour(index), capsize=3)
    axes.set_xticks(range(len(results)), list(results), rotation=20 if len(results) > 3 else 0)
    axes.set_ylabel("Score", fontsize=look.fontsize)
    axes.legend(loc=legend)


def _draw_boxes(figure: Figure, results: Mapping[str, Mapping[str, Any]]) -> None:
    boxes = {
        f"{name}-{label}" if len(results) > 1 else label: np.atleast_1d(value["last_evals"])
        for name, of_one in results.items()
        for label, value in of_one.items()
    }
    axes = figure.add_subplot()
    axes.boxplot(list(boxes.values()), tick_labels=list(boxes))
    axes.tick_params(axis="x", rotation=20)
    axes.set_ylabel("Score")
