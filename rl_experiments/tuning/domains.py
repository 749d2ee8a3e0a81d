"""Where the value of one hyperparameter comes from: a range, a list of choices, or a formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rl_experiments.tuning.expressions import Expression
from rl_experiments.tuning.sources import Source


class Domain(Protocol):
    """Where one value comes from."""

    def parameter(self, name: str) -> str:
        """:return: the name under which Optuna keeps it, which is the zoo's"""

    def draw(self, source: Source, name: str, known: Mapping[str, Any]) -> Any:
        """
        :param name: of the hyperparameter, without the mapping that it stands in
        :param known: values so far
        """

    def describe(self) -> str:
        """:return: for people"""


@dataclass(frozen=True)
class Range:
    """Numbers between two bounds."""

    low: float
    high: float
    whole: bool
    log: bool

    def parameter(self, name: str) -> str:
        return name

    def draw(self, source: Source, name: str, known: Mapping[str, Any]) -> Any:
        if self.whole:
            return source.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return source.suggest_float(name, self.low, self.high, log=self.log)

    def describe(self) -> str:
        whole, log = "whole, " if self.whole else "", ", logarithmic" if self.log else ""
        return f"{whole}{self.low:g} to {self.high:g}{log}"


@dataclass(frozen=True)
class PowerOfTwo:
    """2 to the power of a whole number."""

    low: int
    high: int

    def parameter(self, name: str) -> str:
        return f"{name}_pow"

    def draw(self, source: Source, name: str, known: Mapping[str, Any]) -> Any:
        return 2 ** source.suggest_int(self.parameter(name), self.low, self.high)

    def describe(self) -> str:
        return f"powers of two, {2**self.low} to {2**self.high}"


@dataclass(frozen=True)
class OneMinus:
    """1 - x, x on a logarithmic scale."""

    low: float
    high: float

    def parameter(self, name: str) -> str:
        return f"one_minus_{name}"

    def draw(self, source: Source, name: str, known: Mapping[str, Any]) -> Any:
        return 1 - source.suggest_float(self.parameter(name), self.low, self.high, log=True)

    def describe(self) -> str:
        return f"1 - x, x {self.low:g} to {self.high:g}, logarithmic"


@dataclass(frozen=True)
class Choices:
    """One of several values, by name."""

    options: Mapping[Any, Any]

    def parameter(self, name: str) -> str:
        return name

    def draw(self, source: Source, name: str, known: Mapping[str, Any]) -> Any:
        return self.options[source.suggest_categorical(name, list(self.options))]

    def describe(self) -> str:
        return "one of " + ", ".join(
            str(label) if label == value else f"{label} = {value}" for label, value in self.options.items()
        )


@dataclass(frozen=True)
class Computed:
    """Follows from other values."""

    formula: Expression

    def parameter(self, name: str) -> str:
        return name

    def draw(self, source: Source, name: str, known: Mapping[str, Any]) -> Any:
        return self.formula.evaluate(known)

    def describe(self) -> str:
        return f"= {self.formula.text}"
