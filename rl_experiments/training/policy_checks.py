"""What ``policy_kwargs`` may hold, as far as the policy's signature and its networks tell."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping
from typing import Any

from rl_experiments.algorithms import Algorithm
from rl_experiments.config import grammar
from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core.annotations import describe, fits, type_of
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.memory import require_memory
from rl_experiments.core.symbols import Symbol, Trust, import_symbol

_COUNTS = ("n_quantiles", "n_critics", "lstm_hidden_size", "n_lstm_layers")
_LIBRARIES = ("stable_baselines3.", "sb3_contrib.", "sbx.")
_COPIES = 16
"""Bytes of a weight in training: itself, its gradient, and Adam's two averages."""


def check_policy_kwargs(algorithm: Algorithm, hyperparameters: Hyperparameters, policy: Any, trust: Trust) -> None:
    """
    :param policy: the policy's class; arguments of one that is the user's own are left to it
    :raises ConfigurationError: for the first value that is wrong
    """
    given = hyperparameters.parsed("policy_kwargs")
    if not given or not policy.__module__.startswith(_LIBRARIES):
        return

    def resolve(symbol: Symbol) -> Any:
        return import_symbol(symbol, trust, "policy_kwargs")

    where = f"policy_kwargs ({hyperparameters.origin('policy_kwargs')})"
    parameters = inspect.signature(policy.__init__).parameters
    for name, written in given.items():
        value = grammar.replace_symbols(written, resolve)
        if name == "net_arch":
            _check_layers(algorithm, value, where)
        elif name in _COUNTS:
            if not fits(value, int) or value < 1:
                raise ConfigurationError(f"{where}: {name} must be a whole number of at least 1, but got {value!r}")
            # A layer of an LSTM has as many weights as four matrices of its size squared.
            width = value if name != "n_lstm_layers" else 1
            require_memory(f"{where}: {name} {value}", _COPIES * (4 * width**2 if "lstm" in name else width))
        elif name in parameters and not fits(value, parameters[name].annotation):
            expected = describe(parameters[name].annotation)
            raise ConfigurationError(f"{where}: {name} must be {expected}, but got {type_of(value)}")


def _check_layers(algorithm: Algorithm, value: Any, where: str) -> None:
    if value is None:
        return
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        value = value[0]  # as SB3 wrote it before version 1.8
    networks = value if isinstance(value, Mapping) else {None: value}
    names = {"pi", "qf"} if algorithm.off_policy else {"pi", "vf"}
    if isinstance(value, Mapping) and algorithm.off_policy and "Box" not in algorithm.action_spaces:
        raise ConfigurationError(
            f"{where}: net_arch must be a list: {algorithm.name} has one network, but got {value!r}"
        )
    if isinstance(value, Mapping) and not set(networks) <= names:
        odd = next(name for name in networks if name not in names)
        raise ConfigurationError(f"{where}: net_arch has no network '{odd}'. Expected {' and '.join(sorted(names))}")
    if isinstance(value, Mapping) and algorithm.off_policy and set(networks) != names:
        raise ConfigurationError(f"{where}: net_arch needs both pi and qf, but got {sorted(networks)}")
    for layers in networks.values():
        right = isinstance(layers, (list, tuple)) and all(fits(size, int) and int(size) == size for size in layers)
        if not right or any(isinstance(size, float) or size < 1 for size in layers):
            raise ConfigurationError(
                f"{where}: net_arch must be a list of layer sizes, whole numbers of at least 1, like [64, 64], but got"
                f" {layers!r}"
            )
        weights = sum(before * after for before, after in itertools.pairwise([1, *layers]))
        require_memory(f"{where}: net_arch {layers}", _COPIES * weights)
