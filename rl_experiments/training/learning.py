"""What a model's ``learn`` needs beside the model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.core import pickles
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.symbols import Trust
from rl_experiments.envs import EnvironmentRecipe, has_action_masks, make_envs
from rl_experiments.envs.making import leave_interrupts_to_the_parent
from rl_experiments.training.configuration import Configuration
from rl_experiments.training.settings import Experiment


def learn_arguments(experiment: Experiment, configuration: Configuration, env: VecEnv, model: Any) -> dict[str, Any]:
    """:return: what ``model.learn`` takes beside the steps and the callbacks"""
    arguments: dict[str, Any] = {}
    if experiment.log_interval > -1:
        arguments["log_interval"] = experiment.log_interval
    elif experiment.log_interval < -1:
        arguments["log_interval"] = None
    arguments |= masking(configuration, env)
    if configuration.algorithm.name == "ars" and configuration.hyperparameters.n_envs > 1:
        arguments["async_eval"] = _asynchronous_evaluators(experiment, configuration, model)
    return arguments


def _asynchronous_evaluators(experiment: Experiment, configuration: Configuration, model: Any) -> Any:
    """ARS scores its candidates in processes of their own."""
    from sb3_contrib.common.vec_env import AsyncEval

    recipe, seed = configuration.recipe, experiment.seed
    makers: list[Callable[[], VecEnv]] = [
        functools.partial(_make_in_worker, recipe, seed + 1 + index)
        for index in range(configuration.hyperparameters.n_envs)
    ]
    return AsyncEval(makers, model.policy)


def _make_in_worker(recipe: EnvironmentRecipe, seed: int) -> VecEnv:
    leave_interrupts_to_the_parent()
    return make_envs(recipe, 1, seed, training=True)


def masking(configuration: Configuration, env: VecEnv) -> dict[str, Any]:
    """MaskablePPO refuses an environment without masks, unless it is told."""
    return {"use_masking": has_action_masks(env)} if configuration.algorithm.masked else {}


def load_replay_buffer(model: Any, path: Path, truncate_last_trajectory: bool, trust: Trust) -> None:
    """As SB3's ``load_replay_buffer``, without running the pickle unless the user said so."""
    from stable_baselines3.common.buffers import ReplayBuffer
    from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

    try:
        buffer = pickles.loads_trusting(path.read_bytes(), trust)
    except pickles.pickle.UnpicklingError as error:
        raise pickles.refusal(str(path), str(error)) from None
    if not isinstance(buffer, ReplayBuffer):
        raise ConfigurationError(f"{path} holds no replay buffer, but a {type(buffer).__name__}")
    if isinstance(buffer, HerReplayBuffer):
        buffer.set_env(model.get_env())
        if truncate_last_trajectory:
            buffer.truncate_last_trajectory()
    buffer.device = model.device
    model.replay_buffer = buffer
