"""A report as one HTML file that opens without a network."""

from __future__ import annotations

import base64
import gzip
import importlib.resources
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import MissingPackageError
from rl_experiments.core.files import write_text
from rl_experiments.reporting.report import plotting
from rl_experiments.reporting.report.bootstrap import Interval
from rl_experiments.reporting.report.content import Table, notes, number, shown, tables
from rl_experiments.reporting.report.palette import colour, dash
from rl_experiments.reporting.report.summarising import Report
from rl_experiments.runs.record import versions

_HERE = "rl_experiments.reporting.report"
_CAPTIONS = {
    "aggregates": (
        "Aggregates",
        "Normalised final scores: 0 is a random agent, 1 the reference. For the gap, less is better.",
    ),
    "efficiency": ("Sample efficiency", "Interquartile mean of all runs in all environments over the training."),
    "profiles": ("Performance profiles", "How many runs reach more than a score."),
    "comparisons": (
        "Probability of improvement",
        "How probable it is that a run of X beats one of Y in the same environment.",
    ),
}


def write_page(report: Report, curves: Mapping[str, Any], target: Path) -> None:
    """
    :param curves: of :func:`rl_experiments.reporting.report.plotting.curves`
    :param target: the HTML file
    :raises MissingPackageError: if Plotly, whose script draws the figures, is not installed
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    overall = plotting.overall(report)
    content = environment.get_template("report.html.jinja").render(
        title=report.settings.title or _title(report),
        summary=_summary(report),
        style=_resource("report.css"),
        script=_resource("report.js"),
        overall_figures=[
            {"id": f"{name}-figure", "title": title, "caption": caption, "low": name in ("aggregates", "comparisons")}
            for name, (title, caption) in _CAPTIONS.items()
            if overall[name]
        ],
        environments=_environments(report, target),
        tables=[_cells(table) for table in tables(report)],
        notes=notes(report),
        made=_made(),
        data=_json(report, curves, overall),
        library=_library(),
    )
    write_text(target, content)


def _made() -> str:
    version = versions().get("rl_experiments", "")
    return f"rl_experiments {version}, {datetime.now(UTC).isoformat(timespec='minutes')}"


def _title(report: Report) -> str:
    names = ", ".join(report.labels) if len(report.labels) <= 5 else f"{len(report.labels)} groups"
    return f"{names} on " + (
        report.environments[0] if len(report.environments) == 1 else f"{len(report.environments)} environments"
    )


def _summary(report: Report) -> str:
    skipped = f", {len(report.skipped)} more were skipped" if report.skipped else ""
    wrong = f", {len(report.trouble)} seeds went wrong" if report.trouble else ""
    return f"{len(report.runs)} runs of {', '.join(report.folders)}{skipped}{wrong}."


def _environments(report: Report, target: Path) -> list[dict[str, Any]]:
    links = plotting.videos(report, target)
    return [
        {"id": name, "videos": [{**video, "shown": number(video["score"] or 0.0)} for video in links[name]]}
        for name in report.environments
    ]


def _cells(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": table.title,
        "header": table.header,
        "n_texts": table.n_texts,
        "rows": [[{"shown": shown(value), "value": _value(value)} for value in row] for row in table.rows],
    }


def _value(value: Any) -> float | None:
    """:return: what a column is sorted by"""
    if isinstance(value, Interval):
        return value.value
    return value if isinstance(value, (int, float)) else None


def _json(report: Report, curves: Mapping[str, Any], overall: Mapping[str, Any]) -> str:
    groups = [
        {"label": label, "colour": colour(index), "dash": dash(index)} for index, label in enumerate(report.labels)
    ]
    content = {"groups": groups, "curves": curves, "overall": overall}
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")  # no text of a user's can end the script


def _library() -> str:
    """Packed: it takes 2 MB in place of 5, and every browser since 2023 unpacks it."""
    try:
        file = importlib.resources.files("plotly") / "package_data" / "plotly.min.js"
        content = file.read_bytes()
    except (ImportError, OSError):
        raise MissingPackageError("An HTML report", "plotly", "all") from None
    return base64.b64encode(gzip.compress(content, mtime=0)).decode("ascii")


def _resource(name: str) -> str:
    return (importlib.resources.files(_HERE) / "templates" / name).read_text(encoding="utf-8")
