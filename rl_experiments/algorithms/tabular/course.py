"""
What the Deep RL Course (Hugging Face, unit 2) publishes of a table: a pickled dictionary, under names of its own.

Taxi-v3 is not in Gymnasium from 1.3 on, which has Taxi-v4 in its place, and the course's leaderboard lists Taxi-v3
alone.
A table that was trained and scored in Taxi-v4 carries the tag Taxi-v3 here, and says so, because the two are the same
task as long as neither ``is_rainy`` nor ``fickle_passenger`` is set: Gymnasium's history of versions names changes to
these
two options only, and with the defaults the transitions, rewards, start distribution, time limit and the start states
of the
course's 100 seeds are equal, one by one, in Gymnasium 1.2.0 (v3) and 1.4.0 (v4). With one of the options set the tag
is the true id.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl_experiments.core import pickles
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import check_plain_file

FILE = "q-learning.pkl"
_LARGEST = 1 << 30
_ROWS_OF_LARGE_MAP = 64
_TAG = re.compile(r"(?P<id>FrozenLake-v\d+)(?:-(?P<map>\d+x\d+))?(?P<firm>-no_slippery)?")
_SAME_TASK = {"Taxi-v4": "Taxi-v3"}
"""Ids of Gymnasium, and those of the leaderboard for the same task."""
_LISTED_ARGUMENTS = {key: {"map_name", "is_slippery"} for key in ("FrozenLake-v1", "FrozenLake8x8-v1")}
"""Arguments with which an environment is still one of the leaderboard's."""
_NAMES = {
    "n_training_episodes": "n_episodes",
    "n_eval_episodes": "n_eval_episodes",
    "eval_seed": "eval_seed",
    "learning_rate": "learning_rate",
    "gamma": "gamma",
    "max_epsilon": "max_epsilon",
    "min_epsilon": "min_epsilon",
    "decay_rate": "decay_rate",
    "max_steps": "max_steps",
}
"""The course's names of our hyperparameters."""


def course_name(env_id: str, kwargs: Mapping[str, Any]) -> str:
    """
    :param kwargs: all arguments of the environment, those of its registration included
    :return: the id with its map, as the course writes it: ``FrozenLake-v1-4x4-no_slippery``; so our blocks are named
    """
    name = env_id.rpartition(":")[2].replace("FrozenLake8x8", "FrozenLake")
    if name == "CliffWalking-v1" and kwargs.get("is_slippery"):
        return "CliffWalkingSlippery-v1"
    if not name.startswith("FrozenLake"):
        return f"{name}-rainy" if kwargs.get("is_rainy") else name
    if kwargs.get("map_name") and kwargs.get("desc") is None:
        name += f"-{kwargs['map_name']}"
    return f"{name}-no_slippery" if kwargs.get("is_slippery") is False else name


def leaderboard_name(env_id: str, kwargs: Mapping[str, Any]) -> str:
    """
    :param kwargs: all arguments of the environment, those of its registration included
    :return: the tag that the course's leaderboard lists for this task, or the environment's own name where it lists
        none
    """
    name = env_id.rpartition(":")[2]
    given = {key for key, value in kwargs.items() if key != "render_mode" and value is not None}
    if given - _LISTED_ARGUMENTS.get(name, set()):
        return name
    return _SAME_TASK.get(name, course_name(env_id, kwargs))


@dataclass(frozen=True)
class CourseModel:
    """
    :param env_id: as whoever trained it knew it
    :param env_kwargs: arguments of the environment
    :param hyperparameters: under our names
    :param qtable: one axis for each part of an observation, and the last for the actions
    """

    env_id: str
    env_kwargs: Mapping[str, Any]
    hyperparameters: Mapping[str, Any]
    qtable: np.ndarray

    def dictionary(self) -> dict[str, Any]:
        """:return: what the course's code publishes and reads; values that it does not know are left out"""
        content: dict[str, Any] = {"env_id": self.env_id}
        for theirs, ours in _NAMES.items():
            content[theirs] = self.hyperparameters.get(ours)
        content["eval_seed"] = list(content["eval_seed"] or [])
        content["qtable"] = self.qtable
        if self.env_kwargs.get("map_name") and self.env_kwargs.get("desc") is None:
            content["map_name"] = self.env_kwargs["map_name"]
        if self.env_kwargs.get("is_slippery") is False:
            content["slippery"] = False
        return content

    def pickled(self) -> bytes:
        """:return: the dictionary as the course reads it"""
        return pickle.dumps(self.dictionary(), protocol=4)


def read_course_model(path: Path) -> CourseModel:
    """
    Read what the course's code, or this package, has published; nothing in it is executed.

    :raises UntrustedError: if it could only be read by running code
    :raises ConfigurationError: if it is no such dictionary
    """
    check_plain_file(path, _LARGEST)
    try:
        content = pickles.loads(path.read_bytes())
    except pickle.UnpicklingError as error:
        raise pickles.refusal(str(path), error) from None
    if not isinstance(content, Mapping) or "qtable" not in content:
        raise ConfigurationError(f"{path} is no table of the course: expected a dictionary with a 'qtable'")
    qtable = _checked_table(content["qtable"], path)
    env_id = content.get("env_id")
    if not isinstance(env_id, str):
        raise ConfigurationError(f"{path} does not say its environment: env_id is {env_id!r:.80}")
    env_id, kwargs = _environment_of(env_id, content, len(qtable))
    found = {ours: _plain(content[theirs]) for theirs, ours in _NAMES.items() if theirs in content}
    return CourseModel(env_id, kwargs, {k: v for k, v in found.items() if v is not None}, qtable)


def _environment_of(env_id: str, content: Mapping[str, Any], n_rows: int) -> tuple[str, dict[str, Any]]:
    """:return: the id and the arguments; some students wrote the leaderboard's name for the id, or left the map out"""
    kwargs: dict[str, Any] = {}
    tag = _TAG.fullmatch(env_id)
    if tag is not None:
        env_id = tag["id"]
        kwargs |= {"map_name": tag["map"]} if tag["map"] else {}
        kwargs |= {"is_slippery": False} if tag["firm"] else {}
    if isinstance(content.get("map_name"), str):
        kwargs["map_name"] = content["map_name"]
    elif env_id == "FrozenLake-v1" and n_rows == _ROWS_OF_LARGE_MAP:
        kwargs.setdefault("map_name", "8x8")
    if isinstance(content.get("slippery"), (bool, np.bool_)):
        kwargs["is_slippery"] = bool(content["slippery"])
    return env_id, kwargs


def _checked_table(value: Any, path: Path) -> np.ndarray:
    try:
        table = np.asarray(value)
        if table.dtype == object:  # numbers one by one, as a list of lists is read where it was an array of objects
            table = table.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"{path}: qtable must be a table of numbers, but cannot be read as one: {error}"
        ) from None
    if table.ndim < 2 or not table.size or table.dtype.kind not in "fiu":
        raise ConfigurationError(f"{path}: qtable must be a table of numbers, but is {table.dtype} of {table.shape}")
    return np.ascontiguousarray(table, dtype=np.float64)


def _plain(value: Any) -> Any:
    """:return: a number, or a list of whole numbers; None for anything else"""
    if isinstance(value, (np.integer, np.floating)):
        value = value.item()
    if isinstance(value, (list, tuple, np.ndarray)):
        numbers = [_plain(item) for item in value]
        return numbers if all(isinstance(number, int) for number in numbers) else None
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST:
        return int(value)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
