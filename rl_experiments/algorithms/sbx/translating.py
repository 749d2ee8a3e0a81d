"""Arguments for SB3's constructors as SBX takes them: classes of torch become functions of JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rl_experiments.algorithms.registry import Algorithm
from rl_experiments.algorithms.sbx.description import ACTIVATIONS, OPTIMIZERS, activation, describe, optimizer
from rl_experiments.algorithms.sbx.signature import DEFAULTS, LACKING
from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint

_UNUSED = ("use_expln", "clip_mean", "full_std", "squash_output", "normalize_images", "features_extractor_kwargs")
"""Of ``policy_kwargs``: what changes nothing in SBX, where it has SB3's default."""
_KEEP_THEIR_RATE = ("crossq", "ddpg", "dqn", "td3")
_SB3_VALUES: dict[str, Any] = {
    "full_std": True,
    "squash_output": False,
    "normalize_images": True,
    "features_extractor_kwargs": None,
    "share_features_extractor": True,
}


def translated(algorithm: Algorithm, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """
    :param arguments: for the constructor of SB3's class, names resolved and schedules made
    :return: for that of SBX, with SB3's defaults
    :raises ConfigurationError: for what SBX lacks
    """
    given = {name: value for name, value in arguments.items() if name not in LACKING[algorithm.name]}
    if algorithm.name == "dqn" and "optimize_memory_usage" in arguments:
        given["optimize_memory_usage"] = arguments["optimize_memory_usage"]
    given = {**DEFAULTS.get(algorithm.name, {}), **given}
    if isinstance(given.get("ent_coef"), int):
        given["ent_coef"] = float(given["ent_coef"])
    policy = str(given.get("policy", "MlpPolicy"))
    kwargs = _policy_kwargs(algorithm.name, policy, given.get("policy_kwargs") or {})
    if describe(kwargs) is None:
        raise ConfigurationError(
            f"policy_kwargs {sorted(kwargs)}: an agent of SBX is saved as numbers and names, and there is one that"
            f" stands for no known function. Expected an activation_fn out of {', '.join(ACTIVATIONS)}"
        )
    return {**given, "policy_kwargs": kwargs}


def remarks_on_sbx(name: str, hyperparameters: Hyperparameters) -> list[str]:
    """
    :param name: of the algorithm
    :return: where SBX takes a value and does something else with it than SB3
    """

    def said(key: str) -> str:
        return f"{key} ({hyperparameters.origin(key)})"

    remarks = []
    rate = hyperparameters.schedule("learning_rate") if "learning_rate" in hyperparameters else None
    changes = rate is not None and getattr(rate, "kind", "") != "const"
    if changes and name in _KEEP_THEIR_RATE:
        remarks.append(
            f"SBX's {name} keeps the learning rate of the beginning: {said('learning_rate')} does not change"
        )
    if hyperparameters.get("use_sde"):
        remarks.append(f"SBX has no state-dependent exploration: with {said('use_sde')} it keeps the noise for a while")
    if hyperparameters.get("target_kl") is not None:
        remarks.append(f"SBX's ppo adapts the learning rate to {said('target_kl')}; SB3 ends the update there")
    if name == "dqn":
        remarks.append("SBX's dqn does not clip gradients; SB3 does at max_grad_norm 10")
    return remarks


def _policy_kwargs(name: str, policy: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    found = {"net_arch": _default_layers(name, policy), **_defaults(name), **kwargs}
    for key in [key for key in found if key in _UNUSED or (key == "share_features_extractor" and name == "ppo")]:
        value = found.pop(key)
        if key in _SB3_VALUES and value != _SB3_VALUES[key]:
            raise _lacks(name, key, value)
    if found.pop("features_extractor_class", None) is not None:
        raise _lacks(name, "features_extractor_class", kwargs["features_extractor_class"])
    found["net_arch"] = _layers(name, policy, found["net_arch"])
    if found["net_arch"] is None:
        del found["net_arch"]
    if "activation_fn" in found:
        found["activation_fn"] = _named(name, "activation_fn", found["activation_fn"], ACTIVATIONS, activation)
    if "optimizer_class" in found:
        found["optimizer_class"] = _named(name, "optimizer_class", found["optimizer_class"], OPTIMIZERS, optimizer)
    if "optimizer_kwargs" in found:
        found["optimizer_kwargs"] = _optimizer_kwargs(name, found["optimizer_kwargs"] or {})
    if "batch_norm_momentum" in found:  # torch's is the share of the new value, flax's of the old
        found["batch_norm_momentum"] = 1.0 - float(found["batch_norm_momentum"])
    return found


def _defaults(name: str) -> dict[str, Any]:
    return {"ortho_init": True} if name == "ppo" else {}


def _default_layers(name: str, policy: str) -> list[int] | None:
    """:return: SB3's layers where SBX has others"""
    if name == "dqn":
        return [512] if policy == "CnnPolicy" else [64, 64]
    return [400, 300] if name in ("ddpg", "td3") else None


def _layers(name: str, policy: str, layers: Any) -> Any:
    if isinstance(layers, list) and len(layers) == 1 and isinstance(layers[0], Mapping):
        layers = layers[0]  # as SB3 wrote it before version 1.8
    if isinstance(layers, Mapping):
        return {**({"pi": [], "vf": []} if name == "ppo" else {}), **layers}
    if name != "dqn" or layers is None:
        return None if layers is None else list(layers)
    if policy == "CnnPolicy":
        if len(layers) > 1:
            raise _lacks(name, "net_arch", layers, "its CnnPolicy has one layer after the convolutions, like [512]")
    elif len(layers) != 2 or layers[0] != layers[1]:
        raise _lacks(name, "net_arch", layers, "its MlpPolicy has two layers of one size, like [64, 64]")
    return list(layers) or [512]


def _named(algorithm: str, key: str, value: Any, names: Mapping[str, Any], function_of: Callable[[str], Any]) -> Any:
    """:return: what a class of torch is in JAX; functions of the user's own stay"""
    if not isinstance(value, type):
        return value
    if value.__name__ not in names:
        raise ConfigurationError(
            f"policy_kwargs: SBX's {algorithm} has no {key} {value.__name__}.{hint(value.__name__, names)} It has:"
            f" {', '.join(names)}"
        )
    return function_of(value.__name__)


def _optimizer_kwargs(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(kwargs)
    if "betas" in found:
        found["b1"], found["b2"] = found.pop("betas")
    odd = next((key for key in found if key not in ("eps", "b1", "b2", "weight_decay")), None)
    if odd is not None:
        raise _lacks(name, f"optimizer_kwargs {odd}", found[odd], "it takes eps, betas, and weight_decay with AdamW")
    return found


def _lacks(algorithm: str, key: str, value: Any, instead: str = "leave it out") -> ConfigurationError:
    shown = getattr(value, "__name__", value)
    return ConfigurationError(
        f"policy_kwargs: SBX's {algorithm} has no {key} {shown}: {instead}, or take --backend sb3"
    )
