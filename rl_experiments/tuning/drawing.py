"""Charts as SVG text."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_WIDTH, _HEIGHT = 1000, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 20, 20, 45
_TICKS = 5


@dataclass(frozen=True)
class Line:
    """
    :param name: shown when the pointer is over it, and in a legend
    :param points: x and y
    :param color: CSS
    :param dots: points that are not joined
    """

    name: str
    points: Sequence[tuple[float, float]]
    color: str
    dots: bool = False


class _Scale:
    """From values to places between two ends."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        finite = [value for value in values if math.isfinite(value)] or [0.0]
        self.low, self.high = min(finite), max(finite)
        self._begin, self._end = begin, end

    def __call__(self, value: float) -> float:
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return round(self._begin + share * (self._end - self._begin), 1)

    def ticks(self) -> list[float]:
        """:return: values to write beside the axis"""
        if self.high == self.low:
            return [self.low]
        return [self.low + (self.high - self.low) * index / _TICKS for index in range(_TICKS + 1)]


def chart(lines: Sequence[Line], x_name: str, y_name: str, legend: bool = False) -> str:
    """:return: lines and dots over two axes"""
    points = [point for line in lines for point in line.points if all(map(math.isfinite, point))]
    across = _Scale([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    up = _Scale([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    parts = [_axes(across, up, x_name, y_name)]
    for line in lines:
        places = [(across(x), up(y)) for x, y in line.points if math.isfinite(x) and math.isfinite(y)]
        title = f"<title>{html.escape(line.name)}</title>"
        if line.dots or len(places) == 1:
            parts += [f'<circle cx="{x}" cy="{y}" r="4" fill="{line.color}">{title}</circle>' for x, y in places]
        else:
            joined = " ".join(f"{x},{y}" for x, y in places)
            parts.append(
                f'<polyline points="{joined}" fill="none" stroke="{line.color}" stroke-opacity=".6">{title}</polyline>'
            )
    if legend:
        for index, line in enumerate(lines):
            x = _LEFT + 10 + 190 * index
            parts.append(f'<circle cx="{x}" cy="10" r="4" fill="{line.color}"/>{_text(x + 9, 14, line.name)}')
    return _svg(parts, _HEIGHT)


def bars(values: Mapping[str, float]) -> str:
    """:return: horizontal bars, each with its name and value"""
    longest, height = max(values.values()) or 1.0, 24
    parts = []
    for index, (name, value) in enumerate(values.items()):
        y, width = index * height + 4, round(max(value, 0) / longest * (_WIDTH - 320), 1)
        parts.append(_text(190, y + 13, name, "end"))
        parts.append(f'<rect x="200" y="{y}" width="{width}" height="17" fill="#2563a8"/>')
        parts.append(_text(207 + width, y + 13, f"{value:.3f}"))
    return _svg(parts, height * len(values) + 8)


def parallel(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """
    :param rows: values by name; the last name is the score, which gives the colour
    :return: one axis for each name, and a line through each row
    """
    width = max(_WIDTH, 150 * len(names))
    places = [80 + index * (width - 160) / max(len(names) - 1, 1) for index in range(len(names))]
    axes = [_axis_of([row.get(name) for row in rows]) for name in names]
    scores = _Scale([float(row[names[-1]]) for row in rows], 0, 1)
    parts = []
    for row in sorted(rows, key=lambda row: float(row[names[-1]])):
        joined = " ".join(
            f"{x:.1f},{axis[0](row[name])}"
            for x, axis, name in zip(places, axes, names, strict=True)
            if row.get(name) is not None
        )
        share = scores(float(row[names[-1]]))
        title = html.escape(", ".join(f"{name}: {row[name]}" for name in names if name in row))
        parts.append(
            f'<polyline points="{joined}" fill="none" stroke="hsl({210 - 180 * share:.0f},70%,45%)"'
            f' stroke-opacity="{0.25 + 0.6 * share:.2f}"><title>{title}</title></polyline>'
        )
    for x, (_, labels), name in zip(places, axes, names, strict=True):
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="40" y2="{_HEIGHT - 30}" stroke="#999"/>')
        parts.append(_text(x, 20, name, "middle"))
        parts += [_text(x + 4, y + 4, label) for y, label in labels]
    return _svg(parts, _HEIGHT, width)


def _axis_of(values: Sequence[Any]) -> tuple[Any, list[tuple[float, str]]]:
    """:return: from a value to its place, and labels by place; a logarithmic scale for what spans magnitudes"""
    known = [value for value in values if value is not None]
    top, bottom = 40.0, _HEIGHT - 30.0
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in known):
        labels = sorted({str(value) for value in known})
        scale = _Scale(list(range(len(labels))), bottom, top)
        return lambda value: scale(labels.index(str(value))), [(scale(i), text) for i, text in enumerate(labels)]
    is_log = min(known) > 0 and max(known) / min(known) >= 100
    change = math.log10 if is_log else float
    scale = _Scale([change(value) for value in known], bottom, top)
    ticks = [(scale(tick), f"{10**tick if is_log else tick:.3g}") for tick in scale.ticks()]
    return lambda value: scale(change(value)), ticks


def _axes(across: _Scale, up: _Scale, x_name: str, y_name: str) -> str:
    parts = [
        f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" fill="none" stroke="#999"/>',
        _text((_LEFT + _WIDTH) / 2, _HEIGHT - 8, x_name, "middle"),
        f'<g transform="rotate(-90 14 {_HEIGHT / 2})">{_text(14, _HEIGHT / 2, y_name, "middle")}</g>',
    ]
    parts += [_text(across(tick), _HEIGHT - _BOTTOM + 18, f"{tick:,.6g}", "middle") for tick in across.ticks()]
    parts += [_text(_LEFT - 8, up(tick) + 4, f"{tick:,.5g}", "end") for tick in up.ticks()]
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(parts: Sequence[str], height: float, width: float = _WIDTH) -> str:
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img">{"".join(parts)}</svg>'
