"""What a policy of SBX is made of, as JSON can hold it: the names of functions in the place of the functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from rl_experiments.core.errors import ConfigurationError

DESCRIPTION, STATES = "policy.json", "states.msgpack"
"""Members of a model's zip: what the networks are made of; networks, optimizers and random keys."""
FORMAT, VERSION = "rl_experiments/sbx", 1
ACTIVATIONS = {
    "ReLU": "relu",
    "Tanh": "tanh",
    "ELU": "elu",
    "GELU": "gelu",
    "LeakyReLU": "leaky_relu",
    "SELU": "selu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Softsign": "soft_sign",
}
"""Names in torch, and functions of ``flax.linen``."""
OPTIMIZERS = {"Adam": "adam", "AdamW": "adamw"}
"""Names in torch, and functions of ``optax``."""
_FUNCTIONS = ("activation_fn", "optimizer_class")
_PLAIN = (
    *("net_arch", "use_sde", "log_std_init", "ortho_init", "n_critics", "n_quantiles", "optimizer_kwargs"),
    *("dropout_rate", "layer_norm", "top_quantiles_to_drop_per_net"),
    *("batch_norm", "batch_norm_actor", "batch_norm_momentum", "renorm_warmup_steps"),
)
_MOST_LAYERS, _WIDEST = 64, 1 << 20


@functools.cache
def activation(name: str) -> Any:
    """
    :param name: in torch
    :return: the function of flax; the same one at each call, because JAX compiles for each anew
    """
    from flax import linen

    # Torch's is the exact one.
    return functools.partial(linen.gelu, approximate=False) if name == "GELU" else getattr(linen, ACTIVATIONS[name])


def optimizer(name: str) -> Any:
    """:param name: in torch"""
    import optax

    return getattr(optax, OPTIMIZERS[name])


def describe(policy_kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """
    :param policy_kwargs: as SBX takes them
    :return: what JSON holds of them; None where something has no name that stands for it
    """
    known: dict[str, list[tuple[str, Any]]] = {
        "activation_fn": [(name, activation(name)) for name in ACTIVATIONS],
        "optimizer_class": [(name, optimizer(name)) for name in OPTIMIZERS],
    }
    found: dict[str, Any] = {}
    for key, value in policy_kwargs.items():
        if key in _FUNCTIONS:
            names = [name for name, function in known[key] if function is value]
            if not names:
                return None
            found[key] = names[0]
        elif key in _PLAIN:
            found[key] = value
        else:
            return None
    return found


def kwargs_of(described: Any) -> dict[str, Any]:
    """
    :param described: what :func:`describe` returned, from a file
    :return: arguments for the policy
    :raises ConfigurationError: if it describes none
    """
    if not isinstance(described, Mapping):
        raise ConfigurationError("its policy is not described")
    kwargs: dict[str, Any] = {}
    for key, value in described.items():
        if key == "activation_fn" and value in ACTIVATIONS:
            kwargs[key] = activation(value)
        elif key == "optimizer_class" and value in OPTIMIZERS:
            kwargs[key] = optimizer(value)
        elif key in _PLAIN and _is_plain(value):
            kwargs[key] = value
        else:
            raise ConfigurationError(f"its policy is described with {key} {value!r:.80}, which is unknown")
    _check_layers(kwargs.get("net_arch"))
    return kwargs


def largest_layer(kwargs: Mapping[str, Any], inputs: int) -> int:
    """
    :param inputs: numbers in an observation
    :return: the weights of the largest layer that a policy has
    """
    layers = kwargs.get("net_arch") or []
    networks = layers.values() if isinstance(layers, Mapping) else [layers]
    sizes = [(inputs, *network) for network in networks]
    return max(math.prod(pair) for network in sizes for pair in zip(network, (*network[1:], 1), strict=True))


def _check_layers(layers: Any) -> None:
    networks = list(layers.values()) if isinstance(layers, Mapping) else [] if layers is None else [layers]
    for network in networks:
        right = isinstance(network, (list, tuple)) and len(network) <= _MOST_LAYERS
        if not right or not all(type(size) is int and 0 < size <= _WIDEST for size in network):
            raise ConfigurationError(f"its policy is described with layers {layers!r:.80}")


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float))
