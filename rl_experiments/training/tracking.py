"""Trackers: Weights & Biases, through the TensorBoard files that it reads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rl_experiments.core.errors import MissingPackageError


def start_wandb(name: str, settings: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """
    Begin a run at Weights & Biases, which then follows the TensorBoard log.

    :param name: the run's name
    :param settings: ``project``, ``entity``, ``group`` and ``tags``
    :param config: what to store with it
    :return: the run; ``finish(exit_code)`` ends it
    :raises MissingPackageError: if wandb is not installed
    """
    try:
        import wandb
    except ImportError:
        raise MissingPackageError("--track", "wandb", "wandb") from None
    return wandb.init(
        name=name, config=dict(config), sync_tensorboard=True, monitor_gym=False, save_code=False, **settings
    )


def run_name(env_id: str, algorithm: str, seed: int) -> str:
    """:return: the name that the zoo gives a tracked run"""
    return f"{env_id}__{algorithm}__{seed}__{int(time.time())}"
