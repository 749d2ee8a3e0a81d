"""A study that was checked, and could start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rl_experiments.algorithms import Algorithm, get_algorithm
from rl_experiments.algorithms.sb3 import model_parameters
from rl_experiments.config.hyperparameters import COMMAND_LINE, NOISE_KEYS, Hyperparameters, check_names
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint
from rl_experiments.training.checks import check_combinations, check_hyperparameters
from rl_experiments.training.configuration import merge_hyperparameters
from rl_experiments.training.preparation import Prepared, prepare
from rl_experiments.training.settings import Experiment
from rl_experiments.tuning.entries import SearchSpace
from rl_experiments.tuning.searching import PRUNERS, make_sampler
from rl_experiments.tuning.settings import Study
from rl_experiments.tuning.sources import EdgeSource, RandomSource, Source
from rl_experiments.tuning.space import load_space

STEPS_OF_AN_EVALUATION = 100_000
"""Without ``--n-evaluations`` a trial is evaluated once in so many steps."""
_SAMPLES_TO_CHECK = 10


@dataclass(frozen=True)
class Plan:
    """
    :param experiment: what each trial runs, with the seed drawn and without what only a single training has
    :param settings: of the study
    :param untuned: the hyperparameters below the tuned ones
    :param example: the experiment with some sample of the tuned ones
    :param space: what is tuned; nothing that the command line fixes
    :param n_evaluations: of each trial
    :param remarks: what the user should know before it starts
    """

    experiment: Experiment
    settings: Study
    untuned: Hyperparameters
    example: Prepared
    space: SearchSpace
    n_evaluations: int
    remarks: tuple[str, ...] = ()

    @property
    def algorithm(self) -> Algorithm:
        """The algorithm whose hyperparameters are tuned."""
        return self.example.configuration.algorithm

    @property
    def n_timesteps(self) -> int:
        """Environment steps of each trial."""
        return self.example.configuration.n_timesteps

    @property
    def n_jobs(self) -> int:
        """Trials at once."""
        return self.settings.n_jobs if self.settings.n_jobs > 0 else os.cpu_count() or 1

    @property
    def context(self) -> dict[str, Any]:
        """The values that are not tuned."""
        return context_of(self.algorithm, self.untuned)


def make_plan(experiment: Experiment, settings: Study) -> Plan:
    """
    Check a study before its first trial.

    :raises RLExperimentsError: for the first thing that is wrong
    """
    _check_settings(experiment, settings)
    remarks = []
    if experiment.tensorboard_log or experiment.track:
        remarks.append("Trials write no TensorBoard log and are not tracked")
    experiment = replace(experiment, tensorboard_log="", track=False, trial_id=None)
    algorithm = get_algorithm(experiment.algo)
    space = load_space(experiment.algo)
    fixed = sorted(set(space.roots) & set(experiment.hyperparams or {}))
    if fixed:
        remarks.append(f"Not tuned, because the command line says what they are: {', '.join(fixed)}")
        space = space.without(fixed)
    if not space.entries:
        raise ConfigurationError(f"Nothing is left to tune of {space.origin}: the command line says what everything is")
    untuned = untuned_hyperparameters(experiment)
    context = context_of(algorithm, untuned)
    _check_names(algorithm, space)
    _check_needs(space, context)
    example = prepare(experiment, (space.origin, space.sample(RandomSource(0), context)))
    n_evaluations = settings.n_evaluations or max(1, example.configuration.n_timesteps // STEPS_OF_AN_EVALUATION)
    plan = Plan(example.experiment, settings, untuned, example, space, n_evaluations, tuple(remarks))
    sources: list[Source] = [EdgeSource(largest=False), EdgeSource(largest=True)]
    sources += [RandomSource(seed) for seed in range(_SAMPLES_TO_CHECK)]
    for source in sources:
        check_sample(plan, source)
    return plan


def untuned_hyperparameters(
    experiment: Experiment, trial: tuple[str, Mapping[str, Any]] | None = None
) -> Hyperparameters:
    """
    :param trial: (origin, values) of a trial to lay over them
    :return: the hyperparameters of an experiment without tuning
    """
    return merge_hyperparameters(
        get_algorithm(experiment.algo),
        experiment.env,
        tuple(experiment.gym_packages),
        experiment.conf_file,
        trial,
        experiment.hyperparams or {},
        experiment.env_kwargs,
    )


def context_of(algorithm: Algorithm, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """:return: what formulas and conditions see below the sampled values: hyperparameters over the defaults"""
    defaults = {
        name: parameter.default
        for name, parameter in model_parameters(algorithm).items()
        if parameter.default is not parameter.empty
    }
    return {**defaults, "n_envs": 1, **hyperparameters}


def _check_settings(experiment: Experiment, settings: Study) -> None:
    if experiment.trained_agent:
        raise ConfigurationError("-optimize trains every trial from the beginning: it does not go with -i")
    if experiment.trial_id is not None:
        raise ConfigurationError("--trial-id trains with the hyperparameters of a trial: it does not go with -optimize")
    for name in ("stop_at_reward", "patience", "max_time", "keep_last"):
        if getattr(experiment, name) is not None:
            raise ConfigurationError(f"{name} is for a single training: the trials of -optimize are ended by --pruner")
    for name in ("n_trials", "max_total_trials", "n_evaluations"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise ConfigurationError(f"{name} must be at least 1, but got {value}")
    if settings.n_startup_trials < 0:
        raise ConfigurationError(f"n_startup_trials must be at least 0, but got {settings.n_startup_trials}")
    if settings.n_jobs == 0 or settings.n_jobs < -1:
        raise ConfigurationError(f"n_jobs must be at least 1, or -1 for every core, but got {settings.n_jobs}")
    if settings.pruner not in PRUNERS:
        raise ConfigurationError(f"There is no pruner '{settings.pruner}'.{hint(settings.pruner, PRUNERS)}")
    make_sampler(settings.sampler, 0, settings.n_startup_trials)


def check_sample(plan: Plan, source: Source) -> None:
    """
    Check what a source makes of the space, as far as no environment is needed for it.

    :raises ConfigurationError: if training would refuse it
    """
    values = plan.space.sample(source, plan.context)
    hyperparameters = untuned_hyperparameters(plan.experiment, (plan.space.origin, values))
    hyperparameters = hyperparameters.merged({"n_timesteps": plan.n_timesteps}, COMMAND_LINE)
    check_hyperparameters(plan.algorithm, hyperparameters)
    if plan.algorithm.backend == "tabular":
        return  # what its values mean together does not depend on the environment
    check_combinations(
        plan.algorithm,
        hyperparameters,
        plan.experiment.env,
        plan.example.synthetic.observation_space,
        plan.example.synthetic.action_space,
        plan.example.configuration.trust,
    )


def _check_names(algorithm: Algorithm, space: SearchSpace) -> None:
    names, parameters = dict.fromkeys(space.roots), model_parameters(algorithm)
    check_names(
        Hyperparameters(names, dict.fromkeys(names, space.origin)),
        {*parameters, *(NOISE_KEYS if "action_noise" in parameters else ())},
        algorithm.name,
    )


def _check_needs(space: SearchSpace, context: Mapping[str, Any]) -> None:
    known = set(context) - {entry.key for entry in space.entries}
    for entry in space.entries:
        for name in sorted(entry.needs - known):
            raise ConfigurationError(
                f"{space.origin}, {entry.name}: there is no value '{name}' above it or in the hyperparameters."
                f"{hint(name, known)}"
            )
        known.add(entry.key)
