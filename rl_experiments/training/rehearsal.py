"""The shortest piece of a training, in an environment that costs nothing: it acts, learns, and acts again."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rl_experiments.algorithms.parameters import model_parameters
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.envs.workers import reason_of
from rl_experiments.training.configuration import Configuration
from rl_experiments.training.learning import masking
from rl_experiments.training.resolving import trial_model
from rl_experiments.training.synthetic import EPISODE_LENGTH, SyntheticVecEnv


@dataclass(frozen=True)
class Piece:
    """
    :param overrides: hyperparameters that make a training short, with the network and the batch as they are
    :param steps: environment steps from one learning to the next
    :param epochs: how often the training goes through what the piece goes through once
    """

    overrides: Mapping[str, Any]
    steps: int
    epochs: int = 1


def smallest_piece(configuration: Configuration) -> Piece:
    """:return: how the algorithm both acts and learns in as few steps as possible"""
    parameters = model_parameters(configuration.algorithm)
    hyperparameters, n_envs = configuration.hyperparameters, configuration.n_envs

    def setting(name: str, fallback: int) -> int:
        value = hyperparameters.get(name, parameters[name].default if name in parameters else fallback)
        return int(value) if isinstance(value, (int, float)) else fallback

    if configuration.algorithm.off_policy:
        frequency = hyperparameters.algorithm_arguments().get("train_freq", parameters["train_freq"].default)
        number, unit = frequency if isinstance(frequency, tuple) else (frequency, "step")
        steps = int(number) * (EPISODE_LENGTH if unit == "episode" else 1) * n_envs
        return Piece({"learning_starts": setting("batch_size", 32)}, steps)
    if "n_epochs" in parameters:
        rollout = max(2, min(setting("n_steps", 2048), -(-setting("batch_size", 64) // n_envs)))
        return Piece({"n_steps": rollout, "n_epochs": 1}, rollout * n_envs, setting("n_epochs", 1))
    rollout = min(setting("n_steps", 5), 1024)
    return Piece({"n_steps": rollout} if "n_steps" in parameters else {}, rollout * n_envs)


def rehearse(configuration: Configuration, synthetic: SyntheticVecEnv) -> None:
    """
    Train for a moment, so that what only learning shows is found before a run begins.

    :raises ConfigurationError: if it fails
    """
    name = configuration.algorithm.name
    piece = smallest_piece(configuration)
    overrides, steps = dict(piece.overrides), 2 * piece.steps
    if configuration.algorithm.off_policy:
        # Hindsight needs a whole episode; two gradient steps reach the actor of TD3, which learns at every second one.
        starts = max(overrides["learning_starts"], (EPISODE_LENGTH + 1) * configuration.n_envs)
        overrides |= {"learning_starts": starts, "gradient_steps": 2, "policy_delay": 2}
        steps += starts + piece.steps
    elif name == "ars":
        overrides |= {"n_delta": 1, "n_top": 1}
    else:
        steps = piece.steps
    known = model_parameters(configuration.algorithm)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = trial_model(
                configuration, synthetic, **{key: value for key, value in overrides.items() if key in known}
            )
            model.learn(steps, log_interval=None, **masking(configuration, synthetic))
            model.predict(synthetic.reset())
    except Exception as error:
        raise ConfigurationError(f"{name} cannot learn with these hyperparameters: {reason_of(error)}") from error
