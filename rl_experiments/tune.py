"""``python -m rl_experiments.tune``: search for hyperparameters, confirm the best, export them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace

from rl_experiments.algorithms.registry import algorithm_names
from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.output import outliving_its_reader
from rl_experiments.cli.parser import Parser, add_settings, checked_choice, settings_from
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.names import folder_name
from rl_experiments.training.settings import Experiment
from rl_experiments.tuning.settings import Study

TO_STDOUT = ""
"""Of ``--export`` without a file."""
_OF_ONE_TRAINING = (
    "trained_agent", "truncate_last_trajectory", "eval_freq", "trial_id", "from_study", "uuid", "progress", "track",
    "wandb_project_name", "wandb_entity", "wandb_group", "wandb_tags", "stop_at_reward", "patience", "max_time",
    "tensorboard_log", "save_freq", "save_every", "save_replay_buffer", "keep_last", "trust", "optimization_log_path",
)  # fmt: skip


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("tune", "Search for hyperparameters, confirm the best trials with fresh seeds, and export them.")
    parser.add_argument(
        "--algo",
        metavar="NAME",
        default="ppo",
        type=checked_choice(algorithm_names(), "algorithm"),
        help=f"The algorithm: {', '.join(algorithm_names())}.",
    )
    add_settings(parser, Experiment, skip=("algo", *_OF_ONE_TRAINING))
    study = parser.add_argument_group("the study")
    add_settings(study, Study, skip=("max_total_trials", "no_optim_plots"))  # type: ignore[arg-type]
    parser.set_defaults(n_jobs=-1, confirm=3)
    parser.describe("n_trials", "Trials of the whole study: the same command goes on where it stopped.")
    parser.describe("storage", "Optuna storage; by default journal.log in the folder of the study.")
    parser.describe("study_name", "The study's name; by default study_ENV.")
    parser.describe("num_threads", "Torch's number of threads in each trial; auto is 1.")
    parser.add_argument(
        "--export",
        nargs="?",
        const=TO_STDOUT,
        metavar="FILE",
        help="Write the best confirmed trial as a YAML block into FILE, or show it; alone, it makes no trials.",
    )
    parser.add_argument("--dry-run", action="store_true", help="Check everything, show the search space, and stop.")
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    experiment = settings_from(Experiment, options)
    name = experiment.study_name or f"study_{folder_name(experiment.env)}"
    experiment = replace(experiment, study_name=name)
    study = settings_from(Study, options, max_total_trials=options.n_trials)
    only_exports = options.export is not None and not hasattr(build_parser().given(arguments), "n_trials")
    if options.dry_run:
        from rl_experiments.tuning.study import describe_study

        print(describe_study(experiment, study))
        return 0
    if not only_exports:
        code = _search(experiment, study, sys.argv[1:] if arguments is None else arguments)
        if code or options.export is None:
            return code
    from rl_experiments.tuning.study import export_study

    print(export_study(experiment, options.export or None))
    return 0


def _search(experiment: Experiment, study: Study, typed: Sequence[str]) -> int:
    if study.n_trials < 1:
        raise ConfigurationError(f"n_trials must be at least 1, but got {study.n_trials}")
    with outliving_its_reader():
        from rl_experiments.tuning.study import run_study

        result = run_study(experiment, study)
    if result.signal is None:
        return 0
    print(f"Stopped. To go on: python -m rl_experiments.tune {shlex.join(typed)}".rstrip(), file=sys.stderr)
    return 128 + result.signal


if __name__ == "__main__":
    run_and_exit(main)
