"""``python -m rl_experiments.load_from_hub``: get a published agent back as a run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from rl_experiments.algorithms.registry import algorithm_names
from rl_experiments.cli.main import run_command
from rl_experiments.cli.parser import Parser, checked_choice


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("load_from_hub", "Download a published agent into a run folder.")
    add, ours = parser.add_argument, parser.add_ours
    add("--env", metavar="ID", required=True, help="The environment's id.")
    add("-f", "--folder", metavar="FOLDER", required=True, help="Folder of all runs.")
    add("-orga", "--organization", metavar="NAME", default="sb3", help="User or organisation on the Hub.")
    add("-name", "--repo-name", metavar="NAME", help="The repository's name (default: <algo>-<env>).")
    add(
        "--algo",
        metavar="NAME",
        required=True,
        type=checked_choice(algorithm_names(), "algorithm"),
        help=f"The algorithm: {', '.join(algorithm_names())}.",
    )
    add("--exp-id", metavar="N", type=int, default=0, help="The run's number; 0 is a new one, -1 is no run folder.")
    add("--verbose", metavar="N", type=int, default=1, help="0 is quiet.")
    add("--force", action="store_true", help="Write into a run folder that exists.")
    ours("--revision", metavar="NAME", help="Branch, tag or commit (default: main).")
    ours("--token", metavar="TOKEN", help="A token (default: the one that 'hf auth login' saved, or HF_TOKEN).")
    ours("--deadline", metavar="SECONDS", type=float, default=600.0, help="Give the download up after so many seconds.")
    ours("--debug", action="store_true", help="Show the traceback of an error.")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    from rl_experiments.hub import download_run

    run = download_run(
        options.algo,
        options.env,
        options.folder,
        organization=options.organization,
        repo_name=options.repo_name,
        exp_id=options.exp_id,
        force=options.force,
        revision=options.revision,
        token=options.token,
        deadline=options.deadline,
    )
    if options.verbose > 0:
        print(f"Saved to {run.path}")
        words = ["--algo", options.algo, "--env", options.env, "-f", options.folder]
        print(f"Watch it with: python -m rl_experiments.enjoy {shlex.join(words)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
