"""``python -m rl_experiments COMMAND``, and the console script ``rl-experiments``."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

from rl_experiments.cli.main import run_and_exit
from rl_experiments.core.suggest import hint

COMMANDS = {
    "train": "train an agent",
    "tune": "search for hyperparameters, confirm the best, and write them into a file",
    "enjoy": "watch and score a trained agent",
    "record_video": "record videos of a trained agent",
    "record_training": "record the agent at every checkpoint, side by side in one video",
    "push_to_hub": "publish a trained agent",
    "load_from_hub": "get a published agent back",
    "benchmark": "play every agent under a folder, and write a table of the scores",
    "grid": "train algorithms x environments x seeds, many at once",
    "reproduce": "print what repeats a run, or run it and compare",
    "report": "say what a set of runs shows, with intervals, in one HTML file",
    "plot": "draw training, evaluations or stored results, with the flags of the zoo's plots",
    "list": "show all runs: how far they came, and which still train",
    "doctor": "say what this machine has, what is wrong, and what would make training faster",
}
_MODULES = {"list": "list_runs"}
"""Commands whose module has another name, by which they can be called too."""


def usage() -> str:
    """:return: the list of commands"""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(["usage: rl-experiments COMMAND [--help] ...", "", "commands:", *lines])


def main() -> NoReturn:
    """Run the command that the first argument names, and end with its exit code."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(usage())
        sys.exit(0 if len(sys.argv) > 1 else 2)
    name = sys.argv[1].replace("-", "_")
    if name not in COMMANDS and name not in _MODULES.values():
        print(f"Error: there is no command '{sys.argv[1]}'.{hint(name, COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    del sys.argv[1]
    command = importlib.import_module(f"rl_experiments.{_MODULES.get(name, name)}")
    run_and_exit(command.main)


if __name__ == "__main__":
    main()
