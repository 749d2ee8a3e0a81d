"""The table of values, its file, and the agent that acts by it."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from rl_experiments.algorithms.agent import Observation, State
from rl_experiments.algorithms.registry import Algorithm
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.files import check_plain_file, replacing

_LARGEST = 4 << 30


@dataclass(frozen=True)
class Table:
    """
    :param values: shape (2, observations, actions): of the two tables of double Q-learning, whose sum decides; the
        second is 0 for the other variants
    :param facts: what else is known of the training, plain values
    """

    values: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def n_observations(self) -> int:
        """Rows."""
        return int(self.values.shape[1])

    @property
    def n_actions(self) -> int:
        """Columns."""
        return int(self.values.shape[2])

    @property
    def q(self) -> np.ndarray:
        """What decides, shape (observations, actions); of double Q-learning the mean of both tables."""
        return (self.values[0] + self.values[1]) / 2 if self.facts.get("variant") == "double_q" else self.values[0]

    def greedy(self) -> np.ndarray:
        """:return: the first of the best actions for each observation"""
        return np.argmax(self.q, axis=1)


def save_table(table: Table, path: Path) -> None:
    """Write the table: a zip with an array and a JSON text, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, values=table.values, facts=np.array(json.dumps(table.facts)))


def load_table(path: Path) -> Table:
    """
    :raises NotFoundError: if there is no file
    :raises ConfigurationError: if it holds no table
    """
    if not path.exists():
        raise NotFoundError(f"There is no table {path}")
    check_plain_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _LARGEST:
                raise ConfigurationError("it is too large")
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
            values, facts = content["values"], json.loads(str(content["facts"]))
    except Exception as error:  # zipfile and NumPy let errors of zlib, struct and others through
        raise ConfigurationError(f"{path} holds no table of values: {' '.join(str(error).split())}") from None
    if values.ndim != 3 or values.shape[0] != 2 or not values.size or values.dtype != np.float64:
        raise ConfigurationError(
            f"{path} holds no table of values, but an array {values.dtype} of shape {values.shape}"
        )
    if not isinstance(facts, dict):
        raise ConfigurationError(f"{path} holds no table of values: its facts are no mapping")
    return Table(np.ascontiguousarray(values), facts)


class TableAgent:
    """
    Acts by a table. Where it is not deterministic, it draws as many actions as at the end of its training.

    :param table: whose rows are the observations, counted from 0
    :param algorithm: its entry in the registry
    """

    def __init__(self, table: Table, algorithm: Algorithm) -> None:
        self.table = table
        self.algorithm = algorithm.name
        self.uses_action_masks = False
        self.observation_space = spaces.Discrete(table.n_observations)
        self.action_space = spaces.Discrete(table.n_actions)

    def predict(
        self,
        observation: Observation,
        state: State = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, State]:
        """See :class:`rl_experiments.algorithms.agent.Agent`."""
        rows = np.asarray(observation).reshape(-1).astype(np.int64)
        actions = np.argmax(self.table.q[rows], axis=1)
        if not deterministic:
            drawn = np.random.random(len(rows)) <= float(self.table.facts.get("epsilon", 0.0))
            actions = np.where(drawn, np.random.randint(self.table.n_actions, size=len(rows)), actions)
        return actions, None


def load_table_agent(path: Path, algorithm: Algorithm) -> TableAgent:
    """:return: the agent that acts by the table in a file"""
    return TableAgent(load_table(path), algorithm)
