"""Hyperparameters of one experiment: merged from their sources, each value with where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rl_experiments.config import grammar
from rl_experiments.config.schedules import SCHEDULED, Schedule, checked_function, parse_schedule
from rl_experiments.config.sources import Block
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Symbol

COMMAND_LINE = "command line"

RECIPE_KEYS = ("env_kwargs", "monitor_kwargs", "env_wrapper", "vec_env_wrapper", "frame_stack", "normalize")
"""Keys that describe the environment; an environment recipe is made of them."""
RUN_KEYS = ("n_timesteps", "n_envs", "callback")
"""Keys that describe the training around the algorithm."""
NOISE_KEYS = ("noise_type", "noise_std")
SPECIAL_KEYS = (*RECIPE_KEYS, *RUN_KEYS, *NOISE_KEYS)
"""Keys that are no arguments of the algorithm's constructor."""
TEXT_KEYS = (
    "policy_kwargs",
    "replay_buffer_class",
    "replay_buffer_kwargs",
    "monitor_kwargs",
    "env_kwargs",
    "rollout_buffer_kwargs",
)
"""Keys whose strings are written in the small language of :mod:`rl_experiments.config.grammar`."""


@dataclass(frozen=True)
class Hyperparameters(Mapping[str, Any]):
    """
    Values by name, as written, with their origins.

    :param entries: name to value, before strings are parsed (what ``config.yml`` stores)
    :param origins: name to where the value came from
    :param block: the block that most of them came from
    """

    entries: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)
    block: Block | None = None

    def __getitem__(self, name: str) -> Any:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def origin(self, name: str) -> str:
        """:return: file and block, ``command line``, a trial, or ``default``"""
        return self.origins.get(name, "default")

    def parsed(self, name: str, default: Any = None) -> Any:
        """
        :return: the value as Python, names still as symbols
        :raises ConfigurationError: if a string is outside the grammar; the message names the hyperparameter
        """
        value = self.entries.get(name, default)
        try:
            if isinstance(value, str) and name in TEXT_KEYS:
                return grammar.parse(value)
            return value
        except ConfigurationError as error:
            raise ConfigurationError(f"{name} ({self.origin(name)}): {error}") from None

    def schedule(self, name: str) -> Schedule | Callable[[float], float] | None:
        """:return: the value as a schedule, a function as it is, or None for a ``clip_range_vf`` that clips nothing"""
        value = self.entries.get(name)
        try:
            if callable(value):
                return checked_function(name, value)
            return None if value is None and name == "clip_range_vf" else parse_schedule(name, value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} ({self.origin(name)})") from None

    def merged(self, values: Mapping[str, Any], origin: str) -> Hyperparameters:
        """
        :return: these hyperparameters overridden by others; mappings (``policy_kwargs``, ``replay_buffer_kwargs``) are
            replaced whole,
            as the zoo does for the command line
        """
        return Hyperparameters(
            {**self.entries, **values}, {**self.origins, **dict.fromkeys(values, origin)}, self.block
        )

    def without(self, *names: str) -> Hyperparameters:
        """:return: these hyperparameters without some"""
        return Hyperparameters(
            {key: value for key, value in self.entries.items() if key not in names}, self.origins, self.block
        )

    def algorithm_arguments(self) -> dict[str, Any]:
        """
        :return: what goes to the algorithm's constructor, as Python: schedules made, lists as ``train_freq`` turned
        into tuples
        """
        arguments: dict[str, Any] = {}
        for name in self.entries:
            if name in SPECIAL_KEYS:
                continue
            arguments[name] = self.schedule(name) if name in SCHEDULED else self.parsed(name)
        if isinstance(arguments.get("train_freq"), list):
            arguments["train_freq"] = tuple(arguments["train_freq"])
        return arguments

    @property
    def n_envs(self) -> int:
        """Number of training environments."""
        return self._count("n_envs", 1)

    @property
    def n_timesteps(self) -> int:
        """Environment steps to train for."""
        if "n_timesteps" not in self.entries:
            where = self.block.origin if self.block else "the hyperparameters"
            raise ConfigurationError(f"There is no n_timesteps in {where}, and no -n on the command line")
        return self._count("n_timesteps", 1)

    def _count(self, name: str, default: int) -> int:
        value = self.entries.get(name, default)
        try:
            if isinstance(value, bool) or float(value) != int(float(value)) or int(float(value)) < 1:
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise ConfigurationError(
                f"{name} must be a whole number above 0, but got {value!r} ({self.origin(name)})"
            ) from None
        return int(float(value))

    @property
    def normalize(self) -> dict[str, Any] | None:
        """
        Arguments of VecNormalize, with the algorithm's discount, or None where nothing is normalised.
        """
        value = self.entries.get("normalize")
        if isinstance(value, str):
            value = self._parse_text("normalize", value)
        if value is None or value is False:
            return None
        if value is not True and not isinstance(value, Mapping):
            raise ConfigurationError(
                f"normalize must be true, false or a mapping, but got {value!r} ({self.origin('normalize')})"
            )
        arguments = {} if value is True else dict(value)
        if "gamma" in self.entries:
            gamma = self.entries["gamma"]
            if isinstance(gamma, bool) or not isinstance(gamma, (int, float)):
                raise ConfigurationError(f"gamma must be a number, but got {gamma!r} ({self.origin('gamma')})")
            arguments.setdefault("gamma", float(gamma))
        return arguments

    def _parse_text(self, name: str, text: str) -> Any:
        try:
            return (
                grammar.parse_argument(text)
                if text.strip().lower() in ("true", "false", "none", "null")
                else grammar.parse(text)
            )
        except ConfigurationError as error:
            if text.strip().isidentifier():
                raise ConfigurationError(
                    f"{name} must be true, false or a mapping, but got '{text}' ({self.origin(name)})"
                ) from None
            raise ConfigurationError(f"{name} ({self.origin(name)}): {error}") from None

    @property
    def replay_buffer_class(self) -> str | None:
        """The replay buffer's name, where one is given."""
        value = self.parsed("replay_buffer_class")
        return None if value is None else str(value)


def named_classes(value: Any, key: str) -> list[tuple[str, dict[str, Any]]]:
    """
    Read the value of ``env_wrapper``, ``vec_env_wrapper`` or ``callback``.

    :param value: a name, a mapping of one name to keyword arguments, or a list of these
    :return: (name, keyword arguments), in order
    :raises ConfigurationError: if it has another shape
    """
    if value is None:
        return []
    result: list[tuple[str, dict[str, Any]]] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, Mapping):
            if len(item) != 1:
                raise ConfigurationError(
                    f"{key}: {dict(item)!r} names {len(item)} classes in one item. Check the indentation:"
                    " expected a list of names, or of one name with its arguments below it"
                )
            name, arguments = next(iter(item.items()))
        else:
            name, arguments = item, {}
        if isinstance(name, Symbol):
            name = str(name)
        if not isinstance(arguments, (Mapping, type(None))) or not name or not isinstance(name, str):
            raise ConfigurationError(f"{key}: {item!r} is no name of a class, and no name with its arguments below it")
        result.append((name, dict(arguments or {})))
    return result


def check_names(hyperparameters: Hyperparameters, valid: set[str], algorithm: str) -> None:
    """
    :param valid: the algorithm's own arguments
    :raises ConfigurationError: for a hyperparameter that neither the algorithm nor we know
    """
    for name in hyperparameters:
        if name not in valid and name not in SPECIAL_KEYS:
            raise ConfigurationError(
                f"Unknown hyperparameter '{name}' for {algorithm} ({hyperparameters.origin(name)})."
                f"{hint(name, [*valid, *SPECIAL_KEYS])}"
            )
