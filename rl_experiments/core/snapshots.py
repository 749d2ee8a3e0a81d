"""
What changes in an object while a program runs, taken out of it and put back into another one that was made alike.

A snapshot is a flat dictionary from places (``wrapper/history/observations``) to plain values. Objects themselves are
never made from it: the values go back into an object that is there already, so that everybody who holds it sees them.
"""

from __future__ import annotations

import io
import logging
import pickle
import threading
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np

from rl_experiments.core import pickles
from rl_experiments.core.symbols import Trust

_ATOMS = (bool, int, float, complex, str, bytes, type(None))
_DEEPEST = 12
_KEPT = (type, types.ModuleType, io.IOBase, logging.Logger, threading.Thread, property, PurePath)


@dataclass(frozen=True)
class Native:
    """
    How the state of objects is taken that keep it outside of Python.

    :param type: of the objects
    :param take: their state as a plain value
    :param put: set it again
    """

    type: type
    take: Callable[[Any], Any]
    put: Callable[[Any, Any], None]


@dataclass(frozen=True)
class Rules:
    """
    :param kept: types whose objects stay as they are
    :param in_place: types whose objects are filled, where an equal copy in their place would not be seen by others
    :param natives: types with a way of their own
    :param skipped: names of attributes that are no state
    :param trust: which classes of the user's own may be made anew
    """

    kept: tuple[type, ...] = ()
    in_place: tuple[type, ...] = ()
    natives: tuple[Native, ...] = ()
    skipped: frozenset[str] = frozenset()
    trust: Trust = field(default_factory=Trust)

    def native_of(self, value: Any) -> Native | None:
        """:return: the way of the value's type, if it has one"""
        return next((native for native in self.natives if isinstance(value, native.type)), None)


class Snapshot:
    """
    Takes the state of objects.

    :param rules: what is state
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._seen: set[int] = set()
        self.values: dict[str, Any] = {}
        self.missing: list[str] = []
        """Places whose state cannot be had, with the type that is there."""

    def take(self, place: str, owner: Any) -> Snapshot:
        """Add all attributes of an object."""
        if id(owner) not in self._seen:
            self._seen.add(id(owner))
            for name, value in list(vars(owner).items()):
                if name not in self._rules.skipped and not name.startswith("__"):
                    self._add(f"{place}/{name}", value)
        return self

    def _add(self, place: str, value: Any) -> None:
        native = self._rules.native_of(value)
        if native is not None:
            self.values[place] = native.take(value)
        elif self._is_kept(value):
            return
        elif isinstance(value, np.str_) or _is_text(value):
            self.values[place] = value.tolist()
        elif is_plain(value) or self._can_be_made(value):
            self.values[place] = value
        elif place.count("/") > _DEEPEST or not self._descend(place, value):
            self.missing.append(f"{place} ({type(value).__name__})")

    def _descend(self, place: str, value: Any) -> bool:
        items = _items(value)
        if items is not None:
            for name, item in items:
                if isinstance(value, tuple) and is_plain(item):
                    return False  # no other can be put in its place
                self._add(f"{place}/{name}", item)
            return True
        if not hasattr(value, "__dict__") or not vars(value):
            return False
        self.take(place, value)
        return True

    def _is_kept(self, value: Any) -> bool:
        rules = self._rules
        return isinstance(value, (*_KEPT, *rules.kept)) or (callable(value) and not isinstance(value, rules.in_place))

    def _can_be_made(self, value: Any) -> bool:
        try:
            pickles.loads(_dumps(value, self._rules), self._rules.trust)
        except Exception:  # whatever the user's classes raise
            return False
        return True


def put(roots: Mapping[str, Any], values: Mapping[str, Any], rules: Rules) -> None:
    """
    Set the state of objects.

    :param roots: the objects by the places under which they were taken
    :param values: of a snapshot
    """
    for place, value in values.items():
        root, *names = place.split("/")
        owner: Any = roots[root]
        for name in names[:-1]:
            owner = _get(owner, name)
        current = _get(owner, names[-1])
        native = rules.native_of(current)
        if native is not None:
            native.put(current, value)
        elif _is_text(current):
            current[...] = np.array(value, current.dtype)
        else:
            _assign(owner, names[-1], _laid_out_as(current, value))


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value consists of numbers, texts, arrays and containers of these only."""
    if isinstance(value, Enum) or depth > _DEEPEST:
        return False
    kind = type(value)
    if kind in _ATOMS or kind in (np.random.Generator, np.random.RandomState):
        return True
    if kind is np.ndarray or isinstance(value, np.generic):
        return value.dtype.kind in "biufc"
    if kind is dict:
        return all(type(key) in _ATOMS for key in value) and all(is_plain(item, depth + 1) for item in value.values())
    return kind in (list, tuple, deque) and all(is_plain(item, depth + 1) for item in value)


def _is_text(value: Any) -> bool:
    """Whether it is an array of texts, which no reader of pickles takes."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "SU"


def _items(value: Any) -> Iterator[tuple[str, Any]] | None:
    """:return: what a container of more than plain values holds, by name"""
    if isinstance(value, dict) and all(isinstance(key, str) and "/" not in key for key in value):
        return iter(value.items())
    if isinstance(value, (list, tuple, deque)):
        return ((str(index), item) for index, item in enumerate(value))
    return None


def _get(owner: Any, name: str) -> Any:
    if isinstance(owner, (list, tuple, deque)):
        return owner[int(name)]
    return (owner if isinstance(owner, dict) else vars(owner)).get(name)


def _assign(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, (list, deque)):
        owner[int(name)] = value
    else:
        (owner if isinstance(owner, dict) else vars(owner))[name] = value


def _laid_out_as(current: Any, value: Any) -> Any:
    """
    A pickle forgets how an array lies in memory (pictures with their channels moved), and libraries choose by that how
    they compute, down to the last bit.
    """
    if isinstance(value, dict) and isinstance(current, dict):
        return {key: _laid_out_as(current.get(key), item) for key, item in value.items()}
    is_array = isinstance(value, np.ndarray) and isinstance(current, np.ndarray)
    if not is_array or value.shape != current.shape or value.dtype != current.dtype:
        return value
    array = np.empty_like(current)
    array[...] = value
    return array


class _Pickler(pickle.Pickler):
    """Refuses what would be made without the state that it has."""

    def __init__(self, stream: io.BytesIO, rules: Rules) -> None:
        super().__init__(stream, protocol=4)
        self._refused = (*rules.kept, *rules.in_place, *(native.type for native in rules.natives))

    def reducer_override(self, obj: Any) -> Any:
        """Called for every object that is no plain value."""
        if isinstance(obj, self._refused) or hasattr(obj, "_ezpickle_args"):
            raise pickle.PicklingError(f"a {type(obj).__name__} is not copied")
        return NotImplemented


def _dumps(value: Any, rules: Rules) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, rules).dump(value)
    return stream.getvalue()
