"""Checking what a run's files say of its environment, before it is made: a file may hold anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from rl_experiments.core import pickles
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import check_content
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Trust
from rl_experiments.envs import EnvironmentRecipe
from rl_experiments.runs.folder import check_keywords

_MOST_FRAMES = 1000
_MONITOR_NAMES = ("allow_early_resets", "info_keywords", "override_existing", "reset_keywords")


def check_recipe(recipe: EnvironmentRecipe, source: Path) -> None:
    """
    :param source: the folder of the configuration, for errors
    :raises ConfigurationError: if arguments are none, or a number is absurd
    """
    check_keywords(recipe.kwargs, f"{source}: env_kwargs")
    check_keywords(recipe.monitor_kwargs, f"{source}: monitor_kwargs")
    check_keywords(recipe.normalize or {}, f"{source}: normalize")
    for name, kwargs in (*recipe.wrappers, *recipe.vec_wrappers):
        check_keywords(kwargs, f"{source}: the arguments of {name}")
    for name, value in recipe.monitor_kwargs.items():
        if name not in _MONITOR_NAMES:
            raise ConfigurationError(f"{source}: monitor_kwargs has no '{name}'.{hint(name, _MONITOR_NAMES)}")
        if name.endswith("_keywords") and not _are_names(value):
            raise ConfigurationError(f"{source}: monitor_kwargs: {name} must be a list of names, but got {value!r:.80}")
    if recipe.frame_stack is not None and recipe.frame_stack > _MOST_FRAMES:
        raise ConfigurationError(
            f"{source}: frame_stack must be at most {_MOST_FRAMES}, but got {_shown(recipe.frame_stack)}"
        )


def check_statistics(path: Path, trust: Trust) -> None:
    """
    :param path: a VecNormalize file of a run
    :raises UntrustedError: if it could only be read by running code
    :raises ConfigurationError: if it is damaged, or what it holds cannot normalise
    """
    check_content(path)
    try:
        loaded = pickles.loads_trusting(path.read_bytes(), trust)
    except pickles.pickle.UnpicklingError as error:
        raise pickles.refusal(str(path), error) from None
    if not isinstance(loaded, VecNormalize):
        raise ConfigurationError(f"{path} holds no normalisation statistics, but a {type(loaded).__name__}")
    values = vars(loaded)
    for name in values:
        if callable(getattr(VecNormalize, name, None)):
            raise ConfigurationError(f"{path} has '{name}' among its statistics, which is the name of a method")
    for names, is_right, expected in _STATISTICS:
        for name in names:
            if not is_right(values.get(name)):
                raise ConfigurationError(f"{path}: {name} must be {expected}, but got {values.get(name)!r:.80}")
    _check_moments(values.get("ret_rms"), (), f"{path}: ret_rms")
    if values["norm_obs"]:
        _check_observation_moments(values.get("obs_rms"), values["observation_space"], f"{path}: obs_rms")


def _check_observation_moments(moments: Any, space: spaces.Space, what: str) -> None:
    if not isinstance(space, spaces.Dict):
        _check_moments(moments, space.shape, what)
        return
    if not isinstance(moments, dict):
        raise ConfigurationError(f"{what} must be a mapping, but got {moments!r:.80}")
    for key, part in moments.items():
        if key not in space.spaces:
            raise ConfigurationError(f"{what} has '{key}', which is no part of the observation")
        _check_moments(part, space.spaces[key].shape, f"{what}: {key}")


def _check_moments(moments: Any, shape: tuple[int, ...] | None, what: str) -> None:
    if not isinstance(moments, RunningMeanStd):
        raise ConfigurationError(f"{what} must be running statistics, but got {moments!r:.80}")
    for name in ("mean", "var"):
        value = getattr(moments, name, None)
        if not isinstance(value, (np.ndarray, np.floating)) or value.dtype.kind != "f" or value.shape != shape:
            raise ConfigurationError(f"{what}: {name} must be numbers of the shape {shape}, but got {value!r:.80}")
    if not _is_number(getattr(moments, "count", None)):
        raise ConfigurationError(f"{what}: count must be a number, but got {getattr(moments, 'count', None)!r:.80}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _are_names(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _shown(number: int) -> str:
    return f"{number:,}" if abs(number) < 10**18 else f"a number of {number.bit_length()} bits"


_STATISTICS: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (("clip_obs", "clip_reward", "epsilon", "gamma"), _is_number, "a number"),
    (("norm_obs", "norm_reward", "training"), lambda value: isinstance(value, (bool, np.bool_)), "true or false"),
    (("observation_space", "action_space"), lambda value: isinstance(value, spaces.Space), "a space"),
    (("norm_obs_keys",), lambda value: value is None or _are_names(value), "a list of names"),
)
"""Attributes of VecNormalize, what is right for them, and how to say it."""
