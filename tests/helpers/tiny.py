"""Experiments that take a second."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl_experiments import Experiment

SMALL = "dict(net_arch=[8])"
_OFF_POLICY: dict[str, Any] = {
    "policy_kwargs": SMALL,
    "learning_starts": 60,
    "batch_size": 16,
    "buffer_size": 1000,
    "train_freq": 4,
    "gradient_steps": 1,
}
_ON_POLICY: dict[str, Any] = {"policy_kwargs": SMALL, "n_envs": 2}
_ROLLOUTS: dict[str, Any] = {**_ON_POLICY, "n_steps": 32, "batch_size": 16}
TINY: dict[str, dict[str, Any]] = {
    "a2c": _ON_POLICY,
    "ars": {"n_envs": 1, "n_delta": 2, "n_top": 1, "zero_policy": False},
    "crossq": _OFF_POLICY,
    "ddpg": _OFF_POLICY,
    "dqn": {**_OFF_POLICY, "target_update_interval": 20},
    "ppo": {**_ROLLOUTS, "n_epochs": 2},
    "ppo_lstm": {**_ROLLOUTS, "n_epochs": 2, "policy_kwargs": "dict(net_arch=[8], lstm_hidden_size=8)"},
    "ppo_mask": {**_ROLLOUTS, "n_epochs": 2},
    "qrdqn": {**_OFF_POLICY, "target_update_interval": 20},
    "sac": _OFF_POLICY,
    "td3": _OFF_POLICY,
    "tqc": _OFF_POLICY,
    "trpo": {**_ROLLOUTS, "n_critic_updates": 2},
}
"""Small networks and short rollouts for every algorithm."""
_OWN_NETWORK = ("NoFrameskip", "ALE/")


def tiny_experiment(
    algo: str, env: str, log_folder: Path, hyperparams: Mapping[str, Any] | None = None, **settings: Any
) -> Experiment:
    """
    :param hyperparams: over the tiny ones
    :param settings: fields of :class:`rl_experiments.Experiment`
    """
    given = {**TINY[algo], **(hyperparams or {})}
    if any(part in env for part in _OWN_NETWORK):
        given.pop("policy_kwargs", None)
    defaults = {"n_timesteps": 200, "eval_freq": -1, "seed": 1, "verbose": 0, "num_threads": 1}
    return Experiment(algo=algo, env=env, log_folder=str(log_folder), hyperparams=given, **{**defaults, **settings})
