"""Networks, optimizers and random keys of a model of SBX: taken as flax's bytes, and put into a model made alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rl_experiments.algorithms.sbx.description import STATES
from rl_experiments.core.errors import ConfigurationError


def take_states(model: Any) -> bytes:
    """:return: everything of a model that JAX computes with"""
    import jax
    from flax import serialization

    content = {place: serialization.to_state_dict(value) for place, value in _states_of(model).items()}
    return serialization.msgpack_serialize(jax.device_get(content))


def put_states(model: Any, content: bytes, with_keys: bool = True) -> None:
    """
    :param content: what :func:`take_states` returned, or what a file pretends to be that
    :param with_keys: the random keys too; a new training draws from its own seed
    :raises ConfigurationError: if it is of other networks
    """
    import jax
    from flax import serialization

    try:
        found = serialization.msgpack_restore(content)
    except Exception as error:  # msgpack has errors of its own
        raise ConfigurationError(f"its {STATES} is damaged: {' '.join(str(error).split())[:200]}") from None
    current = _states_of(model)
    if not isinstance(found, dict) or set(found) != set(current):
        raise ConfigurationError(f"its {STATES} holds other states than {', '.join(sorted(current))}")
    filled = {}
    for place, value in current.items():
        wanted = serialization.to_state_dict(value)
        filled[place] = serialization.from_state_dict(value, _fitting(wanted, found[place], place))
    for place, value in filled.items():
        if isinstance(value, jax.Array) and not with_keys:
            continue
        owner, name = place.split("/")
        setattr(model if owner == "model" else model.policy, name, value)


def _states_of(model: Any) -> dict[str, Any]:
    """:return: by place"""
    import jax
    from flax.training.train_state import TrainState

    owners = {"model": model, "policy": model.policy}
    return {
        f"{owner}/{name}": value
        for owner, holder in owners.items()
        for name, value in sorted(vars(holder).items())
        if isinstance(value, (TrainState, jax.Array))
    }


def _fitting(wanted: Any, found: Any, place: str) -> Any:
    """
    Numbers of Python's stay such, and arrays become arrays of JAX: JAX computes and compiles otherwise with others.

    :raises ConfigurationError: where the shapes differ
    """
    import jax.numpy as jnp

    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping) or set(found) != set(wanted):
            raise ConfigurationError(f"its {place} is of another network")
        return {name: _fitting(wanted[name], found[name], f"{place}/{name}") for name in wanted}
    if wanted is None or found is None:
        if wanted is not found:
            raise ConfigurationError(f"its {place} is of another network")
        return None
    if not isinstance(found, (np.ndarray, np.generic, int, float)) or np.shape(found) != np.shape(wanted):
        raise ConfigurationError(f"its {place} has the shape {np.shape(found)}, and {np.shape(wanted)} is needed")
    if isinstance(found, (int, float)):
        return found
    array = np.asarray(found)
    if array.dtype.kind not in "biuf":
        raise ConfigurationError(f"its {place} holds no numbers")
    return array[()] if isinstance(found, np.generic) else jnp.asarray(array)
