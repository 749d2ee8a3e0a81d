"""
What may stand in the hyperparameters of an algorithm of SBX: SB3's names, with SB3's defaults.

Where SBX has no such argument, the value that says what SBX does is taken, and any other refused.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from rl_experiments.core.errors import ConfigurationError

DEFAULTS: dict[str, dict[str, Any]] = {
    "ddpg": {"learning_rate": 1e-3, "qf_learning_rate": None},
    "dqn": {"target_update_interval": 10_000},
    "td3": {"learning_rate": 1e-3},
}
"""Where SBX's default is another one than that of the same algorithm in SB3 and sb3-contrib."""
_REPLAY = {"optimize_memory_usage": False}
_WINDOW = {"stats_window_size": 100}
LACKING: dict[str, dict[str, Any]] = {
    "crossq": _REPLAY,
    "ddpg": {**_REPLAY, **_WINDOW},
    "dqn": {"max_grad_norm": math.inf, **_WINDOW},
    "ppo": {"clip_range_vf": None, **_WINDOW},
    "sac": {**_REPLAY, "target_update_interval": 1},
    "td3": _REPLAY,
    "tqc": {**_REPLAY, "target_update_interval": 1},
}
"""Arguments of SB3's that SBX has not, or does not use: what it does in their place."""


def parameters_in_sbx(name: str, parameters: Mapping[str, inspect.Parameter]) -> dict[str, inspect.Parameter]:
    """
    :param name: of the algorithm
    :param parameters: of the class's constructor
    :return: the same with SB3's defaults, and with what only SB3 has
    """
    found = dict(parameters)
    for key, default in DEFAULTS.get(name, {}).items():
        found[key] = found[key].replace(default=default)
    for key, value in LACKING[name].items():
        found[key] = inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value)
    return found


def check_lacking(name: str, key: str, value: Any, origin: str) -> None:
    """
    :raises ConfigurationError: if a hyperparameter says what SBX cannot do
    """
    neutral = LACKING[name].get(key, value)
    if value != neutral:
        raise ConfigurationError(
            f"SBX's {name} has no {key} ({origin}): it does what {key} {neutral} does. -params {key}:{neutral} takes"
            " that, and --backend sb3 has the other"
        )
