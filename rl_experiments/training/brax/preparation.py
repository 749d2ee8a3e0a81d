"""Checking an experiment with Brax's PPO, so that it could start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from rl_experiments.algorithms import Algorithm
from rl_experiments.algorithms.brax.algorithm import ACTIVATIONS, DISTRIBUTIONS, BraxPPO
from rl_experiments.algorithms.brax.policy import load_policy, size_of
from rl_experiments.config.hyperparameters import COMMAND_LINE, Hyperparameters
from rl_experiments.core.accelerated import choose_device, prepare_jax
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.memory import require_memory
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Trust
from rl_experiments.envs import EnvironmentRecipe
from rl_experiments.envs.brax.names import BRAX, playground_names
from rl_experiments.envs.brax.simulation import is_of_playground, make_environment
from rl_experiments.envs.registry import find_spec, is_brax
from rl_experiments.evaluation.evaluating import without_window
from rl_experiments.training.configuration import EVALUATION_SEED_OFFSET, Configuration
from rl_experiments.training.early_stopping import remarks_on_stopping
from rl_experiments.training.preparation import Prepared
from rl_experiments.training.settings import Experiment
from rl_experiments.training.stopping import to_stderr

_OUTSIDE = ("normalize", "frame_stack", "env_wrapper", "vec_env_wrapper", "callback", "noise_type", "noise_std")
"""What stands around an environment of Gymnasium; those of Brax run inside JAX."""
_FACE = ("render_mode", "width", "height")
"""Arguments of our face of the environment, which the environment itself does not take."""


@dataclass(frozen=True)
class Spaces:
    """What a report shows of an environment."""

    observation_space: spaces.Space
    action_space: spaces.Space


@dataclass(frozen=True)
class PreparedBrax(Prepared):
    """
    An experiment with Brax's PPO that was checked, and could start.

    :param settings: its hyperparameters
    :param env_kwargs: arguments of Brax's environment
    :param observation_size: as Brax's networks take it
    :param action_size: numbers in an action
    """

    settings: BraxPPO
    env_kwargs: Mapping[str, Any]
    observation_size: Any
    action_size: int

    @property
    def name(self) -> str:
        """The environment in Brax."""
        return self.experiment.env.rpartition(":")[2]


def prepare_brax(
    experiment: Experiment, algorithm: Algorithm, hyperparameters: Hyperparameters, trust: Trust | None
) -> PreparedBrax:
    """
    :param experiment: with its seed drawn
    :param hyperparameters: merged, with names and types checked
    :param trust: what these may name; if None, anything, since they are the user's own
    :raises RLExperimentsError: for the first thing that is wrong
    """
    _check_unused(experiment, hyperparameters)
    prepare_jax(algorithm.name)
    if experiment.verbose > 0:
        to_stderr("Loading JAX and Brax")
    trust = trust or Trust(any_name=True)
    _check_environment(experiment, algorithm)
    hyperparameters = _without_backend(experiment, _of_the_policy(experiment, hyperparameters))
    experiment, hyperparameters = _completed(experiment, hyperparameters)
    settings = BraxPPO(**hyperparameters.without("n_timesteps", "n_envs", "env_kwargs").algorithm_arguments())
    _check_settings(settings, hyperparameters)
    recipe = EnvironmentRecipe.from_hyperparameters(
        experiment.env, hyperparameters, experiment.env_kwargs, tuple(experiment.gym_packages), trust
    )
    recipe = without_window(recipe)
    evaluation = without_window(recipe.with_kwargs(**(experiment.eval_env_kwargs or {})))
    name = experiment.env.rpartition(":")[2]
    kwargs = {key: value for key, value in recipe.kwargs.items() if key not in _FACE}
    observation, action_size = _try_out(name, kwargs)
    choose_device(experiment.device)
    if experiment.eval_env_kwargs:
        _try_out(name, {key: value for key, value in evaluation.kwargs.items() if key not in _FACE})
    _check_memory(settings, hyperparameters, observation, action_size)
    _check_policy(experiment, observation, action_size)
    remarks = [*_remarks(settings, hyperparameters), *remarks_on_stopping(experiment, hyperparameters.n_timesteps)]
    configuration = Configuration(
        algorithm, hyperparameters, recipe, evaluation, hyperparameters.n_timesteps, trust, tuple(remarks)
    )
    shown = Spaces(_space(observation), spaces.Box(-1.0, 1.0, (action_size,), np.float32))
    return PreparedBrax(
        experiment,
        configuration,
        shown,  # type: ignore[arg-type]
        settings,
        kwargs,
        size_of(observation),
        action_size,
    )


def _check_unused(experiment: Experiment, hyperparameters: Hyperparameters) -> None:
    """What has no meaning for environments inside JAX is refused, in place of being ignored."""
    for name in _OUTSIDE:
        if name in hyperparameters and hyperparameters[name] not in (None, False, 0):
            instead = ": normalize_observations does it" if name == "normalize" else ""
            raise ConfigurationError(
                f"{name} ({hyperparameters.origin(name)}) has no meaning for {experiment.algo}, whose environments run"
                f" inside JAX{instead}"
            )
    if experiment.vec_env != "dummy":
        raise ConfigurationError(
            f"--vec-env {experiment.vec_env} has no meaning for {experiment.algo}, whose environments run inside JAX:"
            " n_envs says how many"
        )
    if experiment.n_eval_envs != 1:
        raise ConfigurationError(f"--n-eval-envs must be 1 for {experiment.algo}, but got {experiment.n_eval_envs}")
    if experiment.video_freq > 0:
        raise ConfigurationError(
            f"--video-freq is not there for {experiment.algo}: each evaluation leaves a policy, which record_video and"
            " record_training show afterwards"
        )
    if experiment.tensorboard_log:
        raise ConfigurationError(
            f"--tensorboard-log is not there for {experiment.algo}: its curve is in evaluations.npz. A tracker follows"
            " it: --track"
        )


def _check_environment(experiment: Experiment, algorithm: Algorithm) -> None:
    find_spec(experiment.env, tuple(experiment.gym_packages))
    if not is_brax(experiment.env):
        names = [*BRAX, *playground_names()]
        raise ConfigurationError(
            f"{algorithm.name} trains in environments of Brax, and {experiment.env} is none."
            f"{hint(experiment.env.lower(), names)} There are: {', '.join(BRAX)}"
        )


def _completed(experiment: Experiment, hyperparameters: Hyperparameters) -> tuple[Experiment, Hyperparameters]:
    """What depends on other values must stand in the run, which is played in later."""
    defaults = BraxPPO()
    if experiment.n_timesteps > 0:
        hyperparameters = hyperparameters.merged({"n_timesteps": experiment.n_timesteps}, COMMAND_LINE)
    if "episode_length" not in hyperparameters:
        hyperparameters = hyperparameters.merged({"episode_length": defaults.episode_length}, "default of BraxPPO")
    if experiment.eval_episodes == type(experiment).eval_episodes:
        episodes = int(hyperparameters.get("n_eval_episodes", defaults.n_eval_episodes))
        experiment = replace(experiment, eval_episodes=episodes)
    if experiment.eval_freq == type(experiment).eval_freq:
        between = max(int(hyperparameters.get("num_evals", defaults.num_evals)) - 1, 1)
        experiment = replace(experiment, eval_freq=math.ceil(hyperparameters.n_timesteps / between))
    if not hyperparameters.get("eval_seed"):
        first = experiment.seed + EVALUATION_SEED_OFFSET
        seeds = [(first + index) % 2**32 for index in range(experiment.eval_episodes)]
        hyperparameters = hyperparameters.merged({"eval_seed": seeds}, "the experiment's seed")
    return experiment, hyperparameters


def _of_the_policy(experiment: Experiment, hyperparameters: Hyperparameters) -> Hyperparameters:
    """The networks are those of the policy that it begins with."""
    if not experiment.trained_agent:
        return hyperparameters
    network = load_policy(Path(experiment.trained_agent)).network
    odd = [name for name in network if name not in BraxPPO().network]
    if odd:
        raise ConfigurationError(
            f"{experiment.trained_agent} has networks with {odd[0]}, which {experiment.algo} has no hyperparameter for"
        )
    return hyperparameters.merged(network, experiment.trained_agent)


def _without_backend(experiment: Experiment, hyperparameters: Hyperparameters) -> Hyperparameters:
    """The block for all environments names a backend, which those of MuJoCo Playground do not have."""
    kwargs, origin = hyperparameters.parsed("env_kwargs"), hyperparameters.origin("env_kwargs")
    if not origin.endswith("block default") or not is_of_playground(experiment.env.rpartition(":")[2]):
        return hyperparameters
    kwargs = {name: value for name, value in kwargs.items() if name != "backend"}
    return hyperparameters.merged({"env_kwargs": kwargs}, origin)


def _check_settings(settings: BraxPPO, hyperparameters: Hyperparameters) -> None:
    for name, valid in (("activation", ACTIVATIONS), ("distribution_type", DISTRIBUTIONS)):
        value = getattr(settings, name)
        if value not in valid:
            raise ConfigurationError(
                f"There is no {name} '{value}' ({hyperparameters.origin(name)}).{hint(str(value), valid)}"
            )
    for name in ("policy_hidden_layer_sizes", "value_hidden_layer_sizes"):
        sizes = getattr(settings, name)
        if not sizes or min(sizes) < 1:
            raise ConfigurationError(
                f"{name} must be at least one number, each above 0, but got {list(sizes)}"
                f" ({hyperparameters.origin(name)})"
            )
    pieces, n_envs = settings.batch_size * settings.num_minibatches, hyperparameters.n_envs
    if pieces % n_envs:
        fitting = [count for count in range(1, pieces + 1) if pieces % count == 0]
        near = min(fitting, key=lambda count: abs(count - n_envs))
        raise ConfigurationError(
            f"batch_size * num_minibatches is {pieces}, which {n_envs} environments"
            f" (n_envs, {hyperparameters.origin('n_envs')}) cannot collect in equal parts. Expected n_envs {near}"
        )


def _try_out(name: str, kwargs: Mapping[str, Any]) -> tuple[Any, int]:
    """:return: shape and type of an observation, and the numbers of an action; nothing is computed for that"""
    import jax

    env = make_environment(name, kwargs)
    try:
        state = jax.eval_shape(env.reset, jax.ShapeDtypeStruct((2,), np.uint32))
        action = jax.ShapeDtypeStruct((env.action_size,), np.float32)
        jax.eval_shape(env.step, state, action)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigurationError(f"{name} with {dict(kwargs)} cannot be stepped: {reason}") from error
    return state.obs, int(env.action_size)


def _check_memory(settings: BraxPPO, hyperparameters: Hyperparameters, observation: Any, action_size: int) -> None:
    import jax

    numbers = sum(math.prod(part.shape) for part in jax.tree.leaves(observation))
    steps = settings.steps_of_an_update
    require_memory(f"An update of {steps:,} steps", 4 * steps * (2 * numbers + 5 * action_size + 8))
    n_envs = hyperparameters.n_envs
    require_memory(f"n_envs {n_envs} ({hyperparameters.origin('n_envs')})", 8 * n_envs * (numbers + action_size) * 10)


def _check_policy(experiment: Experiment, observation: Any, action_size: int) -> None:
    if not experiment.trained_agent:
        return
    policy = load_policy(Path(experiment.trained_agent))
    wanted = (size_of(observation), action_size)
    if (policy.observation_size, policy.action_size) != wanted:
        raise ConfigurationError(
            f"{experiment.trained_agent} has observations of size {policy.observation_size} and actions of size"
            f" {policy.action_size}, but {experiment.env} has {wanted[0]} and {wanted[1]}"
        )


def _remarks(settings: BraxPPO, hyperparameters: Hyperparameters) -> list[str]:
    steps, wanted = settings.steps_of_an_update, hyperparameters.n_timesteps
    if wanted % steps == 0:
        return []
    whole = math.ceil(wanted / steps) * steps
    return [f"An update takes {steps:,} steps, so that training ends after {whole:,}"]


def _space(observation: Any) -> spaces.Space:
    if hasattr(observation, "items"):
        return spaces.Dict({name: _space(part) for name, part in observation.items()})
    return spaces.Box(-np.inf, np.inf, tuple(observation.shape), np.float32)
