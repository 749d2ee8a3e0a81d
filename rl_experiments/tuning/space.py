"""
Search spaces: which hyperparameters a study samples, and from where.

``hyperparams/search/<algo>.yml`` holds one entry for each, in the order in which they are sampled::

    learning_rate: {float: [1.0e-5, 0.002], log: true}
    n_steps: {power_of_two: [5, 12]}
    batch_size: {power_of_two: [2, 10], at_most: n_steps * n_envs}
    gamma: {one_minus: [0.0001, 0.03]}
    noise_type: {choices: [normal, null]}
    noise_std: {float: [0, 0.5], when: {noise_type: normal}, otherwise: null}
    policy_kwargs.net_arch: {choices: {small: [64, 64], medium: [256, 256]}}

An entry has one of these:

- ``float: [low, high]``, ``int: [low, high]``: between the two, both included; ``log: true`` for a logarithmic scale
- ``power_of_two: [low, high]``: 2 to the power of a whole number between the two
- ``one_minus: [low, high]``: 1 - x, with x between the two on a logarithmic scale, for what is close to 1
- ``choices: [a, b]``: one of them; ``choices: {name: value}`` gives names to values that are more than a word or number
- ``value: formula``: not sampled, but computed (:mod:`rl_experiments.tuning.expressions`)

and may have some of these:

- ``at_most: formula``: a larger value is cut down to that. The range stays the same for all trials, as samplers need it
- ``when: {name: value}`` (or ``{name: [values]}``): only where that holds; ``otherwise`` is the value where it does
  not, and without it the value stays what it is without tuning
- ``helper: true``: no hyperparameter, only a value for formulas

``policy_kwargs.x`` is a key of the mapping ``policy_kwargs``; the other keys stay as they are. Formulas and conditions
see the entries above theirs, and the values that are not tuned.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rl_experiments.config.sources import hyperparameters_folder
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Symbol
from rl_experiments.tuning.expressions import Expression

_MODIFIERS = ("at_most", "when", "otherwise", "helper", "log")


class Source(Protocol):
    """What values come from: an Optuna trial, or something that chooses in its place."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """:return: a number between the two"""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """:return: a whole number between the two"""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """:return: one of the choices"""


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
        return all(any(_same(known.get(name), value) for value in values) for name, values in (self.when or {}).items())

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
        source = _Recorded(parameters, self.origin)
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


class _Recorded:
    """Gives the parameters of a trial that is over."""

    def __init__(self, parameters: Mapping[str, Any], origin: str) -> None:
        self._parameters = parameters
        self._origin = origin

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(self._parameters[name])

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return int(self._parameters[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        value = self._parameters[name]
        if value not in choices:
            raise ConfigurationError(
                f"{self._origin}: the tuned {name} is {value!r}.{hint(str(value), map(str, choices))}"
            )
        return value


def search_folder() -> Path:
    """:return: the folder with our search spaces"""
    return hyperparameters_folder() / "search"


def load_space(algorithm: str) -> SearchSpace:
    """
    :param algorithm: name in the registry
    :raises NotFoundError: if it has no search space
    :raises ConfigurationError: if the file is outside the grammar
    """
    file = search_folder() / f"{algorithm}.yml"
    origin = f"hyperparams/search/{algorithm}.yml"
    if not file.is_file():
        known = [path.stem for path in search_folder().glob("*.yml")]
        raise NotFoundError(f"There is no search space {origin}.{hint(algorithm, known)}")
    return parse_space(yaml_io.read(file), origin)


def parse_space(content: Any, origin: str) -> SearchSpace:
    """
    :param content: what the YAML holds
    :param origin: what to call it in errors
    :raises ConfigurationError: for the first entry that is outside the grammar
    """
    if not isinstance(content, Mapping) or not content:
        raise ConfigurationError(f"{origin} holds no mapping of hyperparameters to ranges")
    entries = []
    for name, fields in content.items():
        try:
            entries.append(_parse_entry(name, fields))
        except ConfigurationError as error:
            raise ConfigurationError(f"{origin}, {name}: {error}") from None
    _check_unique(entries, origin)
    return SearchSpace(origin, tuple(entries))


def _parse_entry(name: Any, fields: Any) -> Entry:
    if not isinstance(name, str) or name.count(".") > 1 or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigurationError("this is no name of a hyperparameter, like gamma or policy_kwargs.net_arch")
    if not isinstance(fields, Mapping):
        raise ConfigurationError(f"expected a mapping like {{float: [0, 1]}}, but got {fields!r}")
    for key in fields:
        if key not in _DOMAINS and key not in _MODIFIERS:
            raise ConfigurationError(f"'{key}' is not understood.{hint(str(key), [*_DOMAINS, *_MODIFIERS])}")
    kinds = [key for key in fields if key in _DOMAINS]
    if len(kinds) != 1:
        raise ConfigurationError(f"expected one of {', '.join(_DOMAINS)}, but got {' and '.join(kinds) or 'none'}")
    log = _flag(fields, "log")
    if log and kinds[0] not in ("float", "int"):
        raise ConfigurationError(f"log is for float and int, not for {kinds[0]}")
    if "otherwise" in fields and "when" not in fields:
        raise ConfigurationError("otherwise needs when")
    return Entry(
        name,
        _DOMAINS[kinds[0]](fields[kinds[0]], log),
        Expression.parse(fields["at_most"]) if "at_most" in fields else None,
        _condition(fields["when"]) if "when" in fields else None,
        (_leaf(fields["otherwise"]),) if "otherwise" in fields else (),
        _flag(fields, "helper"),
    )


def _range(whole: bool) -> Any:
    def parse(bounds: Any, log: bool) -> Range:
        low, high = _bounds(bounds, whole)
        if log and low <= 0:
            raise ConfigurationError(f"a logarithmic range begins above 0, but got {low:g}")
        return Range(low, high, whole, log)

    return parse


def _power_of_two(bounds: Any, log: bool) -> PowerOfTwo:
    low, high = _bounds(bounds, whole=True)
    if low < 0 or high > 40:
        raise ConfigurationError(f"powers of two go from 0 to 40, but got {low:g} to {high:g}")
    return PowerOfTwo(int(low), int(high))


def _one_minus(bounds: Any, log: bool) -> OneMinus:
    low, high = _bounds(bounds, whole=False)
    if not 0 < low <= high <= 1:
        raise ConfigurationError(f"one_minus goes from above 0 to 1, but got {low:g} to {high:g}")
    return OneMinus(low, high)


def _choices(options: Any, log: bool) -> Choices:
    if not isinstance(options, (list, Mapping)) or not options:
        raise ConfigurationError(f"choices are a list or a mapping of names to values, but got {options!r}")
    named = options if isinstance(options, Mapping) else {}
    for label in options:
        if not isinstance(label, (str, int, float, bool, type(None))):
            raise ConfigurationError(f"the choice {label!r} needs a name: choices: {{name: {label!r}}}")
        named = named if isinstance(options, Mapping) else {**named, label: label}
    return Choices({label: _leaf(value) for label, value in named.items()})


def _computed(formula: Any, log: bool) -> Computed:
    return Computed(Expression.parse(formula))


_DOMAINS: dict[str, Any] = {
    "float": _range(whole=False),
    "int": _range(whole=True),
    "power_of_two": _power_of_two,
    "one_minus": _one_minus,
    "choices": _choices,
    "value": _computed,
}


def _bounds(bounds: Any, whole: bool) -> tuple[float, float]:
    numbers = (int,) if whole else (int, float)
    if (
        not isinstance(bounds, list)
        or len(bounds) != 2
        or any(isinstance(bound, bool) or not isinstance(bound, numbers) for bound in bounds)
    ):
        raise ConfigurationError(f"expected [low, high] with {'whole ' if whole else ''}numbers, but got {bounds!r}")
    if bounds[0] > bounds[1]:
        raise ConfigurationError(f"the range ends below its beginning: {bounds!r}")
    return bounds[0], bounds[1]


def _condition(fields: Any) -> dict[str, tuple[Any, ...]]:
    if not isinstance(fields, Mapping) or not fields:
        raise ConfigurationError(f"when is a mapping like {{noise_type: normal}}, but got {fields!r}")
    return {str(name): tuple(value) if isinstance(value, list) else (value,) for name, value in fields.items()}


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} is true or false, but got {value!r}")
    return value


def _leaf(value: Any) -> Any:
    """A name such as ``nn.ReLU`` stands for its class."""
    return Symbol(value) if isinstance(value, str) and Symbol.is_known(value) else value


def _same(found: Any, wanted: Any) -> bool:
    """``HerReplayBuffer`` is also what its full path names."""
    if isinstance(found, (str, Symbol)) and isinstance(wanted, str):
        return str(found).rpartition(".")[2] == wanted.rpartition(".")[2]
    return bool(found == wanted)


def _check_unique(entries: Sequence[Entry], origin: str) -> None:
    for what in ("parameter", "key"):
        seen: dict[str, str] = {}
        for entry in entries:
            name = getattr(entry, what)
            if name in seen:
                raise ConfigurationError(f"{origin}: {seen[name]} and {entry.name} would both be kept as '{name}'")
            seen[name] = entry.name
