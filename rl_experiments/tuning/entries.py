"""A search space: its entries, and what it makes of a trial."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Symbol
from rl_experiments.tuning.domains import Computed, Domain
from rl_experiments.tuning.expressions import Expression
from rl_experiments.tuning.sources import Recorded, Source


@dataclass(frozen=True)
class Entry:
    """
    One line of a search space.

    :param name: the hyperparameter, or ``mapping.key``
    :param domain: where its value comes from
    :param at_most: the value is cut down to that
    :param when: name to values; it is sampled only where all hold
    :param otherwise: (value,) where they do not, or nothing
    :param helper: whether it is only a value for formulas
    """

    name: str
    domain: Domain
    at_most: Expression | None = None
    when: Mapping[str, tuple[Any, ...]] | None = None
    otherwise: tuple[Any, ...] = ()
    helper: bool = False

    @property
    def key(self) -> str:
        """The name inside its mapping."""
        return self.name.rpartition(".")[2]

    @property
    def root(self) -> str:
        """The hyperparameter that it is, or is a part of."""
        return self.name.partition(".")[0]

    @property
    def parameter(self) -> str:
        """The name under which Optuna keeps it."""
        return self.domain.parameter(self.key)

    @property
    def needs(self) -> set[str]:
        """The values that its formulas and conditions refer to."""
        formulas = [self.at_most, self.domain.formula if isinstance(self.domain, Computed) else None]
        return {name for formula in formulas if formula for name in formula.names} | set(self.when or {})

    def applies(self, known: Mapping[str, Any]) -> bool:
        """Whether its condition holds."""
        return all(any(same(known.get(name), value) for value in values) for name, values in (self.when or {}).items())

    def draw(self, source: Source, known: Mapping[str, Any]) -> Any:
        """:return: a value"""
        value = self.domain.draw(source, self.key, known)
        return value if self.at_most is None else min(value, self.at_most.evaluate(known))

    def describe(self) -> str:
        """:return: for people"""
        parts = [self.domain.describe()]
        if self.at_most is not None:
            parts.append(f"at most {self.at_most.text}")
        for name, values in (self.when or {}).items():
            parts.append(f"when {name} is {' or '.join(map(str, values))}")
        if self.otherwise:
            parts.append(f"otherwise {self.otherwise[0]}")
        return ", ".join(parts)


@dataclass(frozen=True)
class SearchSpace:
    """
    :param origin: the file, for errors
    :param entries: in the order in which they are sampled
    """

    origin: str
    entries: tuple[Entry, ...]

    @property
    def roots(self) -> list[str]:
        """The hyperparameters that it tunes, or tunes a part of."""
        return list(dict.fromkeys(entry.root for entry in self.entries if not entry.helper))

    def without(self, names: Iterable[str]) -> SearchSpace:
        """:return: the space without these hyperparameters, and without helpers that nothing needs then"""
        left = [entry for entry in self.entries if entry.root not in set(names)]
        needed = {name for entry in left for name in entry.needs}
        return SearchSpace(self.origin, tuple(entry for entry in left if not entry.helper or entry.key in needed))

    def sample(self, source: Source, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        :param source: an Optuna trial, for example
        :param context: the values that are not tuned
        :return: hyperparameters
        """
        known, values = dict(context), dict[str, Any]()
        for entry in self.entries:
            if entry.applies(known):
                self._keep(entry, entry.draw(source, known), known, values)
            elif entry.otherwise:
                self._keep(entry, entry.otherwise[0], known, values)
        return values

    def replay(self, parameters: Mapping[str, Any], context: Mapping[str, Any], valid: Iterable[str]) -> dict[str, Any]:
        """
        Repeat the hyperparameters of a trial of which only Optuna's parameters are known, as in a study of the zoo.

        :param parameters: as Optuna has them
        :param context: the values that are not tuned
        :param valid: hyperparameters that may stand for themselves
        :return: hyperparameters
        :raises ConfigurationError: if a parameter has no meaning here
        """
        known, values, used = dict(context), dict[str, Any](), set[str]()
        source = Recorded(parameters, self.origin)
        for entry in self.entries:
            used |= {entry.parameter, entry.key} & set(parameters)
            if not entry.applies(known):
                if entry.otherwise:
                    self._keep(entry, entry.otherwise[0], known, values)
            elif entry.needs & used if isinstance(entry.domain, Computed) else entry.parameter in parameters:
                self._keep(entry, entry.draw(source, known), known, values)
            elif entry.key in parameters:
                self._keep(entry, parameters[entry.key], known, values)
        for name in parameters:
            if name not in used:
                if name not in set(valid):
                    raise ConfigurationError(
                        f"The tuned parameter '{name}' has no meaning in {self.origin}.{hint(name, valid)}"
                    )
                values[name] = parameters[name]
        return values

    def describe(self) -> str:
        """:return: one line for each entry, for people"""
        width = max((len(entry.name) for entry in self.entries), default=0)
        return "\n".join(f"  {entry.name:<{width}}  {entry.describe()}" for entry in self.entries)

    @staticmethod
    def _keep(entry: Entry, value: Any, known: dict[str, Any], values: dict[str, Any]) -> None:
        known[entry.key] = value
        if entry.helper:
            return
        if entry.root == entry.name:
            values[entry.name] = copy.deepcopy(value)
        else:
            values.setdefault(entry.root, {})[entry.key] = copy.deepcopy(value)


def same(found: Any, wanted: Any) -> bool:
    """:return: whether it is that value; ``HerReplayBuffer`` is also what its full path names"""
    if isinstance(found, (str, Symbol)) and isinstance(wanted, str):
        return str(found).rpartition(".")[2] == wanted.rpartition(".")[2]
    return bool(found == wanted)
