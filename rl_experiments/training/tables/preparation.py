"""Checking an experiment with a table, so that it could start."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rl_experiments.algorithms import Algorithm, algorithm_names, get_algorithm
from rl_experiments.algorithms.tabular.algorithm import VARIANTS, Budget, QLearning
from rl_experiments.algorithms.tabular.compiled import can_compile
from rl_experiments.algorithms.tabular.table import load_table
from rl_experiments.algorithms.tabular.transitions import NoTransitions, Transitions, read_transitions
from rl_experiments.config.hyperparameters import COMMAND_LINE, Hyperparameters
from rl_experiments.core.errors import ConfigurationError, MissingPackageError, RLExperimentsError, TrainingError
from rl_experiments.core.memory import require_memory
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Trust
from rl_experiments.envs import EnvironmentRecipe, make_one
from rl_experiments.envs.registry import check_render_mode
from rl_experiments.envs.spaces import is_counted
from rl_experiments.envs.workers import reason_of
from rl_experiments.evaluation.evaluating import ending_recipe, without_window
from rl_experiments.training.configuration import Configuration
from rl_experiments.training.preparation import Prepared
from rl_experiments.training.settings import Experiment

NUMBERING = "rl_experiments.envs.wrappers.NumberedSpaces"
_OF_NETWORKS = ("normalize", "frame_stack", "vec_env_wrapper", "callback", "noise_type", "noise_std")
_LONGEST_TRY = 20


@dataclass(frozen=True)
class PreparedTable(Prepared):
    """
    An experiment with a table that was checked, and could start.

    :param settings: its hyperparameters
    :param budget: how long it is
    :param transitions: what the environment exposes, None where it has to be stepped
    :param compiled: whether it learns over these
    """

    settings: QLearning
    budget: Budget
    transitions: Transitions | None
    compiled: bool


def prepare_table(
    experiment: Experiment, algorithm: Algorithm, hyperparameters: Hyperparameters, trust: Trust | None
) -> PreparedTable:
    """
    :param experiment: with its seed drawn
    :param hyperparameters: merged, with names and types checked
    :param trust: what these may name; if None, anything, since they are the user's own
    :raises RLExperimentsError: for the first thing that is wrong
    """
    _check_unused(experiment, hyperparameters)
    trust = trust or Trust(any_name=True)
    hyperparameters = _completed(experiment, hyperparameters)
    settings = _settings(hyperparameters)
    if experiment.eval_episodes == type(experiment).eval_episodes:
        experiment = replace(experiment, eval_episodes=settings.n_eval_episodes)
    recipe, hyperparameters = _countable_recipe(experiment, algorithm, hyperparameters, trust)
    env = make_one(recipe, disable_env_checker=True)
    try:
        env.action_space.seed(experiment.seed)
        if not _gives_plain_numbers(env, recipe.env_id):
            env.close()
            hyperparameters = _numbered(hyperparameters)
            recipe, env = _made(experiment, hyperparameters, trust)
        transitions, compiled, remarks = _choose_learner(env, settings, recipe)
        _check_table(experiment, env)
    finally:
        with contextlib.suppress(Exception, SystemExit):
            env.close()
    evaluation = ending_recipe(without_window(recipe.with_kwargs(**(experiment.eval_env_kwargs or {}))))
    if experiment.eval_env_kwargs:
        make_one(evaluation).close()
    budget = _budget(hyperparameters)
    steps = budget.steps or (budget.episodes or 0) * (recipe.max_episode_steps or settings.max_steps)
    settings.max_steps = recipe.max_episode_steps or settings.max_steps
    configuration = Configuration(algorithm, hyperparameters, recipe, evaluation, steps, trust, tuple(remarks))
    if experiment.video_freq > 0:
        from rl_experiments.training.videos import check_drawing

        check_drawing(experiment, configuration)
    return PreparedTable(experiment, configuration, env, settings, budget, transitions, compiled)  # type: ignore[arg-type]


def _check_unused(experiment: Experiment, hyperparameters: Hyperparameters) -> None:
    """What has no meaning for a table is refused, in place of being ignored."""
    for name in _OF_NETWORKS:
        if name in hyperparameters and hyperparameters[name] not in (None, False, 0):
            raise ConfigurationError(
                f"{name} ({hyperparameters.origin(name)}) has no meaning for {experiment.algo}, which keeps a table"
            )
    if hyperparameters.n_envs != 1:
        raise ConfigurationError(
            f"n_envs must be 1 for {experiment.algo}, but got {hyperparameters.n_envs}"
            f" ({hyperparameters.origin('n_envs')})"
        )
    if experiment.tensorboard_log:
        raise ConfigurationError(
            f"--tensorboard-log is not there for {experiment.algo}: its curve is in evaluations.npz. A tracker follows"
            " it: --track"
        )


def _completed(experiment: Experiment, hyperparameters: Hyperparameters) -> Hyperparameters:
    """``-n`` takes the place of the episodes; the longest episode must stand in the run, which is played in later."""
    if experiment.n_timesteps > 0:
        hyperparameters = hyperparameters.merged({"n_timesteps": experiment.n_timesteps}, COMMAND_LINE)
        hyperparameters = hyperparameters.without("n_episodes")
    if hyperparameters.get("n_episodes") is None and "n_timesteps" not in hyperparameters:
        where = hyperparameters.block.origin if hyperparameters.block else "the hyperparameters"
        raise ConfigurationError(f"There is no n_episodes and no n_timesteps in {where}, and no -n on the command line")
    if "max_steps" not in hyperparameters:
        hyperparameters = hyperparameters.merged({"max_steps": QLearning().max_steps}, "default of QLearning")
    return hyperparameters


def _settings(hyperparameters: Hyperparameters) -> QLearning:
    arguments = hyperparameters.without("n_timesteps", "n_envs", "env_kwargs").algorithm_arguments()
    settings = QLearning(**{**arguments, "n_episodes": None})
    if settings.variant not in VARIANTS:
        raise ConfigurationError(
            f"There is no variant '{settings.variant}' ({hyperparameters.origin('variant')})."
            f"{hint(str(settings.variant), VARIANTS)}"
        )
    if settings.min_epsilon > settings.max_epsilon:
        raise ConfigurationError(
            f"min_epsilon is {settings.min_epsilon} ({hyperparameters.origin('min_epsilon')}), and max_epsilon only"
            f" {settings.max_epsilon} ({hyperparameters.origin('max_epsilon')})"
        )
    if settings.rates().max() > 1:
        raise ConfigurationError(
            f"learning_rate must be from 0 to 1, but got {hyperparameters['learning_rate']!r}"
            f" ({hyperparameters.origin('learning_rate')}): a value would go past what it is learned from"
        )
    wrong = next((seed for seed in settings.eval_seed if not 0 <= seed < 2**32), None)
    if wrong is not None:
        raise ConfigurationError(
            f"eval_seed must be numbers from 0 to 2**32 - 1, but has {wrong} ({hyperparameters.origin('eval_seed')})"
        )
    if settings.compiled and not can_compile():
        raise MissingPackageError("compiled: true", "numba", "tabular")
    return settings


def _budget(hyperparameters: Hyperparameters) -> Budget:
    episodes = hyperparameters.get("n_episodes")
    steps = hyperparameters.n_timesteps if "n_timesteps" in hyperparameters else None
    return Budget(None if episodes is None else int(episodes), steps)


def _countable_recipe(
    experiment: Experiment, algorithm: Algorithm, hyperparameters: Hyperparameters, trust: Trust
) -> tuple[EnvironmentRecipe, Hyperparameters]:
    """:return: the recipe, with the wrapper that numbers observations where they are tuples"""
    recipe, env = _made(experiment, hyperparameters, trust)
    observations, actions = env.observation_space, env.action_space
    env.close()
    _check_spaces(algorithm, experiment.env, observations, actions)
    if not (is_counted(observations) and is_counted(actions)):
        hyperparameters = _numbered(hyperparameters)
        recipe, env = _made(experiment, hyperparameters, trust)
        observations, actions = env.observation_space, env.action_space
        env.close()
    n_values = int(observations.n) * int(actions.n)  # type: ignore[attr-defined]
    require_memory(f"A table of {n_values:,} values", 4 * 8 * n_values)
    return recipe, hyperparameters


def _made(experiment: Experiment, hyperparameters: Hyperparameters, trust: Trust) -> tuple[EnvironmentRecipe, gym.Env]:
    recipe = EnvironmentRecipe.from_hyperparameters(
        experiment.env, hyperparameters, experiment.env_kwargs, tuple(experiment.gym_packages), trust
    )
    for kwargs in (recipe.kwargs, experiment.eval_env_kwargs or {}):
        check_render_mode(experiment.env, kwargs.get("render_mode"))
    recipe = without_window(recipe)
    return recipe, make_one(recipe, checked=False, disable_env_checker=True)


def _numbered(hyperparameters: Hyperparameters) -> Hyperparameters:
    """:return: with the wrapper that counts observations and actions from 0"""
    wrappers = hyperparameters.get("env_wrapper") or []
    added = [*(wrappers if isinstance(wrappers, list) else [wrappers]), NUMBERING]
    return hyperparameters.merged({"env_wrapper": added}, "the environment's spaces")


def _check_spaces(algorithm: Algorithm, env_id: str, observations: spaces.Space, actions: spaces.Space) -> None:
    kind = type(actions).__name__
    if not isinstance(actions, spaces.Discrete):
        able = [name for name in algorithm_names("sb3") if kind in get_algorithm(name).action_spaces]
        others = f"Algorithms that can: {', '.join(able)}" if able else "No algorithm here can"
        raise ConfigurationError(f"{algorithm.name} cannot act in {env_id}: its actions are {actions}. {others}")
    if not _can_be_counted(observations):
        others = "dqn, qrdqn, ppo, a2c"
        if isinstance(observations, spaces.Tuple):
            others += ", with gymnasium.wrappers.FlattenObservation as env_wrapper"
        raise ConfigurationError(
            f"{algorithm.name} keeps a table with a row for each observation, and {env_id} gives {observations}."
            f" Algorithms that learn from such observations: {others}"
        )


def _can_be_counted(space: spaces.Space) -> bool:
    if isinstance(space, spaces.Tuple):
        return bool(space.spaces) and all(_can_be_counted(part) for part in space.spaces)
    return isinstance(space, (spaces.Discrete, spaces.MultiDiscrete))


def _gives_plain_numbers(env: gym.Env, env_id: str) -> bool:
    """
    Make the first steps.

    :return: whether the observations are numbers as they come, and not arrays of one
    """
    try:
        seen = [env.reset(seed=0)[0]]
        for _ in range(_LONGEST_TRY):
            observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
            seen.append(observation)
            if terminated or truncated:
                break
        return all(isinstance(observation, (int, np.integer)) for observation in seen)
    except RLExperimentsError:
        raise
    except Exception as error:
        raise TrainingError(f"{env_id} failed in its first steps: {reason_of(error)}") from error


def _choose_learner(
    env: gym.Env, settings: QLearning, recipe: EnvironmentRecipe
) -> tuple[Transitions | None, bool, list[str]]:
    """:return: the table of transitions, whether it is learned over, and what the user should know"""
    try:
        transitions = read_transitions(env)
    except NoTransitions as reason:
        if settings.compiled:
            raise ConfigurationError(f"compiled: true is not possible in {recipe.env_id}: {reason}") from None
        return None, False, [f"{recipe.env_id} is stepped: {reason}"]
    if settings.compiled is False:
        return transitions, False, []
    if not can_compile():
        return (
            transitions,
            False,
            ["Training would be many times faster with: pip install 'rl_experiments[tabular]'"],
        )
    return transitions, True, []


def _check_table(experiment: Experiment, env: gym.Env) -> None:
    if not experiment.trained_agent:
        return
    from pathlib import Path

    table = load_table(Path(experiment.trained_agent))
    shape: tuple[Any, Any] = (env.observation_space.n, env.action_space.n)  # type: ignore[attr-defined]
    if (table.n_observations, table.n_actions) != shape:
        raise ConfigurationError(
            f"{experiment.trained_agent} has {table.n_observations} observations and {table.n_actions} actions, but"
            f" {experiment.env} has {shape[0]} and {shape[1]}"
        )
