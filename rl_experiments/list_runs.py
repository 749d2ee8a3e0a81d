"""``python -m rl_experiments.list_runs``: all runs of a log folder, how far they came, and which still train."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rl_experiments.algorithms.registry import algorithm_names, names_of_runs
from rl_experiments.cli.main import on_one_line, run_and_exit
from rl_experiments.cli.parser import Parser, checked_choice
from rl_experiments.core.names import folder_name
from rl_experiments.core.suggest import hint
from rl_experiments.runs.listing import PERHAPS_RUNNING, STATES, ListedRun, all_runs
from rl_experiments.runs.record import RUNNING

_COLUMNS = ("algorithm", "environment", "run", "steps", "last", "best", "age", "state", "reason")
_NUMBERS = ("run", "steps", "last", "best", "age")
_COLOURS = {"running": "green", "running?": "yellow", "interrupted": "yellow", "failed": "red", "damaged": "red"}
_MOST_DRAWN = 1000
"""Rows of a table with colours, which takes a second for some thousands."""
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("list_runs", "List all runs of a log folder, those that were heard of last first.")
    add = parser.add_argument
    add("-f", "--folder", "--log-folder", metavar="FOLDER", default="logs", help="Folder of all runs.")
    add(
        "--algo",
        metavar="NAME",
        type=checked_choice(names_of_runs(), "algorithm"),
        help=f"Only runs of this algorithm: {', '.join(algorithm_names())}.",
    )
    add("--env", metavar="ID", help="Only runs in this environment.")
    add(
        "--state",
        metavar="STATE",
        nargs="+",
        type=checked_choice(STATES, "state"),
        help=f"Only runs in these states: {', '.join(STATES)}; running includes running?.",
    )
    add("--json", action="store_true", help="Print everything that is known of each run as JSON.")
    add("--debug", action="store_true", help="Show the traceback of an error.")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    env_name = folder_name(options.env) if options.env else None
    listed = all_runs(options.folder)
    runs = [run for run in listed if _is_chosen(run, options, env_name)]
    now = time.time()
    if options.json:
        print(json.dumps([run.as_dict(now) for run in runs], indent=2, allow_nan=False))
    elif runs:
        _print([_row(run, now) for run in runs])
    if not runs:
        print(_nothing(listed, options.folder, options.env), file=sys.stderr)
    return 0


def _is_chosen(run: ListedRun, options: argparse.Namespace, env_name: str | None) -> bool:
    states = options.state or STATES
    return (
        (options.algo is None or run.algorithm == options.algo)
        and (env_name is None or run.environment_name == env_name)
        and (run.state in states or (run.state == PERHAPS_RUNNING and RUNNING in states))
    )


def _nothing(listed: Sequence[ListedRun], folder: str, env: str | None) -> str:
    """What the user may have meant, where there is nothing to show."""
    if listed:
        names = {run.environment for run in listed}
        return f"There is no such run in {folder}.{hint(env, names) if env and env not in names else ''}"
    parent = Path(folder).absolute().parent
    inside = [run for run in all_runs(parent) if Path(run.path).parent == Path(folder).absolute()]
    return f"There is no run in {folder}.{f' Expected the folder above: -f {parent}' if inside else ''}"


def _row(run: ListedRun, now: float) -> tuple[str, ...]:
    cells = (
        run.algorithm,
        run.environment,
        run.number,
        run.steps,
        _score(run.last_mean_reward),
        _score(run.best_mean_reward),
        _age(run.age(now)),
        run.state,
        run.reason,
    )
    return tuple("-" if cell is None else on_one_line(cell) for cell in cells)


def _score(reward: float | None) -> str | None:
    return None if reward is None else f"{reward:.2f}"


def _age(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{int(seconds // size)}{unit}"


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    if sys.stdout.isatty() and len(rows) <= _MOST_DRAWN:
        _draw(rows)
        return
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    for row in (_COLUMNS, *rows):
        cells = [
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for name, cell, width in zip(_COLUMNS, row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _draw(rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console, JustifyMethod
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in _COLUMNS:
        justify: JustifyMethod = "right" if name in _NUMBERS else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name != "reason")
    for row in rows:
        style = _COLOURS.get(row[_COLUMNS.index("state")], "")
        table.add_row(*(Text(cell, style if name == "state" else "") for name, cell in zip(_COLUMNS, row, strict=True)))
    Console().print(table)


if __name__ == "__main__":
    run_and_exit(main)
