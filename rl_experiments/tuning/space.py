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

A file of your own (``--space FILE``) takes the place of the algorithm's. With ``extends: true`` in it, it is laid over
that: entries of the same name are replaced, those that are ``null`` go, others are added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_experiments.config.sources import hyperparameters_folder
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Symbol
from rl_experiments.tuning.domains import Choices, Computed, OneMinus, PowerOfTwo, Range
from rl_experiments.tuning.entries import Entry, SearchSpace
from rl_experiments.tuning.expressions import Expression

_EXTENDS = "extends"
_MODIFIERS = ("at_most", "when", "otherwise", "helper", "log")


def search_folder() -> Path:
    """:return: the folder with our search spaces"""
    return hyperparameters_folder() / "search"


def load_space(algorithm: str, file: str | None = None) -> SearchSpace:
    """
    :param algorithm: name in the registry
    :param file: a search space in place of the algorithm's, or over it
    :raises NotFoundError: if there is none
    :raises ConfigurationError: if a file is outside the grammar
    """
    if file is None:
        return parse_space(_content_of_ours(algorithm), f"hyperparams/search/{algorithm}.yml")
    path = Path(file)
    if not path.is_file():
        beside = [str(other) for other in path.parent.glob("*.yml")] if path.parent.is_dir() else []
        raise NotFoundError(f"There is no search space {file}.{hint(file, beside)}")
    content = yaml_io.read(path, unique=True)
    if not isinstance(content, Mapping) or _EXTENDS not in content:
        return parse_space(content, file)
    if not isinstance(content[_EXTENDS], bool):
        raise ConfigurationError(f"{file}: {_EXTENDS} is true or false, but got {content[_EXTENDS]!r}")
    own = {name: fields for name, fields in content.items() if name != _EXTENDS}
    below = _content_of_ours(algorithm) if content[_EXTENDS] else {}
    # One that is replaced keeps its place; one that is null goes.
    merged = {name: fields for name, fields in {**below, **own}.items() if fields is not None}
    for name in own:
        if own[name] is None and name not in below:
            raise ConfigurationError(f"{file}: there is no {name} to take away.{hint(str(name), below)}")
    space = parse_space(merged, file)
    return SearchSpace(file, _in_order(space.entries))


def _in_order(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """What others need comes before them; else they stay as they are. Of a circle, the check of the study tells."""
    by_key = {entry.key: entry for entry in entries}
    placed: dict[str, Entry] = {}

    def place(entry: Entry, above: frozenset[str]) -> None:
        for name in sorted(entry.needs & set(by_key) - set(placed) - above):
            place(by_key[name], above | {entry.key})
        placed.setdefault(entry.key, entry)

    for entry in entries:
        place(entry, frozenset({entry.key}))
    return tuple(placed.values())


def _content_of_ours(algorithm: str) -> Mapping[str, Any]:
    file = search_folder() / f"{algorithm}.yml"
    if not file.is_file():
        known = [path.stem for path in search_folder().glob("*.yml")]
        raise NotFoundError(f"There is no search space hyperparams/search/{algorithm}.yml.{hint(algorithm, known)}")
    content: Mapping[str, Any] = yaml_io.read(file)
    return content


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


def _check_unique(entries: Sequence[Entry], origin: str) -> None:
    for what in ("parameter", "key"):
        seen: dict[str, str] = {}
        for entry in entries:
            name = getattr(entry, what)
            if name in seen:
                raise ConfigurationError(f"{origin}: {seen[name]} and {entry.name} would both be kept as '{name}'")
            seen[name] = entry.name
