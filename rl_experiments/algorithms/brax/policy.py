"""A policy of Brax with what it takes to act by it, and its file: flax's bytes beside a JSON text, in a zip."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl_experiments.core.accelerated import prepare_jax
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.files import check_content, check_plain_file, replacing

PARAMETERS, DESCRIPTION = "params.msgpack", "policy.json"
"""Members of the zip."""
FORMAT = "rl_experiments/brax_ppo"
_VERSION = 1
_LARGEST = 1 << 30
_LARGEST_DESCRIPTION = 1 << 20


@dataclass(frozen=True)
class Policy:
    """
    :param parameters: (normaliser, policy, value) as flax's state dictionaries: plain mappings of NumPy arrays
    :param network: arguments of Brax's networks (see :func:`rl_experiments.algorithms.brax.networks.make_networks`)
    :param observation_size: as the environment has it: a number, or a mapping of names to shapes
    :param action_size: numbers in an action
    :param environment: its name and its arguments
    :param facts: steps, time and what else is known
    """

    parameters: tuple[Any, ...]
    network: Mapping[str, Any]
    observation_size: Any
    action_size: int
    environment: Mapping[str, Any]
    facts: Mapping[str, Any]

    @property
    def description(self) -> dict[str, Any]:
        """What stands in the JSON text."""
        return {
            "format": FORMAT,
            "version": _VERSION,
            "environment": dict(self.environment),
            "observation_size": self.observation_size,
            "action_size": self.action_size,
            "network": dict(self.network),
            **self.facts,
        }


def state_dicts(params: Any) -> tuple[Any, ...]:
    """
    :param params: (normaliser, policy, value) in Brax's classes, on any device
    :return: the same as plain mappings of NumPy arrays
    """
    import jax
    from flax import serialization

    return tuple(serialization.to_state_dict(part) for part in jax.device_get(tuple(params)))


def save_policy(policy: Policy, path: Path) -> None:
    """Write the file, whole or not at all."""
    with replacing(path) as temporary:
        write_policy(policy, temporary)


def write_policy(policy: Policy, path: Path) -> None:
    """Write the file as it comes, into a folder that appears whole or not at all."""
    from flax import serialization

    content = serialization.msgpack_serialize({str(index): part for index, part in enumerate(policy.parameters)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(PARAMETERS, content)
        archive.writestr(DESCRIPTION, json.dumps(policy.description, indent=1) + "\n")


def load_policy(path: Path) -> Policy:
    """
    Read a policy; JAX begins no thread for that.

    :raises NotFoundError: if there is no file
    :raises ConfigurationError: if it holds no policy of Brax
    """
    if not path.exists():
        raise NotFoundError(f"There is no policy {path}")
    check_plain_file(path)
    check_content(path)
    prepare_jax("brax_ppo")
    try:
        with zipfile.ZipFile(path) as archive:
            content = json.loads(_member(archive, DESCRIPTION, _LARGEST_DESCRIPTION))
            parameters = _restored(_member(archive, PARAMETERS, _LARGEST))
        return _checked(content, parameters)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path} holds no policy of Brax: {error}") from None
    except Exception as error:  # zipfile, msgpack and json let errors of zlib, struct and others through
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigurationError(f"{path} holds no policy of Brax: {reason}") from None


def describes_policy(path: Path) -> bool:
    """Whether a file is a zip with a description of ours; its parameters, which need Brax, are not looked at."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = json.loads(_member(archive, DESCRIPTION, _LARGEST_DESCRIPTION))
    except (ConfigurationError, OSError, ValueError, zipfile.BadZipFile):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def _member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    if name not in archive.namelist():
        raise ConfigurationError(f"it has no {name}")
    if archive.getinfo(name).file_size > largest:
        raise ConfigurationError(f"its {name} is too large")
    return archive.read(name)


def _restored(content: bytes) -> tuple[Any, ...]:
    from flax import serialization

    parts = serialization.msgpack_restore(content)
    if not isinstance(parts, dict) or sorted(parts) not in (["0", "1"], ["0", "1", "2"]):
        raise ConfigurationError("its parameters are not normaliser, policy and value")
    for part in parts.values():
        _check_arrays(part)
    return tuple(parts[name] for name in sorted(parts))


def _check_arrays(tree: Any) -> None:
    if isinstance(tree, dict):
        for part in tree.values():
            _check_arrays(part)
    elif not isinstance(tree, (np.ndarray, np.generic, int, float)):
        raise ConfigurationError(f"its parameters hold a {type(tree).__name__}")
    elif not np.all(np.isfinite(np.asarray(tree))):
        raise ConfigurationError("its parameters hold numbers that are not finite")


def _checked(content: Any, parameters: tuple[Any, ...]) -> Policy:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ConfigurationError(f"its {DESCRIPTION} is of another format")
    if content.get("version") != _VERSION:
        raise ConfigurationError(f"it is of version {content.get('version')}, and {_VERSION} is read")
    known = ("environment", "network", "observation_size", "action_size")
    environment, network, observation_size, action_size = (content.get(name) for name in known)
    if not isinstance(environment, dict) or not isinstance(network, dict) or type(action_size) is not int:
        raise ConfigurationError(f"its {DESCRIPTION} lacks the environment or the network")
    facts = {name: value for name, value in content.items() if name not in (*known, "format", "version")}
    policy = Policy(parameters, network, observation_size, action_size, environment, facts)
    _check_sizes(policy)
    return policy


def _check_sizes(policy: Policy) -> None:
    """A description of other networks than those of the parameters is found here, where it can be told of a file."""
    sizes = policy.observation_size
    means: Any = policy.parameters[0].get("mean") if isinstance(policy.parameters[0], dict) else None
    if isinstance(sizes, int):
        if np.shape(means) != (sizes,):
            raise ConfigurationError(
                f"its normaliser has shape {np.shape(means)}, and observations have {sizes} numbers"
            )
    elif not isinstance(sizes, dict) or not isinstance(means, dict) or set(sizes) != set(means):
        raise ConfigurationError("its normaliser is of other observations")


def size_of(observation: Any) -> Any:
    """:return: the size of an observation as Brax's networks take it: a number, or a mapping of names to shapes"""
    if hasattr(observation, "items"):
        return {name: list(np.shape(part)) for name, part in observation.items()}
    return int(math.prod(np.shape(observation)))
