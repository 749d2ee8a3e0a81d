"""What sampled values come from, beside an Optuna trial."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint


class Source(Protocol):
    """What values come from: an Optuna trial, or something that chooses in its place."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """:return: a number between the two"""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """:return: a whole number between the two"""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """:return: one of the choices"""


class RandomSource:
    """
    Chooses at random, without Optuna.

    :param seed: of its own generator
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """:return: a number between the two"""
        return low * (high / low) ** self._random.random() if log else self._random.uniform(low, high)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """:return: a whole number between the two"""
        return round(self.suggest_float(name, low, high, log=True)) if log else self._random.randint(low, high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """:return: one of the choices"""
        return self._random.choice(choices)


class EdgeSource:
    """
    Takes the smallest or the largest of everything.

    :param largest: which
    """

    def __init__(self, largest: bool) -> None:
        self._index = -1 if largest else 0

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """:return: a bound"""
        return (low, high)[self._index]

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """:return: a bound"""
        return (low, high)[self._index]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """:return: the first or the last"""
        return choices[self._index]


class Recorded:
    """
    Gives the parameters of a trial that is over.

    :param parameters: as Optuna has them
    :param origin: of the search space, for errors
    """

    def __init__(self, parameters: Mapping[str, Any], origin: str) -> None:
        self._parameters = parameters
        self._origin = origin

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """:return: what was sampled"""
        return float(self._parameters[name])

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """:return: what was sampled"""
        return int(self._parameters[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """
        :return: what was sampled
        :raises ConfigurationError: if it is no choice any more
        """
        value = self._parameters[name]
        if value not in choices:
            raise ConfigurationError(
                f"{self._origin}: the tuned {name} is {value!r}.{hint(str(value), map(str, choices))}"
            )
        return value
