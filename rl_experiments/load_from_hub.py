"""``python -m rl_experiments.load_from_hub``: get a published agent back as a run."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from rl_experiments.algorithms.registry import algorithm_names, names_of_runs
from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.parser import Parser, checked_choice
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.names import model_name

_ZOO = "sb3"


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("load_from_hub", "Download a published agent into a run folder.")
    add, ours = parser.add_argument, parser.add_ours
    ours(
        "repository",
        metavar="OWNER/NAME",
        nargs="?",
        help="The repository, in place of --organization and --repo-name; --algo and --env are then found out.",
    )
    add("--env", metavar="ID", help="The environment's id.")
    add("-f", "--folder", metavar="FOLDER", required=True, help="Folder of all runs.")
    add("-orga", "--organization", metavar="NAME", default=_ZOO, help="User or organisation on the Hub.")
    add("-name", "--repo-name", metavar="NAME", help="The repository's name (default: <algo>-<env>).")
    add(
        "--algo",
        metavar="NAME",
        type=checked_choice(names_of_runs(), "algorithm"),
        help=f"The algorithm: {', '.join(algorithm_names())}.",
    )
    add("--exp-id", metavar="N", type=int, default=0, help="The run's number; 0 is a new one, -1 is no run folder.")
    add("--verbose", metavar="N", type=int, default=1, help="0 is quiet.")
    add("--force", action="store_true", help="Write into a run folder that exists, replacing the files downloaded.")
    ours("--filename", metavar="NAME", help="The model's file in the repository (default: <algo>-<env>.zip).")
    ours("--revision", metavar="NAME", help="Branch, tag or commit (default: main).")
    ours("--token", metavar="TOKEN", help="A token (default: the one that 'hf auth login' saved, or HF_TOKEN).")
    ours("--deadline", metavar="SECONDS", type=float, default=600.0, help="Give the download up after so many seconds.")
    ours("--debug", action="store_true", help="Show the traceback of an error.")
    return parser


def chosen_repository(options: argparse.Namespace) -> str:
    """
    :return: the repository that the flags choose, ``<owner>/<name>``
    :raises ConfigurationError: if they choose none, or two
    """
    if options.repository is not None:
        if options.repo_name is not None or options.organization != _ZOO:
            raise ConfigurationError(
                f"{options.repository} already says owner and name: leave --organization and --repo-name out"
            )
        return str(options.repository)
    if options.repo_name is not None:
        return f"{options.organization}/{options.repo_name}"
    missing = [flag for flag, value in (("--algo", options.algo), ("--env", options.env)) if value is None]
    if missing:
        raise ConfigurationError(
            f"{' and '.join(missing)} must be given, or a repository: load_from_hub {_ZOO}/ppo-CartPole-v1 -f logs/"
        )
    return f"{options.organization}/{model_name(options.algo, options.env)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    repo_id = chosen_repository(options)
    from rl_experiments.hub.download import download_repository

    quiet = options.verbose < 1
    run = download_repository(
        repo_id,
        options.folder,
        algorithm=options.algo,
        env_id=options.env,
        file_name=options.filename,
        exp_id=options.exp_id,
        force=options.force,
        revision=options.revision,
        token=options.token,
        deadline=options.deadline,
        say=(lambda _: None) if quiet else print,
    )
    if not quiet:
        print(f"Saved to {run.path}")
        words = ["--algo", run.algorithm, "--env", options.env or run.env_id, "-f", options.folder]
        words += ["--exp-id", str(options.exp_id)] if options.exp_id else []
        print(f"Watch it with: python -m rl_experiments.enjoy {shlex.join(words)}")
    return 0


if __name__ == "__main__":
    run_and_exit(main)
