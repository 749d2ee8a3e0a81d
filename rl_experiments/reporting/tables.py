"""The table of a benchmark as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_experiments.core.files import write_text
from rl_experiments.reporting.results import NOT_PLAYED, PLAYED, AgentResult

_COLUMNS = (
    "algorithm",
    "environment",
    "mean",
    "std",
    "episodes",
    "steps",
    "seconds",
    "n_training_steps",
    "success_rate",
    "published_mean",
    "published_std",
    "published_episodes",
    "difference",
    "difference_in_standard_errors",
    "status",
    "reason",
    "run",
    "agent",
    "environment_played",
    "deterministic",
)
"""Of the CSV file."""
_HEADER = ("algorithm", "environment", "mean", "std", "episodes", "steps", "seconds", "trained")
_PUBLISHED = ("published mean", "published std", "published episodes", "difference", "standard errors")
_N_TEXTS = 2
"""How many columns at the left are texts."""
_MILLION, _THOUSAND = 1_000_000, 1_000


def write_tables(folder: Path, results: Sequence[AgentResult], settings: Mapping[str, Any]) -> dict[str, Path]:
    """
    Write ``benchmark.md``, ``benchmark.csv`` and ``benchmark.json``.

    :param settings: of the benchmark, for the reader
    :return: the files by format
    """
    files = {format: folder / f"benchmark.{format}" for format in ("md", "csv", "json")}
    write_text(files["md"], as_markdown(results, settings))
    write_text(files["csv"], as_csv(results))
    content = {"settings": dict(settings), "agents": [result.as_dict() for result in results]}
    write_text(files["json"], json.dumps(content, indent=2, allow_nan=False) + "\n")
    return files


def as_csv(results: Sequence[AgentResult]) -> str:
    """:return: one line for each agent, below a line of names"""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(result.as_dict() for result in results)
    return text.getvalue()


def as_markdown(results: Sequence[AgentResult], settings: Mapping[str, Any]) -> str:
    """:return: a table of the scores, and one of the agents that have none"""
    played = [result for result in results if result.status == PLAYED]
    others = [result for result in results if result.status != PLAYED]
    compared = any(result.published is not None for result in results)
    parts = ["# Scores of trained agents", _explanation(settings, compared)]
    if played:
        header = _HEADER + (_PUBLISHED if compared else ())
        parts.append(_table(header, [_row(result, compared) for result in played]))
    if others:
        rows = [(result.algorithm, result.environment, result.reason or NOT_PLAYED) for result in others]
        parts += ["## Without a score", _table(("algorithm", "environment", "reason"), rows, n_texts=3)]
    return "\n\n".join(parts) + "\n"


def _explanation(settings: Mapping[str, Any], compared: bool) -> str:
    limits = [
        f"{settings[name]:,} {what}"
        for name, what in (("n_timesteps", "steps"), ("n_episodes", "episodes"))
        if settings[name]
    ]
    text = (
        f"Each agent acted for {' or '.join(limits)}, seed {settings['seed']}, with its most probable actions (sampled "
        "ones for Atari and MiniGrid). Mean and std are those of the returns of whole episodes; steps are those of "
        "these episodes (for Atari of the emulator); trained is the number of training steps, as configured."
    )
    if compared:
        text += (
            "\n\nStandard errors: the difference of the means, divided by sqrt(s1^2/n1 + s2^2/n2) (Welch 1947), where "
            "s is the standard deviation of the sample and n the number of episodes on each side."
        )
    return text


def _row(result: AgentResult, compared: bool) -> tuple[str, ...]:
    values = result.as_dict()
    cells = (
        result.algorithm,
        result.environment,
        _number(values["mean"]),
        _number(values["std"]),
        str(values["episodes"]),
        str(values["steps"]),
        f"{values['seconds']:.1f}",
        _short(values["n_training_steps"]),
    )
    if not compared:
        return cells
    episodes = values["published_episodes"]
    return (
        *cells,
        _number(values["published_mean"]),
        _number(values["published_std"]),
        "" if episodes is None else str(episodes),
        _number(values["difference"]),
        "" if values["difference_in_standard_errors"] is None else f"{values['difference_in_standard_errors']:+.2f}",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _short(steps: int | None) -> str:
    """As the zoo has it: 100k, 2M."""
    if steps is None:
        return ""
    for size, unit in ((_MILLION, "M"), (_THOUSAND, "k")):
        if steps >= size:
            return f"{steps / size:g}{unit}" if steps % (size // 10) == 0 else f"{steps / size:.2f}{unit}"
    return str(steps)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], n_texts: int = _N_TEXTS) -> str:
    cells = [[_escaped(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * width if index < n_texts else "-" * (width - 1) + ":" for index, width in enumerate(widths)]
    lines = [_line(cells[0], widths, n_texts), f"| {' | '.join(rule)} |"]
    return "\n".join([*lines, *(_line(row, widths, n_texts) for row in cells[1:])])


def _line(cells: Sequence[str], widths: Sequence[int], n_texts: int) -> str:
    padded = (
        cell.ljust(width) if index < n_texts else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join(padded)} |"


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
