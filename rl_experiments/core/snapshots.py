"""
What changes in an object while a program runs, taken out of it and put back into another one that was made alike.

A snapshot is a flat dictionary from places (``wrapper/history/observations``) to plain values. Objects of libraries are
never made from it: the values go back into an object that is there already, so that everybody who holds it sees them.
A place that ends in a mark tells something else: ``=`` another place where the same object is, ``@`` a member of an
enumeration, ``$`` an array of texts, ``*`` the content of a container, ``#`` the names of its items, ``&`` that of a
function.
"""

from __future__ import annotations

import io
import logging
import pickle
import random
import threading
import types
from collections import deque
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np

from rl_experiments.core import pickles
from rl_experiments.core.parts import parts_of
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
    :param callables: whether what can be called has state
    :param trust: which classes of the user's own may be made anew
    """

    kept: tuple[type, ...] = ()
    in_place: tuple[type, ...] = ()
    natives: tuple[Native, ...] = ()
    skipped: frozenset[str] = frozenset()
    callables: bool = True
    trust: Trust = field(default_factory=Trust)

    def native_of(self, value: Any) -> Native | None:
        """:return: the way of the value's type, if it has one"""
        return next((native for native in self.natives if isinstance(value, native.type)), None)


class Snapshot:
    """
    Takes the state of objects.

    :param rules: what is state
    :param known: places of objects that another one, made alike, has as well; None where that is not known
    """

    def __init__(self, rules: Rules, known: Container[str] | None = None) -> None:
        self._rules, self._known = rules, known
        self._places: dict[int, str] = {}
        self._arrays: dict[int, list[np.ndarray]] = {}
        self._not_held = 0
        self._held: list[Any] = []  # so that no other object gets the id of one of them
        self.values: dict[str, Any] = {}
        self.filled: set[str] = set()
        """Places of objects that are not made anew."""
        self.missing: list[str] = []
        """Places whose state cannot be had, with the type that is there."""

    def take(self, roots: Mapping[str, Any], without: Container[str] = ()) -> Snapshot:
        """
        Add all attributes of objects.

        :param roots: the objects by name
        :param without: those of which nothing is added
        """
        self._places.update({id(owner): place for place, owner in roots.items()})
        for place, owner in roots.items():
            if place not in without:
                self._add_parts(place, list(vars(owner).items()))
        return self

    def _add_parts(self, place: str, parts: list[tuple[str, Any]]) -> None:
        for name, value in parts:
            if name not in self._rules.skipped:
                self._add(f"{place}/{name}", value)

    def _add(self, place: str, value: Any) -> None:
        if self._is_kept(value):
            self._not_held += 1
            return
        if id(value) in self._places:
            self.values[f"{place}/="] = self._places[id(value)]
        elif isinstance(value, np.str_):
            self.values[place] = value.tolist()
        elif _is_text(value):
            self.values[f"{place}/$"] = (value.dtype.str, value.shape, value.ravel().tolist())
        elif self._rules.native_of(value) is None and (is_plain(value) or self._can_be_made(value)):
            self.values[place] = value
            self._look_for_views(place, value)
        elif isinstance(value, Enum):
            self.values[f"{place}/@"] = value.name
        elif place.count("/") > _DEEPEST or not self._fill(place, value):
            self._not_held += 1
            self.missing.append(f"{place} ({type(value).__name__})")

    def _fill(self, place: str, value: Any) -> bool:
        """:return: whether the object, which stays where it is, can be given its state"""
        if self._known is not None and place not in self._known:
            return False
        self._places[id(value)] = place
        self._held.append(value)
        native, content = self._rules.native_of(value), content_of(value)
        if native is not None:
            try:
                self.values[place] = native.take(value)
            except Exception:  # whatever a library raises
                return False
        elif content is not None:
            self.values[f"{place}/*"] = content
        elif (parts := parts_of(value)) is not None:
            self._add_all(place, value, parts)
            if isinstance(value, (types.FunctionType, types.MethodType)):
                self.values[f"{place}/&"] = value.__name__
        else:
            return False
        self.filled.add(place)
        return True

    def _add_all(self, place: str, value: Any, parts: list[tuple[str, Any]]) -> None:
        """Add parts; where a container is known to its last item, the other one shall have neither more nor fewer."""
        before = self._not_held
        if isinstance(value, (dict, list, deque)):
            self.values[f"{place}/#"] = [name for name, _ in parts]
        self._add_parts(place, parts)
        if self._not_held > before:
            self.values.pop(f"{place}/#", None)

    def _is_kept(self, value: Any) -> bool:
        rules = self._rules
        without = callable(value) and not rules.callables and not isinstance(value, rules.in_place)
        return without or isinstance(value, (*_KEPT, *rules.kept))

    def _can_be_made(self, value: Any) -> bool:
        try:
            pickles.loads(_pickled(value, self._rules)[0], self._rules.trust)
        except Exception:  # whatever the user's classes raise
            return False
        return True

    def _look_for_views(self, place: str, value: Any) -> None:
        """Two arrays of which one shows a part of the other would be two that have nothing in common."""
        for array in [] if type(value) in _ATOMS else _pickled(value, self._rules)[1]:
            base = array
            while isinstance(base.base, np.ndarray):
                base = base.base
            others = self._arrays.setdefault(id(base), [])
            if all(array is not other for other in others):
                if any(np.may_share_memory(array, other) for other in others):
                    self.missing.append(f"{place} (an array in the memory of another)")
                others.append(array)


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


def content_of(value: Any) -> Any:
    """:return: what is in a container of a class derived from Python's own, if that is all that it has"""
    for kind in (dict, list, deque, set):
        if isinstance(value, kind) and type(value) is not kind and not getattr(value, "__dict__", None):
            content = list(value) if kind in (list, deque) else kind(value)
            return content if kind is set or is_plain(content) else None
    return None


class _Pickler(pickle.Pickler):
    """Refuses what would be made without the state that it has, and remembers the arrays that it meets."""

    def __init__(self, stream: io.BytesIO, rules: Rules) -> None:
        super().__init__(stream, protocol=4)
        self._refused = (*rules.kept, *rules.in_place, *(native.type for native in rules.natives))
        self.arrays: list[np.ndarray] = []

    def reducer_override(self, obj: Any) -> Any:
        """Called for every object that is no plain value."""
        if isinstance(obj, np.ndarray):
            self.arrays.append(obj)
        # A generator of a class of its own pickles what it has from Python only.
        forgets = isinstance(obj, random.Random) and type(obj) is not random.Random
        if forgets or isinstance(obj, self._refused) or hasattr(obj, "_ezpickle_args"):
            raise pickle.PicklingError(f"a {type(obj).__name__} is not copied")
        return NotImplemented


def _pickled(value: Any, rules: Rules) -> tuple[bytes, list[np.ndarray]]:
    """:return: the pickle, and the arrays in it"""
    stream = io.BytesIO()
    pickler = _Pickler(stream, rules)
    pickler.dump(value)
    return stream.getvalue(), pickler.arrays
