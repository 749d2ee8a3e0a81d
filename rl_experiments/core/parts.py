"""What an object consists of, by name: its attributes, items, the variables of a closure, the object of a method."""

from __future__ import annotations

import functools
import operator
import struct
import types
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

_ATOMS = (bool, int, float, complex, str, bytes, type(None), type)
_METHODS = (types.MethodType, types.BuiltinMethodType, types.MethodWrapperType)
_WITHOUT_STATE = (
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    operator.itemgetter,
    operator.attrgetter,
    operator.methodcaller,
    type(functools.lru_cache(len)),
    np.ufunc,
)
_DEFAULTS = ("__defaults__", "__kwdefaults__")
_POINTER = struct.calcsize("P")


def parts_of(value: Any) -> list[tuple[str, Any]] | None:
    """:return: the parts of an object by name, or None if there may be others that Python does not show"""
    if isinstance(value, _WITHOUT_STATE):
        return []
    if isinstance(value, types.FunctionType):
        return _of_function(value)
    if isinstance(value, _METHODS):
        return [] if _is_free(value) else [("__self__", value.__self__)]
    if type(value) is functools.partial:
        return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    if isinstance(value, (dict, list, tuple, deque)):
        return _items(value)
    return list(_attributes(value).items()) if _is_of_python(type(value)) else None


def part(owner: Any, name: str) -> Any:
    """
    :return: the part of this name
    :raises LookupError: if there is none
    """
    try:
        if isinstance(owner, types.FunctionType) and name in owner.__code__.co_freevars:
            return _cell(owner, name).cell_contents
        if isinstance(owner, (list, tuple, deque)):
            return owner[int(name)]
        return owner[name] if isinstance(owner, dict) else _attribute(owner, name)
    except (AttributeError, ValueError) as error:
        raise LookupError(name) from error


def find(roots: Any, names: Sequence[str]) -> Any:
    """:return: what is found by going from part to part"""
    return functools.reduce(part, names, roots)


def change(roots: Any, names: Sequence[str], value: Any) -> None:
    """
    Put something in the place of a part; what cannot be changed itself (a tuple, a method) is made anew around it.

    :raises LookupError: if there is nothing of which it could be a part
    """
    *path, name = names
    owner = find(roots, path)
    if isinstance(owner, (tuple, functools.partial, *_METHODS)):
        change(roots, path, _rebuilt(owner, name, value))
    elif isinstance(owner, types.FunctionType) and name in owner.__code__.co_freevars:
        _cell(owner, name).cell_contents = value
    elif isinstance(owner, (list, deque)):
        owner[int(name)] = value
    elif isinstance(owner, dict):
        owner[name] = value
    elif hasattr(owner, "__dict__") and name not in _slots(type(owner)) and name not in _DEFAULTS:
        vars(owner)[name] = value
    elif name in (*_slots(type(owner)), *_DEFAULTS):
        object.__setattr__(owner, name, value)
    else:
        raise LookupError(name)


def _rebuilt(owner: Any, name: str, value: Any) -> Any:
    if isinstance(owner, types.MethodType):
        return types.MethodType(owner.__func__, value)
    if isinstance(owner, _METHODS):
        return getattr(value, owner.__name__)
    if isinstance(owner, functools.partial):
        content = {"func": owner.func, "args": owner.args, "keywords": owner.keywords, name: value}
        return functools.partial(content["func"], *content["args"], **content["keywords"])
    items = [value if str(index) == name else item for index, item in enumerate(owner)]
    return type(owner)(*items) if hasattr(owner, "_fields") else type(owner)(items)


def _of_function(function: types.FunctionType) -> list[tuple[str, Any]]:
    found = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:  # not bound yet
            continue
    for name in _DEFAULTS:
        defaults = getattr(function, name) or ()
        values = defaults.values() if isinstance(defaults, dict) else defaults
        if not all(isinstance(item, _ATOMS) for item in values):
            found.append((name, defaults))
    return [*found, *vars(function).items()]


def _cell(function: types.FunctionType, name: str) -> types.CellType:
    return (function.__closure__ or ())[function.__code__.co_freevars.index(name)]


def _is_free(method: Any) -> bool:
    """Whether a built-in function is bound to nothing but its module or class."""
    return method.__self__ is None or isinstance(method.__self__, (types.ModuleType, type))


def _items(value: Any) -> list[tuple[str, Any]] | None:
    if getattr(value, "__dict__", None) or _slots(type(value)):
        return None
    if not isinstance(value, dict):
        return [(str(index), item) for index, item in enumerate(value)]
    return list(value.items()) if all(isinstance(key, str) and key.isidentifier() for key in value) else None


def _attributes(value: Any) -> dict[str, Any]:
    slots = {name: getattr(value, name) for name in _slots(type(value)) if hasattr(value, name)}
    return {**getattr(value, "__dict__", {}), **slots}


def _attribute(owner: Any, name: str) -> Any:
    own = getattr(owner, "__dict__", {})
    return own[name] if name in own else object.__getattribute__(owner, name)


def _slots(cls: type) -> list[str]:
    classes = [base for base in cls.__mro__ if "__slots__" in vars(base)]
    return [name for base in classes for name, kind in vars(base).items() if type(kind) is types.MemberDescriptorType]


def _is_of_python(cls: type) -> bool:
    """Whether objects have no room for anything but their attributes, which a type that is written in C has."""
    pointers = len(_slots(cls)) + (cls.__dictoffset__ > 0) + (cls.__weakrefoffset__ > 0)
    return cls.__itemsize__ == 0 and cls.__basicsize__ <= object.__basicsize__ + pointers * _POINTER
