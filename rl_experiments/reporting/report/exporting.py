"""The numbers of a report as JSON, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_experiments.core.files import write_text
from rl_experiments.reporting.report import plotting
from rl_experiments.reporting.report.bootstrap import Interval
from rl_experiments.reporting.report.content import Table, as_dict, flat, notes, number, shown, tables
from rl_experiments.reporting.report.summarising import Report

_BAND = ("x", "value", "low", "high", "runs")
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)


def write_numbers(
    report: Report,
    curves: Mapping[str, Any],
    formats: Sequence[str],
    folder: Path,
    targets: Mapping[str, Path] | None = None,
) -> list[Path]:
    """
    :param curves: of :func:`rl_experiments.reporting.report.plotting.curves`
    :param formats: of ``json``, ``csv``, ``md`` and ``tex``
    :param folder: where ``report.<format>`` goes, for CSV one file for each table and one with the curves
    :param targets: other places by format
    :return: the files
    """
    files = []
    for name in formats:
        target = (targets or {}).get(name, folder / f"report.{name}")
        if name == "csv":
            files += _write_csv(report, curves, target.parent if targets is None else target)
            continue
        if name == "json":
            text = json.dumps(as_dict(report, curves, overall_curves(report)), indent=1, allow_nan=False) + "\n"
        else:
            text = as_markdown(report) if name == "md" else as_latex(report)
        write_text(target, text)
        files.append(target)
    return files


def _write_csv(report: Report, curves: Mapping[str, Any], target: Path) -> list[Path]:
    """One file alone holds the runs."""
    found = {table.name: table for table in tables(report)}
    if target.suffix == ".csv":
        write_text(target, as_csv(found["runs"]))
        return [target]
    files = {target / f"{name}.csv": as_csv(table) for name, table in found.items()}
    files[target / "curves.csv"] = _curves_as_csv(curves)
    files |= {target / f"{name}.csv": _bands_as_csv(bands) for name, bands in overall_curves(report).items() if bands}
    for file, text in files.items():
        write_text(file, text)
    return list(files)


def as_csv(table: Table) -> str:
    """:return: the table with all digits, intervals in three columns"""
    header, rows = flat(table)
    return _csv([header, *rows])


def _curves_as_csv(curves: Mapping[str, Any]) -> str:
    rows: list[list[Any]] = [["environment", "kind", "group", "line", "over", "x", "value", "low", "high", "runs"]]
    for environment, kinds in curves.items():
        for kind, groups in kinds.items():
            for label, lines in groups.items():
                rows += [[environment, kind, label, *row] for row in _rows_of(lines)]
    return _csv(rows)


def overall_curves(report: Report) -> dict[str, Any]:
    """:return: performance profiles and sample efficiency, by group"""
    content = plotting.overall(report)
    return {name: content[name] for name in ("profiles", "efficiency")}


def _bands_as_csv(bands: Mapping[str, Any]) -> str:
    rows: list[list[Any]] = [["group", *_BAND]]
    for label, band in bands.items():
        rows += [[label, *row] for row in zip(*(band[name] for name in _BAND), strict=True)]
    return _csv(rows)


def _rows_of(lines: Mapping[str, Any]) -> list[list[Any]]:
    rows = []
    for over, band in lines["mean"].items():
        columns = (band[name] for name in _BAND)
        rows += [["mean", over, *row] for row in zip(*columns, strict=True)]
    for seed in lines["seeds"]:
        for over in ("steps", "hours"):
            if seed[over] is not None:
                rows += [
                    [seed["name"], over, x, y, None, None, 1] for x, y in zip(seed[over], seed["value"], strict=True)
                ]
    return rows


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def as_markdown(report: Report) -> str:
    """:return: all tables, below what one must know of them"""
    parts = ["# Report", "\n".join(f"- {_escaped(note)}" for note in notes(report))]
    for table in tables(report):
        rule = ["---" if index < table.n_texts else "---:" for index in range(len(table.header))]
        lines = [table.header, rule, *([_escaped(shown(value)) for value in row] for row in table.rows)]
        parts += [f"## {table.title}", "\n".join(f"| {' | '.join(line)} |" for line in lines)]
    return "\n\n".join(parts) + "\n"


def as_latex(report: Report) -> str:
    """:return: results, aggregates and comparisons as tables for ``\\input``; they need the package booktabs"""
    kept = [table for table in tables(report) if table.name in ("results", "aggregates", "comparisons")]
    return "\n".join(_latex_table(table) for table in kept)


def _latex_table(table: Table) -> str:
    columns = "l" * table.n_texts + "r" * (len(table.header) - table.n_texts)
    rows = [" & ".join(_latex_cell(value) for value in row) + r" \\" for row in table.rows]
    header = " & ".join(str(name).translate(_LATEX) for name in table.header) + r" \\"
    lines = [
        r"\begin{table}",
        rf"\caption{{{table.title.translate(_LATEX)}}}",
        rf"\label{{tab:{table.name}}}",
        r"\centering",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        header,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_cell(value: Any) -> str:
    if isinstance(value, Interval) and value.low is not None and value.high is not None:
        return f"${number(value.value)}$ {{\\scriptsize $[{number(value.low)}, {number(value.high)}]$}}"
    text = shown(value)
    return f"${text}$" if text and isinstance(value, (int, float, Interval)) else text.translate(_LATEX)


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|").replace("<", "&lt;")
