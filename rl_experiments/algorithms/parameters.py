"""What may stand in the hyperparameters of an algorithm: the arguments of its class."""

from __future__ import annotations

import inspect

from rl_experiments.algorithms.registry import SBX, Algorithm
from rl_experiments.algorithms.sbx.signature import parameters_in_sbx

_OURS = (
    "self",
    "env",
    "policy",
    "seed",
    "verbose",
    "device",
    "tensorboard_log",
    "_init_setup_model",
    "policy_base",
    "supported_action_spaces",
)


def model_parameters(algorithm: Algorithm) -> dict[str, inspect.Parameter]:
    """:return: the constructor's parameters that hyperparameters may set, by name (``policy`` included)"""
    parameters = inspect.signature(algorithm.load_class().__init__).parameters
    found = {name: parameter for name, parameter in parameters.items() if name not in _OURS or name == "policy"}
    return parameters_in_sbx(algorithm.name, found) if algorithm.backend == SBX else found
