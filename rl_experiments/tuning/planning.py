"""A study that was checked, and could start."""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rl_experiments.algorithms import Algorithm, get_algorithm
from rl_experiments.algorithms.registry import SBX
from rl_experiments.algorithms.sb3 import model_parameters
from rl_experiments.config.hyperparameters import COMMAND_LINE, NOISE_KEYS, Hyperparameters, check_names
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.names import folder_name
from rl_experiments.core.processes import available_cores
from rl_experiments.core.suggest import hint
from rl_experiments.launching import Needs
from rl_experiments.training.checks import check_combinations, check_hyperparameters
from rl_experiments.training.configuration import merge_hyperparameters
from rl_experiments.training.preparation import Prepared, prepare
from rl_experiments.training.settings import Experiment
from rl_experiments.tuning.domains import Choices
from rl_experiments.tuning.entries import SearchSpace, same
from rl_experiments.tuning.searching import FEWEST_SEEDS, make_sampler
from rl_experiments.tuning.settings import LAUNCHERS, OBJECTIVES, PRUNERS, Study
from rl_experiments.tuning.sources import EdgeSource, RandomSource, Source
from rl_experiments.tuning.space import load_space
from rl_experiments.tuning.storage import JOURNAL

USUAL_EVALUATIONS = 10
"""Of a trial, without ``--n-evaluations``."""
FEWEST_STEPS, MOST_STEPS = 2_000, 100_000
"""Between two evaluations of a trial, without ``--n-evaluations``."""
_SAMPLES_TO_CHECK = 10
_BUDGET = ("n_timesteps", "n_episodes")
"""Scores of trials with different ones could not be compared."""
_FRESH = 1_000_003
"""So far from the seeds of trials are those that confirm them."""


@dataclass(frozen=True)
class Plan:
    """
    :param experiment: what each trial runs, with the seed drawn and without what only a single training has
    :param settings: of the study
    :param untuned: the hyperparameters below the tuned ones
    :param example: the experiment with some sample of the tuned ones
    :param space: what is tuned; nothing that the command line fixes
    :param n_evaluations: of each training
    :param study_name: the study's, and of its folder
    :param drew_its_seed: whether the user gave none
    :param remarks: what the user should know before it starts
    """

    experiment: Experiment
    settings: Study
    untuned: Hyperparameters
    example: Prepared
    space: SearchSpace
    n_evaluations: int
    study_name: str
    drew_its_seed: bool
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
    def n_threads(self) -> int:
        """Torch's threads in each training: one unless the user said how many, since trials would fight for cores."""
        given = self.experiment.num_threads
        return given if isinstance(given, int) and given > 0 else 1

    @property
    def n_jobs(self) -> int:
        """Trials at once."""
        return self.settings.n_jobs if self.settings.n_jobs > 0 else max(available_cores() // self.n_threads, 1)

    @property
    def forks(self) -> bool:
        """Whether trainings begin with all that this process has: neither a GPU nor JAX survives that."""
        device = self.experiment.device
        uses_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        return not uses_gpu and self.algorithm.backend not in ("brax", SBX)

    @property
    def needs(self) -> Needs:
        """What a training takes of a machine."""
        return Needs(self.n_threads, 1 if self.experiment.device.startswith("cuda") else 0)

    def with_seed(self, seed: int) -> Plan:
        """:return: the same with another seed"""
        return replace(self, experiment=replace(self.experiment, seed=seed))

    def copy_results(self, number: int, run: str) -> None:
        """Leave the best model and the evaluations of a trial where ``--optimization-log-path`` wants them."""
        target = self.experiment.optimization_log_path
        for name in ("best_model.zip", "best_model_vecnormalize.pkl", "evaluations.npz"):
            if target is not None and (Path(run) / name).is_file():
                folder = Path(target) / f"trial_{number}"
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(run) / name, folder / name)

    @property
    def folder(self) -> Path:
        """Of the study."""
        return Path(self.experiment.log_folder) / self.experiment.algo / self.study_name

    @property
    def storage(self) -> str:
        """Where the study is kept."""
        return self.experiment.storage or str(self.folder / JOURNAL)

    @property
    def compares_seeds(self) -> bool:
        """Whether the pruner looks at the scores of whole trainings, not at evaluations."""
        return self.settings.pruner == "wilcoxon"

    def seeds_of(self, number: int, given: Sequence[int] | None = None) -> tuple[int, ...]:
        """
        :param number: of a trial
        :param given: those that it had before it was lost
        :return: seeds of its trainings. Where there are several, all trials have the same: they are compared on the
            same luck
        """
        if given:
            return tuple(given)
        first = self.experiment.seed + (number if self.settings.seeds == 1 else 0)
        return tuple((first + index) % 2**32 for index in range(self.settings.seeds))

    @property
    def fresh_seeds(self) -> tuple[int, ...]:
        """Of the trainings that confirm a trial."""
        return tuple((self.experiment.seed + _FRESH + index) % 2**32 for index in range(self.settings.confirm_seeds))

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
    experiment = replace(experiment, tensorboard_log="", track=False, trial_id=None, from_study=None, uuid=False)
    algorithm = get_algorithm(experiment.algo, experiment.backend)
    space = load_space(experiment.algo, settings.space)
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
    _check_conditions(space)
    example = prepare(experiment, (space.origin, space.sample(RandomSource(0), context)))
    n_evaluations = settings.n_evaluations or usual_evaluations(example.configuration.n_timesteps)
    name = experiment.study_name or _new_name(experiment.env)
    plan = Plan(
        example.experiment, settings, untuned, example, space, n_evaluations, name, experiment.seed < 0, tuple(remarks)
    )
    sources: list[Source] = [EdgeSource(largest=False), EdgeSource(largest=True)]
    sources += [RandomSource(seed) for seed in range(_SAMPLES_TO_CHECK)]
    for source in sources:
        check_sample(plan, source)
    return plan


def _new_name(env_id: str) -> str:
    """Of a study that nobody gave one."""
    return f"study_{folder_name(env_id)}_{time.strftime('%Y%m%d-%H%M%S')}_{uuid.uuid4().hex[:4]}"


def usual_evaluations(n_timesteps: int) -> int:
    """:return: how often a training of so many steps is evaluated, so that pruning has something to look at"""
    return max(1, min(USUAL_EVALUATIONS, n_timesteps // FEWEST_STEPS), n_timesteps // MOST_STEPS)


def untuned_hyperparameters(
    experiment: Experiment, trial: tuple[str, Mapping[str, Any]] | None = None
) -> Hyperparameters:
    """
    :param trial: (origin, values) of a trial to lay over them
    :return: the hyperparameters of an experiment without tuning
    """
    return merge_hyperparameters(
        get_algorithm(experiment.algo, experiment.backend),
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
    if experiment.from_study is not None:
        raise ConfigurationError("--from-study trains a trial: it does not go with -optimize")
    for name in ("stop_at_reward", "patience", "max_time", "keep_last"):
        if getattr(experiment, name) is not None:
            raise ConfigurationError(f"{name} is for a single training: the trials of -optimize are ended by --pruner")
    for name in ("n_trials", "max_total_trials", "n_evaluations", "seeds", "confirm_seeds"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise ConfigurationError(f"{name} must be at least 1, but got {value}")
    for name in ("n_startup_trials", "confirm"):
        if getattr(settings, name) < 0:
            raise ConfigurationError(f"{name} must be at least 0, but got {getattr(settings, name)}")
    if settings.n_jobs == 0 or settings.n_jobs < -1:
        raise ConfigurationError(f"n_jobs must be at least 1, or -1 for every core, but got {settings.n_jobs}")
    for name, valid in (("pruner", PRUNERS), ("objective", OBJECTIVES), ("launcher", LAUNCHERS)):
        value = getattr(settings, name)
        if value not in valid:
            raise ConfigurationError(f"There is no {name} '{value}'.{hint(value, valid)}")
    if settings.pruner == "wilcoxon" and settings.seeds < FEWEST_SEEDS:
        raise ConfigurationError(
            f"--pruner wilcoxon compares trials over their seeds, and needs --seeds {FEWEST_SEEDS} or more to end any"
            f" early, but got {settings.seeds}"
        )
    if settings.ray_address is not None and settings.launcher != "ray":
        raise ConfigurationError("--ray-address is for --launcher ray")
    _check_study_name(experiment)
    make_sampler(settings.sampler, 0, settings.n_startup_trials)


def _check_study_name(experiment: Experiment) -> None:
    """Its folder stands beside the runs."""
    name = experiment.study_name
    if name is None:
        return
    if not name or name in (".", "..") or re.search(r"[/\\\0]", name):
        raise ConfigurationError(f"The study's name '{name}' is that of its folder too: it can have no / in it")
    if re.fullmatch(re.escape(folder_name(experiment.env)) + r"_\d+(_.*)?", name):
        raise ConfigurationError(f"The study's name '{name}' is that of a run. Expected another, like study_{name}")


def check_sample(plan: Plan, source: Source) -> None:
    """
    Check what a source makes of the space, as far as no environment is needed for it.

    :raises ConfigurationError: if training would refuse it
    """
    values = plan.space.sample(source, plan.context)
    hyperparameters = untuned_hyperparameters(plan.experiment, (plan.space.origin, values))
    hyperparameters = hyperparameters.merged({"n_timesteps": plan.n_timesteps}, COMMAND_LINE)
    check_hyperparameters(plan.algorithm, hyperparameters)
    if plan.algorithm.backend in ("brax", "tabular"):
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
    for name in _BUDGET:
        if name in names:
            raise ConfigurationError(
                f"{space.origin}: {name} is the budget of every trial, and cannot be tuned. See -n"
            )
    check_names(
        Hyperparameters(names, dict.fromkeys(names, space.origin)),
        {*parameters, *(NOISE_KEYS if "action_noise" in parameters else ())},
        algorithm.name,
    )


def _check_conditions(space: SearchSpace) -> None:
    """A condition that never holds is a mistake."""
    choices = {
        entry.key: [*entry.domain.options.values(), *entry.otherwise]
        for entry in space.entries
        if isinstance(entry.domain, Choices) and (entry.when is None or entry.otherwise)
    }
    for entry in space.entries:
        for name, wanted in (entry.when or {}).items():
            known = choices.get(name, [])
            for value in wanted:
                if known and not any(same(option, value) for option in known):
                    raise ConfigurationError(
                        f"{space.origin}, {entry.name}: {name} is never {value}.{hint(str(value), map(str, known))}"
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
