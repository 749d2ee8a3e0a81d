"""``python -m rl_experiments.train``: train an agent, or tune its hyperparameters."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rl_experiments.algorithms.registry import HINDSIGHT, HINDSIGHT_TODAY, algorithm_names
from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.output import outliving_its_reader
from rl_experiments.cli.parser import Parser, add_settings, checked_choice, settings_from, typed
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.options import options_of
from rl_experiments.training.settings import Experiment
from rl_experiments.training.stopping import Interrupted, StopRequest
from rl_experiments.tuning.settings import FLAGS_OF_OURS, Study

if TYPE_CHECKING:
    from rl_experiments.launching.grid.checking import Resolved

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
    add_settings(tuning, Study, skip=("seeds",))  # type: ignore[arg-type]
    parser.add_ours(
        "--seeds",
        metavar="N",
        type=typed(_seeds),
        help="Train these seeds side by side, each an ordinary run: 0-4, 3,5,7, or 10 for so many from 1. "
        "With -optimize: trainings of a trial, each with another seed.",
    )
    parser.add_ours(
        "--jobs", metavar="N", type=typed(_jobs), help="Runs of --seeds at once; auto is what cores and memory hold."
    )
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
    parser.add_check(_check_seeds)
    return parser


def _seeds(text: str) -> str:
    from rl_experiments.launching.grid.settings import parse_seeds

    parse_seeds(text)
    return text


def _jobs(text: str) -> int | str:
    from rl_experiments.launching.grid.settings import parse_jobs

    return parse_jobs(text)


def _check_seeds(options: argparse.Namespace) -> None:
    if options.jobs is not None and (options.seeds is None or options.optimize_hyperparameters):
        other = "; trials of -optimize have --n-jobs" if options.optimize_hyperparameters else ""
        raise ConfigurationError(f"--jobs says how many runs of --seeds are trained at once{other}")
    if options.seeds is None:
        return
    if options.optimize_hyperparameters:
        if not options.seeds.strip().isdecimal():
            raise ConfigurationError(
                f"With -optimize, --seeds is how many trainings a trial has, such as 3, but got '{options.seeds}'"
            )
    elif options.seed >= 0:
        raise ConfigurationError("--seed is for one run, and --seeds for several: give one of them")
    elif options.resume is not None:
        raise ConfigurationError(
            "--resume goes on with one run. The command with --seeds, given again, goes on with all that were stopped"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    experiment = settings_from(Experiment, options)
    if options.resume is not None:
        with outliving_its_reader():
            return _resumed(options, build_parser().given(arguments))
    if options.optimize_hyperparameters:
        study = settings_from(Study, options, seeds=int(options.seeds or 1))
        return _tune(experiment, study, options.dry_run)
    if options.seeds is not None:
        return _train_seeds(experiment, options, vars(build_parser().given(arguments)), arguments)
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


def _train_seeds(
    experiment: Experiment, options: argparse.Namespace, given: dict[str, object], arguments: Sequence[str] | None
) -> int:
    from rl_experiments.launching.grid.seeds import SeedsRun

    def resolve(one: Experiment) -> Resolved:
        if one.trial_id is None and one.from_study is None:
            return one, None
        from rl_experiments.tuning.loading import from_study

        return from_study(one, given)

    seeds = SeedsRun(experiment, options.seeds, options.jobs, given, resolve)
    if options.dry_run:
        print(seeds.describe())
        return 0
    say = print if options.verbose > 0 else None
    result = seeds.run(say)
    scores = [one.score for one in result.states if one.state == "finished"]
    if say:
        from rl_experiments.reporting.seeds import summary

        n_failed = result.count("failed")
        print(f"{len(scores)} of {len(result.states)} seeds are finished{f', {n_failed} failed' if n_failed else ''}")
        if scores:
            print(summary(scores))
            print(f"To look further: {seeds.report_command}")
    if result.signal is not None:
        words = sys.argv[1:] if arguments is None else arguments
        print(f"Stopped. To go on: python -m rl_experiments.train {shlex.join(words)}", file=sys.stderr)
        return 128 + result.signal
    return 1 if result.count("failed") else 0


def _tune(experiment: Experiment, study: Study, dry_run: bool) -> int:
    from rl_experiments.tuning.study import describe_study, run_study

    if dry_run:
        print(describe_study(experiment, study))
        return 0
    stopped_by = run_study(experiment, study, like_the_zoo=True).signal
    return 0 if stopped_by is None else 128 + stopped_by


if __name__ == "__main__":
    run_and_exit(main)
