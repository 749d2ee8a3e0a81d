"""``python -m rl_experiments.benchmark``: play every agent under a folder, and write a table of the scores."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.parser import Parser, add_settings, settings_from
from rl_experiments.reporting.settings import FLAGS_OF_OURS, Benchmark


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("benchmark", "Play every agent under a folder, many at once, and write a table of the scores.")
    add_settings(parser, Benchmark)
    parser.mark_ours(*FLAGS_OF_OURS)
    parser.add_ours("--debug", action="store_true", help="Show the traceback of an error.")
    parser.add_check(lambda options: settings_from(Benchmark, options))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    benchmark = settings_from(Benchmark, build_parser().parse(arguments))
    talks = benchmark.verbose > 0
    if talks and benchmark.with_mujoco:
        print("--with-mujoco is not needed: MuJoCo agents are always played", file=sys.stderr)
    from rl_experiments.reporting.benchmarking import run_benchmark

    result = run_benchmark(benchmark, say=print if talks else None, show_progress=talks)
    if talks:
        n_played = sum(agent.own_score is not None for agent in result.agents)
        failed = f", {result.n_failed} failed" if result.n_failed else ""
        print(f"{n_played} of {len(result.agents)} agents played{failed}")
        print(f"Results written to: {', '.join(str(file) for file in result.files.values())}")
    if result.signal is not None:
        typed = sys.argv[1:] if arguments is None else arguments
        print(f"Stopped. To go on: python -m rl_experiments.benchmark {shlex.join(typed)}".rstrip(), file=sys.stderr)
        return 128 + result.signal
    return 1 if result.n_failed else 0


if __name__ == "__main__":
    run_and_exit(main)
