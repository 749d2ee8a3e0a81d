"""Names of Brax's environments, and how they come into Gymnasium's registry."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import gymnasium as gym

from rl_experiments.core.accelerated import has_brax, prepare_jax, quiet_imports

BRAX = (
    "ant",
    "fast",
    "halfcheetah",
    "hopper",
    "humanoid",
    "humanoidstandup",
    "inverted_double_pendulum",
    "inverted_pendulum",
    "pusher",
    "reacher",
    "swimmer",
    "walker2d",
)
"""What Brax itself brings; known without importing it."""
ENTRY_POINT = "rl_experiments.envs.brax.face:BraxEnv"
LONGEST_EPISODE = 1000
"""Steps, where nothing else is said: what Brax trains with."""


def may_be_brax(name: str) -> bool:
    """Whether an id looks like a name in Brax or MuJoCo Playground, which have neither version nor namespace."""
    return "/" not in name and "-v" not in name


def register_brax() -> None:
    """Put all names that Brax and MuJoCo Playground have at this moment into Gymnasium's registry."""
    if not has_brax():
        return
    for name in [*brax_names(), *playground_names()]:
        if name not in gym.registry:
            gym.register(
                id=name,
                entry_point=ENTRY_POINT,
                max_episode_steps=LONGEST_EPISODE,
                disable_env_checker=True,
                kwargs={"name": name},
            )


def is_brax(spec: Any) -> bool:
    """Whether a registered environment is one of ours."""
    return bool(spec.entry_point == ENTRY_POINT)


def brax_names() -> list[str]:
    """:return: all that are registered with Brax, those of the user included"""
    prepare_jax("Brax")
    with quiet_imports():
        envs = importlib.import_module("brax.envs")
    return sorted(envs._envs)


def playground_names() -> list[str]:
    """:return: all of MuJoCo Playground, where it is installed"""
    if importlib.util.find_spec("mujoco_playground") is None:
        return []
    prepare_jax("MuJoCo Playground")
    with quiet_imports():
        registry = importlib.import_module("mujoco_playground").registry
    return sorted(registry.ALL_ENVS)
