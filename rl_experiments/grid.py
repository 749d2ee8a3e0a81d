"""``python -m rl_experiments.grid``: algorithms, environments and seeds, one ordinary run for each combination."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.parser import Parser, add_settings, typed
from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.options import options_of, thread_count
from rl_experiments.launching.grid.settings import (
    AUTO,
    NOT_OF_A_GRID,
    OF_THE_GRID,
    Grid,
    names_in,
    parse_jobs,
    parse_seeds,
    read_grid,
)
from rl_experiments.launching.jobs import LAUNCHERS, PROCESSES
from rl_experiments.training.settings import Experiment


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("grid", "Train algorithms x environments x seeds, as ordinary runs, many at once.")
    add = parser.add_argument
    add("file", nargs="?", metavar="FILE", help="A grid in YAML: algos, envs, seeds, and any setting of train.")
    add("--algos", metavar="NAME", nargs="+", default=[], help="Algorithms, with commas or spaces between them.")
    add("--envs", metavar="ID", nargs="+", default=[], help="Environments.")
    add("--seeds", metavar="N", type=typed(parse_seeds), default=(1,), help="How many, or which: 10, 3,5,7 or 1-5.")
    add("--jobs", metavar="N", type=typed(parse_jobs), default=AUTO, help="Runs at once; auto fits cores and memory.")
    add("--launcher", choices=LAUNCHERS, default=PROCESSES, help="Processes of this machine, or tasks of Ray.")
    add("--ray-address", metavar="ADDRESS", help="The Ray cluster to join; by default one is started here.")
    add(
        "--num-threads", metavar="N", type=typed(thread_count), default=1, help="Torch's number of threads in each run."
    )
    parser.add_ours("--dry-run", action="store_true", help="Print the command of each run that is missing, and stop.")
    parser.add_ours("--quiet", action="store_true", help="Print nothing but errors.")
    parser.add_ours("--debug", action="store_true", help="Show the traceback of an error.")
    each = parser.add_argument_group("each run, as in train")
    add_settings(each, Experiment, skip=(*OF_THE_GRID, *NOT_OF_A_GRID))  # type: ignore[arg-type]
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = build_parser()
    options = parser.parse(arguments)
    try:
        grid = _grid(options.file, build_parser().given(arguments))
    except RLExperimentsError as error:
        parser.error(str(error))
    if options.dry_run:
        return _show(grid)
    from rl_experiments.launching.grid.running import run_grid

    result = run_grid(grid, None if options.quiet else _say, live=not options.quiet)
    n_done, n_failed = result.count("finished"), result.count("failed")
    if not options.quiet:
        print(f"{n_done} of {len(result.states)} runs are finished{f', {n_failed} failed' if n_failed else ''}")
        if n_done:
            print(f"What they show: python -m rl_experiments.report {shlex.quote(grid.log_folder)}")
    if result.signal is not None:
        typed_words = sys.argv[1:] if arguments is None else arguments
        print(f"Stopped. To go on: python -m rl_experiments.grid {shlex.join(typed_words)}", file=sys.stderr)
        return 128 + result.signal
    return 1 if n_failed else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _grid(file: str | None, given: argparse.Namespace) -> Grid:
    """:return: the grid of a file, with what the command line says over it"""
    content: dict[str, Any] = read_grid(file) if file else {}
    for name in ("algos", "envs"):
        if getattr(given, name, None):
            content[name] = names_in(getattr(given, name), f"--{name}")
        elif name not in content:
            raise ConfigurationError(f"A grid needs --{name}, or a file that has them")
    for name in ("seeds", "jobs", "num_threads", "launcher", "ray_address"):
        if hasattr(given, name):
            content[name] = getattr(given, name)
    known = [declared.name for declared in options_of(Experiment) if declared.name not in OF_THE_GRID]
    said = {name: getattr(given, name) for name in known if hasattr(given, name)}
    said = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    content["experiment"] = {**content.get("experiment", {}), **said}
    return Grid(**content)


def _show(grid: Grid) -> int:
    from rl_experiments.launching.grid.runs import find_runs

    found = find_runs(grid)
    for cell in grid.cells:
        if cell not in found or not found[cell].is_done:
            print(f"python -m rl_experiments.train {shlex.join(grid.words_of(cell))}")
    return 0


if __name__ == "__main__":
    run_and_exit(main)
