"""What a study is made of; importing this module imports neither torch nor Optuna."""

from __future__ import annotations

from dataclasses import dataclass

from rl_experiments.core.options import option


@dataclass(frozen=True, kw_only=True)
class Study:
    """A tuning sweep around an experiment. The fields are flags of ``rl_experiments.train -optimize``."""

    n_trials: int = option(500, "Trials that this process runs.")
    max_total_trials: int | None = option(
        None, "Trials of the whole study, of all processes together; wins over --n-trials.", parse=int
    )
    no_optim_plots: bool = option(False, "Draw no plots of the study.")
    n_jobs: int = option(1, "Trials at once.")
    sampler: str = option("tpe", "How hyperparameters are sampled.", choices=("random", "tpe", "auto"))
    pruner: str = option("median", "How hopeless trials are ended early.", choices=("halving", "median", "none"))
    n_startup_trials: int = option(10, "Trials before the sampler begins to learn from results.")
    n_evaluations: int | None = option(None, "Evaluations in a trial, at each of which it can be pruned.", parse=int)
