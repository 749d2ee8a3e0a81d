"""The figures of a report as files, by matplotlib."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_experiments.core.files import replacing
from rl_experiments.core.names import folder_name
from rl_experiments.reporting.report import plotting
from rl_experiments.reporting.report.palette import DASHES, colour, dash
from rl_experiments.reporting.report.summarising import HOURS, STEPS, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINES = dict(zip(DASHES, ("-", "--", ":", "-."), strict=True))
_TITLES = {"median": "Median", "iqm": "IQM", "mean": "Mean", "optimality_gap": "Optimality gap"}
_LABELS = {"evaluation": "return in evaluation", "training": "return in training"}
_SIZE = (6.4, 4.4)
_DPI = 150


def write_figures(report: Report, curves: Mapping[str, Any], formats: Sequence[str], folder: Path) -> list[Path]:
    """
    :param curves: of :func:`rl_experiments.reporting.report.plotting.curves`
    :param formats: of ``png``, ``svg`` and ``pdf``
    :return: the files
    """
    if not formats:
        return []
    files = []
    for name, draw in all_figures(report, curves):
        figure = new_figure()
        draw(figure)
        files += [save(figure, folder / f"{name}.{format}") for format in formats]
    return files


def all_figures(report: Report, curves: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[Figure], None]]]:
    """:return: the name of each figure, and what draws it"""
    styles = {label: index for index, label in enumerate(report.labels)}
    overall = plotting.overall(report)
    for environment, kinds in curves.items():
        for kind, content in kinds.items():
            for axis in (STEPS, HOURS):
                if any(axis in lines["mean"] for lines in content.values()):
                    name = re.sub(
                        r"[^\w.-]+", "-", f"{kind}-{folder_name(environment)}{'-hours' if axis == HOURS else ''}"
                    )
                    yield name, _curve_drawing(environment, kind, content, axis, styles)
    if overall["aggregates"]:
        yield "aggregates", lambda figure: draw_aggregates(figure, overall["aggregates"], styles)
    x_of_efficiency = "environment steps" if overall["in_steps"] else "share of the training"
    for name, x, y in (
        ("profiles", r"normalised score $\tau$", r"share of runs with score > $\tau$"),
        ("efficiency", x_of_efficiency, "IQM of normalised returns"),
    ):
        if overall[name]:
            yield name, _bands_drawing(overall[name], x, y, styles)
    if overall["comparisons"]:
        yield "comparisons", lambda figure: draw_comparisons(figure, overall["comparisons"])


def new_figure(size: tuple[float, float] = _SIZE) -> Figure:
    """:return: an empty one, that no screen is needed for"""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, target: Path) -> Path:
    """Write a figure in the format that the name says."""
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(target.suffix.lstrip("."))
    with replacing(target) as temporary:
        figure.savefig(temporary, dpi=_DPI, metadata=metadata)
    return target


def _curve_drawing(
    environment: str, kind: str, content: Mapping[str, Any], axis: str, styles: Mapping[str, int]
) -> Callable[[Figure], None]:
    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        draw_curves(axes, content, axis, styles)
        axes.set(
            title=environment, xlabel="environment steps" if axis == STEPS else "hours", ylabel=_LABELS.get(kind, kind)
        )

    return draw


def draw_curves(axes: Axes, content: Mapping[str, Any], axis: str, styles: Mapping[str, int]) -> None:
    """
    :param content: of one environment and kind, by group
    :param axis: ``steps`` or ``hours``
    :param styles: the number of each group
    """
    for label, lines in content.items():
        for seed in lines["seeds"]:
            if seed[axis] is not None:
                axes.plot(seed[axis], _floats(seed["value"]), color=colour(styles[label]), alpha=0.2, linewidth=0.7)
        if axis in lines["mean"]:
            _draw_band(axes, label, lines["mean"][axis], styles[label])
    _finish(axes)


def _bands_drawing(bands: Mapping[str, Any], x: str, y: str, styles: Mapping[str, int]) -> Callable[[Figure], None]:
    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for label, band in bands.items():
            _draw_band(axes, label, band, styles[label])
        _finish(axes)
        axes.set(xlabel=x, ylabel=y)

    return draw


def _draw_band(axes: Axes, label: str, band: Mapping[str, Any], index: int) -> None:
    line = _LINES[dash(index)]
    marker = "o" if len(band["x"]) == 1 else None
    axes.plot(
        band["x"], _floats(band["value"]), color=colour(index), linestyle=line, marker=marker, linewidth=2, label=label
    )
    axes.fill_between(
        band["x"], _floats(band["low"]), _floats(band["high"]), color=colour(index), alpha=0.18, linewidth=0
    )


def _finish(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small")


def draw_aggregates(figure: Figure, aggregates: Mapping[str, Any], styles: Mapping[str, int]) -> None:
    """One column for each aggregate, one row for each group."""
    labels, metrics = list(aggregates), list(next(iter(aggregates.values())))
    figure.set_size_inches(2.6 * len(metrics) + 1, 0.4 * len(labels) + 1.1)
    for index, metric in enumerate(metrics):
        axes = figure.add_subplot(1, len(metrics), index + 1)
        for row, label in enumerate(labels):
            _draw_interval(axes, row, aggregates[label][metric], colour(styles[label]))
        axes.set(title=_TITLES[metric], yticks=range(len(labels)), yticklabels=labels if index == 0 else [])
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)


def draw_comparisons(figure: Figure, comparisons: Sequence[Mapping[str, Any]]) -> None:
    """One row for each pair."""
    figure.set_size_inches(_SIZE[0], 0.35 * len(comparisons) + 1.1)
    axes = figure.add_subplot()
    for row, pair in enumerate(comparisons):
        _draw_interval(axes, row, pair, colour(0))
    axes.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
    pairs = [f"{pair['x']} > {pair['y']}" for pair in comparisons]
    axes.set(xlim=(-0.02, 1.02), xlabel="P(X > Y)", yticks=range(len(pairs)), yticklabels=pairs)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)


def _draw_interval(axes: Axes, row: int, interval: Mapping[str, Any], shade: str) -> None:
    if interval["low"] is not None and interval["high"] is not None:
        axes.barh(row, interval["high"] - interval["low"], left=interval["low"], height=0.6, color=shade, alpha=0.6)
    axes.plot([interval["value"]] * 2, [row - 0.3, row + 0.3], color="black", linewidth=2)


def _floats(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
