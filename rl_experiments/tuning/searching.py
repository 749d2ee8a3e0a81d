"""How a study chooses what to try, and which trials it ends early."""

from __future__ import annotations

import importlib

import numpy as np
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint
from rl_experiments.tuning.settings import PRUNERS
from rl_experiments.tuning.wilcoxon import FEWEST_SEEDS, SeedPruner

__all__ = ["FEWEST_SEEDS", "make_pruner", "make_sampler", "seed_of"]

SAMPLERS = ("random", "tpe", "auto")


def make_sampler(name: str, seed: int, n_startup_trials: int) -> BaseSampler:
    """
    :param name: one of :data:`SAMPLERS`
    :param n_startup_trials: random trials before TPE learns from results
    :raises ConfigurationError: if it is unknown, or needs what is not there
    """
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "tpe":
        return TPESampler(n_startup_trials=n_startup_trials, seed=seed)
    if name == "auto":
        return _auto_sampler(seed)
    raise ConfigurationError(f"There is no sampler '{name}'.{hint(name, SAMPLERS)}")


def make_pruner(name: str, n_startup_trials: int, n_evaluations: int, n_seeds: int = 1) -> BasePruner:
    """
    :param name: one of :data:`rl_experiments.tuning.settings.PRUNERS`
    :param n_startup_trials: trials before the median counts
    :param n_evaluations: of each training; the median prunes none in the first third of them
    :param n_seeds: trainings of each trial
    :raises ConfigurationError: if it is unknown
    """
    if name == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=n_evaluations * n_seeds)
    if name == "wilcoxon":
        return SeedPruner(n_startup_trials)
    if name == "halving":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=4, min_early_stopping_rate=0)
    if name == "median":
        return MedianPruner(n_startup_trials=n_startup_trials, n_warmup_steps=n_evaluations // 3)
    if name == "none":
        return NopPruner()
    raise ConfigurationError(f"There is no pruner '{name}'.{hint(name, PRUNERS)}")


def seed_of(*parts: int) -> int:
    """:return: a seed that follows from the numbers, and differs for others"""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def _auto_sampler(seed: int) -> BaseSampler:
    try:
        optunahub = importlib.import_module("optunahub")
    except ImportError:
        raise ConfigurationError(
            "--sampler auto comes from OptunaHub, which is downloaded when it is first used:"
            " pip install optunahub cmaes scipy, or take --sampler tpe"
        ) from None
    try:
        return optunahub.load_module("samplers/auto_sampler").AutoSampler(seed=seed)
    except Exception as error:
        raise ConfigurationError(
            f"--sampler auto could not be loaded from OptunaHub: {' '.join(str(error).split())[:200]}."
            " --sampler tpe needs no download"
        ) from error
