"""What the data of a model's zip tells of its algorithm and its age, without loading the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rl_experiments.algorithms.registry import Algorithm, algorithm_names

_LIBRARIES = ("stable_baselines3.", "sb3_contrib.", "sbx.", "rl_experiments.algorithms.sbx.")
_BY_KEY = {
    "cg_max_steps": "trpo",
    "n_epochs": "ppo",
    "delta_std": "ars",
    "top_quantiles_to_drop_per_net": "tqc",
    "policy_delay": "td3",
}
"""Entries of a model's data that no other algorithm with the same policy classes has."""


def possible_algorithms(data: Mapping[str, Any]) -> frozenset[str]:
    """
    :param data: what an SB3 zip holds as ``data``
    :return: the algorithms that write such data; empty where that cannot be told
    """
    module = _policy_module(data)
    if module.startswith("sb3_contrib.common."):
        return frozenset({"maskable": {"ppo_mask"}, "recurrent": {"ppo_lstm"}}.get(module.split(".")[2], set()))
    package = module.split(".")[1] if module.endswith(".policies") and module.count(".") == 2 else ""
    found = package if package in algorithm_names() else next((_BY_KEY[key] for key in _BY_KEY if key in data), None)
    if found == "td3":  # DDPG is a TD3 without its delay
        return frozenset({"td3", "ddpg"} if data.get("policy_delay") == 1 else {"td3"})
    if found is None and module == "stable_baselines3.common.policies" and {"vf_coef", "n_steps"} <= data.keys():
        found = "a2c"
    return frozenset({found} if found else set())


def others_that_wrote(data: Mapping[str, Any], algorithm: Algorithm) -> list[str]:
    """
    :param data: what an SB3 zip holds as ``data``
    :param algorithm: what the model is said to be of
    :return: the algorithms that it is of instead; empty where it may be of this one, or has a policy of the user's own
    """
    module = _policy_module(data)
    if not module.startswith(_LIBRARIES) or not algorithm.class_path.startswith(_LIBRARIES):
        return []
    possible = possible_algorithms(data)
    return [] if algorithm.name in possible else sorted(possible)


def _policy_module(data: Mapping[str, Any]) -> str:
    policy = data.get("policy_class")
    return str(policy.get("__module__", "")) if isinstance(policy, Mapping) else ""


def has_goal_in_observation(data: Mapping[str, Any]) -> bool:
    """Whether HER of SB3 1.0 trained it: an algorithm around another, whose policy saw observation and goal as one."""
    return "model_class" in data


def was_written_with_gym(data: Mapping[str, Any]) -> bool:
    """Whether the file holds objects of ``gym``, and not of gymnasium."""
    space = data.get("observation_space")
    return isinstance(space, Mapping) and str(space.get(":type:", "")).startswith("<class 'gym.")


def was_trained_with_gym(data: Mapping[str, Any]) -> bool:
    """Whether it was trained with ``gym``; models that were loaded and saved again later still have SB3 1.2's keys."""
    return was_written_with_gym(data) or "_last_dones" in data
