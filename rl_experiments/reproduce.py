"""``python -m rl_experiments.reproduce``: what repeats a run, and whether a repetition comes out the same."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.parser import Parser

if TYPE_CHECKING:
    from rl_experiments.reporting.reproducing import Recipe, Repetition


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("reproduce", "Print what repeats a run, or run it and compare the outcome.")
    add = parser.add_argument
    add("run", metavar="RUN", help="The folder of a run.")
    add("--run", action="store_true", dest="execute", help="Run it, and compare the outcome with the recorded one.")
    add("-f", "--log-folder", metavar="FOLDER", default="reproduced", help="Where the repetition goes.")
    add("--debug", action="store_true", help="Show the traceback of an error.")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    from rl_experiments.reporting.reproducing import recipe_for, repeat

    recipe = recipe_for(options.run, options.log_folder)
    _print(recipe)
    if not options.execute:
        return 0
    sys.stdout.flush()
    return _print_outcome(recipe, repeat(recipe, options.log_folder))


def _print(recipe: Recipe) -> None:
    for difference in recipe.differences:
        print(f"Differs: {difference}")
    if not recipe.differences and not recipe.remarks:
        print("Nothing differs from when the run was made")
    for remark in recipe.remarks:
        print(f"Note: {remark}")
    print(recipe.command)


def _print_outcome(recipe: Recipe, repetition: Repetition) -> int:
    print(f"Repeated: {repetition.run}")
    for difference in repetition.differences:
        print(f"Differs: {difference}")
    if repetition.differences:
        return 1
    print(f"The same, bit for bit: {', '.join(repetition.compared)}")
    return 0


if __name__ == "__main__":
    run_and_exit(main)
