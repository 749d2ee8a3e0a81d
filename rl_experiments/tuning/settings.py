"""What a study is made of; importing this module imports neither torch nor Optuna."""

from __future__ import annotations

from dataclasses import dataclass

from rl_experiments.core.options import check_settings, option
from rl_experiments.launching.jobs import LAUNCHERS

OBJECTIVES = ("last", "best", "auc")
PRUNERS = ("halving", "hyperband", "median", "none", "wilcoxon")
FLAGS_OF_OURS = ("--seeds", "--objective", "--confirm", "--confirm-seeds", "--space", "--launcher", "--ray-address")


@dataclass(frozen=True, kw_only=True)
class Study:
    """A tuning sweep around an experiment. The fields are flags of ``tune`` and of ``train -optimize``."""

    n_trials: int = option(500, "Trials that this process runs.")
    max_total_trials: int | None = option(
        None, "Trials of the whole study, of all processes together; wins over --n-trials.", parse=int
    )
    no_optim_plots: bool = option(False, "Draw no plots of the study.")
    n_jobs: int = option(1, "Trials at once, each in a process; -1 is the cores divided by the threads of each.")
    sampler: str = option("tpe", "How hyperparameters are sampled.", choices=("random", "tpe", "auto"))
    pruner: str = option(
        "median", "How hopeless trials are ended early; wilcoxon compares them over --seeds.", choices=PRUNERS
    )
    n_startup_trials: int = option(10, "Trials before the sampler begins to learn from results.")
    n_evaluations: int | None = option(
        None, "Evaluations in a trial, at each of which it can be pruned; 10 by default, fewer in very short trials.",
        parse=int,
    )  # fmt: skip
    seeds: int = option(1, "Trainings of a trial, each with another seed; its score is their median.")
    objective: str = option(
        "last", "The score of a training: its last evaluation, its best, or the mean of all (auc).", choices=OBJECTIVES
    )
    confirm: int = option(0, "So many of the best trials are trained again with fresh seeds before one of them wins.")
    confirm_seeds: int = option(3, "Trainings of each trial that is confirmed.")
    space: str | None = option(
        None, "A search space (.yml) in place of the algorithm's or, with 'extends: true' in it, over that.", parse=str
    )
    launcher: str = option(
        "processes", "Where trials run: in processes of this machine, or on a Ray cluster.", choices=LAUNCHERS
    )
    ray_address: str | None = option(None, "The Ray cluster to join; by default one is started here.", parse=str)

    def __post_init__(self) -> None:
        """
        :raises ConfigurationError: if a field is of another type than it says
        """
        check_settings(self)
