"""The first steps of the real environment, before a training is begun in it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError, TrainingError
from rl_experiments.core.suggest import hint
from rl_experiments.envs import EnvironmentRecipe
from rl_experiments.envs.spaces import sample_action
from rl_experiments.envs.workers import reason_of

_LONGEST_TRY = 2.0
"""Seconds after which the end of an episode is no longer waited for."""


class Trial(gym.Wrapper):
    """
    An environment that can be tried out where it runs, in this process or in one of its own.

    :param env: with its wrappers
    :param recipe: what it was made from
    """

    def __init__(self, env: gym.Env, recipe: EnvironmentRecipe) -> None:
        super().__init__(env)
        self.recipe = recipe

    def try_out(self) -> tuple[list[str], RLExperimentsError | None]:
        """
        Reset the environment and make a step; where Monitor needs certain infos, play an episode.

        :return: remarks on what could not be tried, and the error if it failed or does not give what it promises
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Gymnasium's own checker says at length what is said here
                return _try_out(self.env, self.recipe), None
        except RLExperimentsError as error:
            return [], error
        except (Exception, SystemExit) as error:
            return [], _failed(self.recipe, error)


def try_environment(env: VecEnv, recipe: EnvironmentRecipe) -> list[str]:
    """
    Make the first steps.

    :param env: a vector of one :class:`Trial`
    :return: remarks on what could not be tried
    :raises TrainingError: if the environment fails
    :raises ConfigurationError: if it does not give what its spaces or the configuration promise
    """
    try:
        ((remarks, error),) = env.env_method("try_out")
        if error is not None:
            raise error
        env.reset()
    except RLExperimentsError:
        raise
    except (Exception, SystemExit) as failure:
        raise _failed(recipe, failure) from failure
    return list(remarks)


def _failed(recipe: EnvironmentRecipe, error: BaseException) -> TrainingError:
    return TrainingError(f"{recipe.env_id} failed before training began: {reason_of(error)}")


def _try_out(env: gym.Env, recipe: EnvironmentRecipe) -> list[str]:
    observation, _ = env.reset(seed=0)
    _check_observation(observation, env.observation_space, recipe.env_id)
    keywords = tuple(recipe.monitor_kwargs.get("info_keywords", ()))
    deadline = time.monotonic() + _LONGEST_TRY
    info: Mapping[str, Any] = {}
    while True:
        try:
            observation, reward, terminated, truncated, info = env.step(_action(env))
        except KeyError as error:
            if error.args[0] in keywords:  # it is Monitor that misses it
                raise _missing_keyword(error.args[0], info, recipe) from None
            raise
        _check_observation(observation, env.observation_space, recipe.env_id)
        if not np.isfinite(float(reward)):
            raise ConfigurationError(f"{recipe.env_id} gives the reward {reward}. Expected a finite number")
        missing = [key for key in keywords if key not in info]
        if not missing:
            return []
        if terminated or truncated:
            env.reset()
        if time.monotonic() > deadline:
            return [f"info_keywords: the first steps of {recipe.env_id} have no '{missing[0]}' in their info"]


def _missing_keyword(name: str, info: Mapping[str, Any], recipe: EnvironmentRecipe) -> ConfigurationError:
    known = [str(key) for key in info if key not in ("episode", "TimeLimit.truncated")]
    return ConfigurationError(
        f"monitor_kwargs, info_keywords: the info of {recipe.env_id} has no '{name}' at the end of an episode."
        f"{hint(name, known)}"
    )


def _action(env: gym.Env) -> Any:
    try:
        mask = env.get_wrapper_attr("action_masks")()
    except AttributeError:
        mask = None
    return sample_action(env.action_space, mask)


def _check_observation(observation: Any, space: spaces.Space, env_id: str, where: str = "") -> None:
    if isinstance(space, spaces.Dict):
        if not isinstance(observation, Mapping) or set(observation) != set(space.spaces):
            found = (
                f"the keys {sorted(observation)}" if isinstance(observation, Mapping) else type(observation).__name__
            )
            raise ConfigurationError(
                f"{env_id} gives an observation with {found}, but its observation space has {sorted(space.spaces)}"
            )
        for key, part in space.spaces.items():
            _check_observation(observation[key], part, env_id, f" at '{key}'")
        return
    found, expected = np.shape(observation), space.shape
    if found != expected:
        raise ConfigurationError(
            f"{env_id} gives an observation of shape {found}{where}, but its observation space says {expected}"
        )
    if np.issubdtype(np.asarray(observation).dtype, np.floating) and np.isnan(observation).any():
        raise ConfigurationError(f"{env_id} gives an observation with NaN{where}")
    if not isinstance(space, spaces.Box) and not space.contains(observation):
        raise ConfigurationError(f"{env_id} gives the observation {observation}{where}, which is not in {space}")
