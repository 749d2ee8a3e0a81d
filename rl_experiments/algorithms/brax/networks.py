"""From the description of networks to networks, and parameters of any shape into the one that Brax uses."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from rl_experiments.algorithms.brax.algorithm import ACTIVATIONS
from rl_experiments.core.accelerated import prepare_jax, quiet_imports
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint

NEEDED = "Expected what Brax's ppo.train returns: a tuple (normaliser, policy, value)"
_OURS = ("normalize_observations",)


def make_networks(network: Mapping[str, Any], observation_size: Any, action_size: int) -> Any:
    """
    :param network: arguments of Brax's ``make_ppo_networks``, as JSON can hold them
    :param observation_size: as the environment has it: a number, or a mapping of shapes
    :return: Brax's ``PPONetworks``
    :raises ConfigurationError: if there is no such argument or activation
    """
    prepare_jax("brax_ppo")
    with quiet_imports():
        from brax.training.acme import running_statistics
        from brax.training.agents.ppo import networks
    from flax import linen

    arguments = {name: value for name, value in network.items() if name not in _OURS}
    known = inspect.signature(networks.make_ppo_networks).parameters
    for name in arguments:
        if name not in known:
            raise ConfigurationError(f"Brax's networks take no argument '{name}'.{hint(name, known)}")
    if "activation" in arguments:
        if arguments["activation"] not in ACTIVATIONS:
            raise ConfigurationError(
                f"There is no activation '{arguments['activation']}'.{hint(str(arguments['activation']), ACTIVATIONS)}"
            )
        arguments["activation"] = getattr(linen, arguments["activation"])
    if network.get("normalize_observations"):
        arguments["preprocess_observations_fn"] = running_statistics.normalize
    return networks.make_ppo_networks(observation_size, action_size, **arguments)


def blank_parameters(networks: Any, observation: Any) -> Any:
    """
    :param observation: one, of whatever values
    :return: shapes and types of (normaliser, policy, value), in Brax's classes
    """
    import jax
    import numpy as np
    from brax.training.acme import running_statistics, specs

    shapes = jax.tree.map(lambda part: specs.Array(np.shape(part)[-1:], np.dtype("float32")), observation)
    key = jax.ShapeDtypeStruct((2,), np.uint32)
    return (
        jax.eval_shape(lambda: running_statistics.init_state(shapes)),
        jax.eval_shape(networks.policy_network.init, key),
        jax.eval_shape(networks.value_network.init, key),
    )


def put_right(params: Any, blank: Any, normalizer: Any = None) -> Any:
    """
    Put parameters of any of the shapes that recipes use into the one that Brax's functions take.

    :param params: a tuple or list (normaliser, policy, value) or (normaliser, policy); an object with ``policy`` and
        ``value``, with or without ``normalizer_params``; or a pair of a normaliser and such an object
    :param blank: as :func:`blank_parameters` returned it
    :param normalizer: in place of one that the parameters do not have
    :raises ConfigurationError: if they are none of these, or of other networks
    """
    parts = _parts(params)
    if parts["normalizer"] is None:
        parts["normalizer"] = normalizer
    if parts["normalizer"] is None:
        raise ConfigurationError(f"The parameters are {_described(params)}, without a normaliser. {NEEDED}")
    filled = [
        _fill(template, parts[name], name)
        for name, template in zip(("normalizer", "policy", "value"), blank, strict=True)
        if parts[name] is not None
    ]
    return tuple(filled)


def _parts(params: Any) -> dict[str, Any]:
    """:return: normaliser, policy and value, as far as they are there"""
    if isinstance(params, (tuple, list)) and not hasattr(params, "_fields"):
        if len(params) == 2 and _has_policy(params[1]):
            return {**_parts(params[1]), "normalizer": params[0]}
        if len(params) in (2, 3) and _is_normalizer(params[0]):
            policy, value = params[1], params[2] if len(params) == 3 else None
            if _has_policy(policy):
                return {**_parts(policy), "normalizer": params[0]}
            return {"normalizer": params[0], "policy": policy, "value": value}
        if len(params) == 1 and _has_policy(params[0]):
            return _parts(params[0])
    elif _has_policy(params):
        names = ("normalizer", "normalizer_params", "normalizer_state")
        found = (_get(params, name) for name in names)
        return {
            "normalizer": next((part for part in found if part is not None), None),
            "policy": _get(params, "policy"),
            "value": _get(params, "value"),
        }
    raise ConfigurationError(f"The parameters are {_described(params)}. {NEEDED}")


def _get(params: Any, name: str) -> Any:
    return params.get(name) if isinstance(params, Mapping) else getattr(params, name, None)


def _has_policy(params: Any) -> bool:
    return _get(params, "policy") is not None and not callable(_get(params, "policy"))


def _is_normalizer(part: Any) -> bool:
    return _get(part, "mean") is not None and _get(part, "std") is not None and not hasattr(part, "dtype")


def _fill(template: Any, given: Any, name: str) -> Any:
    """:return: the given arrays in the template's classes; flax names the parts of both alike"""
    import jax
    import numpy as np
    from flax import serialization

    wanted, found = _flat(serialization.to_state_dict(template)), _flat(serialization.to_state_dict(given))
    for key, leaf in wanted.items():
        shape = np.shape(found[key]) if key in found else None
        if shape != tuple(leaf.shape):
            what = "nothing" if shape is None else f"an array of shape {shape}"
            raise ConfigurationError(
                f"The parameters are of another {name}: {'/'.join(key)} is {what}, and {tuple(leaf.shape)} is needed"
            )
    if len(found) > len(wanted):
        odd = next(key for key in found if key not in wanted)
        raise ConfigurationError(f"The parameters are of another {name}: {'/'.join(odd)} has no place in it")
    arrays = {key: np.asarray(found[key], leaf.dtype) for key, leaf in wanted.items()}
    return serialization.from_state_dict(jax.tree.map(lambda leaf: 0, template), _nested(arrays))


def _flat(tree: Any, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if isinstance(tree, Mapping):
        return {key: leaf for name, part in tree.items() for key, leaf in _flat(part, (*prefix, str(name))).items()}
    return {prefix: tree}


def _nested(leaves: Mapping[tuple[str, ...], Any]) -> Any:
    if list(leaves) == [()]:
        return leaves[()]
    tree: dict[str, Any] = {}
    for name in dict.fromkeys(key[0] for key in leaves):
        tree[name] = _nested({key[1:]: leaf for key, leaf in leaves.items() if key[0] == name})
    return tree


def _described(params: Any) -> str:
    if isinstance(params, Mapping):
        return f"a mapping with {', '.join(map(str, list(params)[:6])) or 'nothing in it'}"
    if isinstance(params, (tuple, list)) and not hasattr(params, "_fields"):
        return f"a {type(params).__name__} of {len(params)} ({', '.join(type(part).__name__ for part in params[:6])})"
    return f"a {type(params).__name__}"
