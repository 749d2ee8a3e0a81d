"""Spaces: which observations SB3 takes, and how large they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from rl_experiments.core.errors import ConfigurationError

_FLAT = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def check_observation_space(env_id: str, space: spaces.Space) -> None:
    """
    :raises ConfigurationError: if no algorithm of SB3 takes such observations
    """
    parts = space.spaces if isinstance(space, spaces.Dict) else {None: space}
    for key, part in parts.items():
        if isinstance(part, _FLAT):
            continue
        inside = "" if key is None else f" in its dictionary, at '{key}'"
        known = "minigrid.wrappers.FlatObsWrapper or minigrid.wrappers.ImgObsWrapper as env_wrapper makes"
        advice = known if type(part).__name__.endswith("MissionSpace") else "write a wrapper that makes"
        raise ConfigurationError(
            f"{env_id} gives observations of the space {type(part).__name__}{inside}: {part}. SB3 takes Box, Discrete,"
            f" MultiDiscrete, MultiBinary, and a Dict of these: {advice} one of them of it"
        )


def is_counted(space: spaces.Space) -> bool:
    """Whether its elements are whole numbers from 0 on."""
    return isinstance(space, spaces.Discrete) and int(space.start) == 0


def bytes_of(space: spaces.Space) -> int:
    """:return: the size of one element as arrays hold it"""
    if isinstance(space, spaces.Dict):
        return sum(bytes_of(part) for part in space.spaces.values())
    shape = getattr(space, "shape", None) or ()
    size = 1
    for length in shape:
        size *= int(length)
    return size * (space.dtype.itemsize if space.dtype is not None else 8)


def sample_action(space: spaces.Space, mask: Any = None) -> Any:
    """
    :param mask: which actions are allowed, as MaskablePPO has it: one entry for each choice, one after the other
    :return: an action for trying an environment out
    """
    if mask is None:
        return space.sample()
    mask = np.asarray(mask, dtype=bool).ravel()
    if isinstance(space, spaces.Discrete):
        return int(np.argmax(mask))
    counts = [2] * int(np.prod(space.shape)) if isinstance(space, spaces.MultiBinary) else list(space.nvec.ravel())  # type: ignore[attr-defined]
    choices = np.split(mask, np.cumsum(counts)[:-1])
    return np.array([np.argmax(choice) for choice in choices], dtype=space.dtype).reshape(space.shape)
