"""From a zip of a model of SBX to a model, with nothing of it executed."""

from __future__ import annotations

import base64
import binascii
import inspect
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gymnasium import spaces

from rl_experiments.algorithms.registry import Algorithm
from rl_experiments.algorithms.sb3.archive import read_data
from rl_experiments.algorithms.sb3.safety import check_space
from rl_experiments.algorithms.sbx.description import DESCRIPTION, FORMAT, STATES, VERSION, kwargs_of, largest_layer
from rl_experiments.algorithms.sbx.states import put_states
from rl_experiments.core import pickles
from rl_experiments.core.errors import ConfigurationError, RLExperimentsError, UntrustedError
from rl_experiments.core.symbols import Trust

_LARGEST_DESCRIPTION = 1 << 20
_SPARE = 1 << 22
"""Weights that a policy may have beyond those of its file."""
_MOST_NETWORKS = 1 << 12
_SPACES = ("observation_space", "action_space")


def is_of_sbx(data: Mapping[str, Any]) -> bool:
    """
    :param data: what a model's zip holds as ``data``
    :return: whether SBX wrote it
    """
    policy = data.get("policy_class")
    return isinstance(policy, Mapping) and str(policy.get("__module__", "")).startswith("sbx.")


def load_sbx_model(path: Path, algorithm: Algorithm, trust: Trust | None = None) -> Any:
    """
    Load a model that acts. Its buffers have room for one step.

    :param path: a zip that was written here; one of SBX alone only with ``trust``
    :param algorithm: its entry for SBX
    :raises UntrustedError: if only running code could read it
    :raises ConfigurationError: if it is no such file, or of another algorithm
    """
    trust = trust or Trust()
    data = read_data(path)
    if DESCRIPTION not in _members(path):
        return _load_with_pickles(path, algorithm, trust)
    alias, kwargs, described = _read_description(path, algorithm)
    try:
        found = {name: _read_space(data, name) for name in _SPACES}
        _check_size(path, kwargs, found["observation_space"])
        model = _blank_model(algorithm, alias, kwargs, data, found)
        put_states(model, _member(path, STATES))
    except RLExperimentsError as error:
        raise ConfigurationError(f"{path} does not load as a model of {algorithm.name}: {error}") from None
    except Exception as error:  # a damaged file can make SBX and JAX raise anything
        reason = " ".join(str(error).split())[:300]
        raise ConfigurationError(
            f"{path} does not load as a model of {algorithm.name}: {type(error).__name__}: {reason}"
        ) from error
    rate = described.get("exploration_rate")
    if isinstance(rate, (int, float)) and 0 <= rate <= 1:
        model.exploration_rate = float(rate)
    return model


def policy_in(path: Path, algorithm: Algorithm) -> tuple[str, dict[str, Any]]:
    """
    :return: the name of the policy in a file, and the arguments that it was made with
    :raises ConfigurationError: if it is of another algorithm, or was not written here
    """
    if DESCRIPTION not in _members(path):
        raise ConfigurationError(f"{path} holds no policy of SBX that was saved here: it has no {DESCRIPTION}")
    alias, kwargs, _ = _read_description(path, algorithm)
    return alias, kwargs


def put_policy(model: Any, path: Path) -> None:
    """
    Give a model the networks and optimizers of a file.

    :raises ConfigurationError: if they are other ones
    """
    try:
        put_states(model, _member(path, STATES), with_keys=False)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path} cannot go on with these hyperparameters: {error}") from None


def spaces_in(path: Path) -> dict[str, spaces.Space]:
    """:return: observation space and action space of a file, by these names"""
    data = read_data(path)
    return {name: _read_space(data, name) for name in _SPACES}


def _blank_model(
    algorithm: Algorithm, alias: str, kwargs: dict[str, Any], data: Mapping[str, Any], found: Mapping[str, Any]
) -> Any:
    cls = algorithm.load_class()
    known = inspect.signature(cls.__init__).parameters
    given: dict[str, Any] = {
        "buffer_size": 1,
        "n_steps": 1,
        "target_entropy": 0.0,
        "use_sde": bool(kwargs.get("use_sde")),
    }
    entropy: Any = data.get("ent_coef_init")
    if isinstance(entropy, (str, int, float)):
        given["ent_coef"] = entropy if isinstance(entropy, str) else float(entropy)
    if alias not in cls.policy_aliases:
        raise ConfigurationError(f"there is no policy '{alias}'")
    arguments = {name: value for name, value in given.items() if name in known}
    model = cls(alias, None, policy_kwargs=kwargs, _init_setup_model=False, **arguments)
    model.observation_space, model.action_space = found["observation_space"], found["action_space"]
    model.n_envs = 1
    model._setup_model()
    return model


def _load_with_pickles(path: Path, algorithm: Algorithm, trust: Trust) -> Any:
    if not trust.pickles:
        raise UntrustedError(
            f"{path} was written by SBX alone: its policy is a pickle, which can only be read by running code."
            " If you trust where it comes from: --trust"
        )
    try:
        return algorithm.load_class().load(path, device="cpu")
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigurationError(f"{path} does not load as a model of SBX: {reason}") from error


def _members(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _member(path: Path, name: str) -> bytes:
    if name not in _members(path):
        raise ConfigurationError(f"it has no {name}")
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def _read_description(path: Path, algorithm: Algorithm) -> tuple[str, dict[str, Any], Mapping[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(DESCRIPTION).file_size > _LARGEST_DESCRIPTION:
            raise ConfigurationError(f"{path}: its {DESCRIPTION} is too large")
        text = archive.read(DESCRIPTION)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{path}: its {DESCRIPTION} is no JSON") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
        raise ConfigurationError(f"{path}: its {DESCRIPTION} is of another format or version than {FORMAT} {VERSION}")
    if content.get("algorithm") != algorithm.class_name:
        raise ConfigurationError(f"{path} is a model of {content.get('algorithm')!r:.40}, not of {algorithm.name}")
    try:
        return str(content.get("policy")), kwargs_of(content.get("policy_kwargs")), content
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _read_space(data: Mapping[str, Any], name: str) -> spaces.Space:
    item = data.get(name)
    try:
        if not isinstance(item, Mapping):
            raise TypeError("it is not there")
        space = pickles.loads(base64.b64decode(item[":serialized:"]), Trust())
    except (pickle.UnpicklingError, binascii.Error, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"its {name} cannot be read: {error}") from None
    check_space(space, f"its {name}")
    return space


def _check_size(path: Path, kwargs: Mapping[str, Any], observation_space: spaces.Space) -> None:
    """A small file must not describe a policy that fills the memory."""
    with zipfile.ZipFile(path) as archive:
        there = archive.getinfo(STATES).file_size if STATES in archive.namelist() else 0
    many = 1
    for name in ("n_critics", "n_quantiles"):
        value = kwargs.get(name, 1)
        if type(value) is not int or not 0 < value <= _MOST_NETWORKS:
            raise ConfigurationError(f"its policy is described with {name} {value!r:.40}")
        many = max(many, value)
    weights = many * max(largest_layer(kwargs, spaces.flatdim(observation_space)), 1)
    if weights > there + _SPARE:
        raise ConfigurationError("it describes a policy that is larger than the weights that it holds")
