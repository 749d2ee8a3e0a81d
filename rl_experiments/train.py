"""``python -m rl_experiments.train``: train an agent, or tune its hyperparameters."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Collection, Sequence

from rl_experiments.algorithms.registry import HINDSIGHT, HINDSIGHT_TODAY, algorithm_names
from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.output import outliving_its_reader
from rl_experiments.cli.parser import Parser, add_settings, checked_choice, settings_from
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.options import options_of
from rl_experiments.training.settings import Experiment
from rl_experiments.training.stopping import Interrupted, StopRequest
from rl_experiments.tuning.settings import FLAGS_OF_OURS, Study

LATEST = ""
"""Of ``--resume`` without a folder."""


def _trainable(text: str) -> str:
    """An algorithm's name; what the zoo's ``her`` became is worth more than the nearest name."""
    if text == HINDSIGHT:
        raise argparse.ArgumentTypeError(HINDSIGHT_TODAY)
    return str(checked_choice(algorithm_names(), "algorithm")(text))


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("train", "Train an agent with the hyperparameters of a YAML file.")
    parser.add_argument(
        "--algo",
        metavar="NAME",
        default="ppo",
        type=_trainable,
        help=f"The algorithm: {', '.join(algorithm_names())}.",
    )
    add_settings(parser, Experiment, skip=("algo",))
    tuning = parser.add_argument_group("tuning (-optimize)")
    tuning.add_argument(
        "-optimize",
        "--optimize-hyperparameters",
        action="store_true",
        help="Search for hyperparameters instead of training once.",
    )
    add_settings(tuning, Study)  # type: ignore[arg-type]
    parser.mark_ours(
        "--trust",
        "--keep-last",
        "--stop-at-reward",
        "--patience",
        "--max-time",
        "--save-every",
        "--video-freq",
        "--keep-videos",
        "--eval-in-background",
        "--from-study",
        *FLAGS_OF_OURS,
    )
    parser.add_ours(
        "--resume",
        nargs="?",
        const=LATEST,
        metavar="RUN",
        help="Go on with a run that was stopped or killed: the folder RUN, or the latest of --algo and --env in -f.",
    )
    parser.add_ours(
        "--dry-run",
        action="store_true",
        help="Check everything, print the resolved configuration with origins, and stop.",
    )
    parser.add_ours("--debug", action="store_true", help="Show the traceback of an error.")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    experiment = settings_from(Experiment, options)
    if options.resume is not None:
        with outliving_its_reader():
            return _resumed(options, build_parser().given(arguments))
    if options.optimize_hyperparameters:
        return _tune(experiment, settings_from(Study, options), options.dry_run)
    try:
        with outliving_its_reader():
            return _train(experiment, options.dry_run, vars(build_parser().given(arguments)))
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return 128 + interrupted.number


def _resumed(options: argparse.Namespace, given: argparse.Namespace) -> int:
    for name in ("optimize_hyperparameters", "dry_run"):
        if getattr(options, name):
            raise ConfigurationError(f"--resume goes on with a run, and has no use for --{name.replace('_', '-')}")
    named = {field.name: getattr(given, field.name) for field in options_of(Experiment) if hasattr(given, field.name)}
    named |= {name: tuple(value) for name, value in named.items() if isinstance(value, list)}
    if hasattr(given, "algo"):
        named["algo"] = given.algo
    try:
        with StopRequest().listening() as stop, stop.deferred():
            from rl_experiments.training.resuming import resume_run
        result = resume_run(None if options.resume == LATEST else options.resume, **named)
    except Interrupted as interrupted:
        print(f"{signal.Signals(interrupted.number).name}: stopped; the run is as it was", file=sys.stderr)
        return 128 + interrupted.number
    return 0 if result.signal is None else 128 + result.signal


def _train(experiment: Experiment, dry_run: bool, given: Collection[str]) -> int:
    with StopRequest().listening() as stop:
        with stop.deferred():  # an import that is cut off half-way can end the process in odd ways
            import rl_experiments.training.experiment  # noqa: F401
        trial = None
        if experiment.trial_id is not None or experiment.from_study is not None:
            from rl_experiments.tuning.loading import from_study

            experiment, trial = from_study(experiment, given)
        if dry_run:
            print(experiment.describe(trial))
            return 0
    result = experiment.run(trial)
    return 0 if result.signal is None else 128 + result.signal


def _tune(experiment: Experiment, study: Study, dry_run: bool) -> int:
    from rl_experiments.tuning.study import describe_study, run_study

    if dry_run:
        print(describe_study(experiment, study))
        return 0
    stopped_by = run_study(experiment, study, like_the_zoo=True).signal
    return 0 if stopped_by is None else 128 + stopped_by


if __name__ == "__main__":
    run_and_exit(main)
