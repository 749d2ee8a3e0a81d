"""Putting the state of a :class:`~rl_experiments.core.snapshots.Snapshot` into objects that were made alike."""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rl_experiments.core.parts import change, find
from rl_experiments.core.snapshots import Rules, content_of


def put(roots: Mapping[str, Any], values: Mapping[str, Any], rules: Rules) -> list[str]:
    """
    Set the state of objects.

    :param roots: the objects by the places under which they were taken
    :param values: of a snapshot
    :return: places where there is no object that could take its state
    """
    lost, made = [], dict[int, Any]()
    for place, value in values.items():
        *names, last = place.split("/")
        try:
            if last in _MARKS:
                _MARKS[last](roots, names, value)
            else:
                _put(roots, [*names, last], value, rules, made)
        except LookupError:
            lost.append("/".join(names if last in _MARKS else [*names, last]))
    return lost


def _put(roots: Mapping[str, Any], names: list[str], value: Any, rules: Rules, made: dict[int, Any]) -> None:
    try:
        current = find(roots, names)
    except LookupError:
        current = None
    native = rules.native_of(current)
    if native is not None:
        native.put(current, value)
    else:
        change(roots, names, _laid_out_as(current, value, made))


def _put_alias(roots: Mapping[str, Any], names: list[str], first: str) -> None:
    target = find(roots, first.split("/"))
    try:
        is_there = find(roots, names) is target
    except LookupError:
        is_there = False
    if not is_there:
        change(roots, names, target)


def _put_member(roots: Mapping[str, Any], names: list[str], member: str) -> None:
    change(roots, names, type(find(roots, names))[member])


def _put_text(roots: Mapping[str, Any], names: list[str], content: tuple[str, tuple[int, ...], list[Any]]) -> None:
    kind, shape, texts = content
    change(roots, names, np.array(texts, kind).reshape(shape))


def _put_content(roots: Mapping[str, Any], names: list[str], content: Any) -> None:
    container = find(roots, names)
    if content_of(container) is None:
        raise LookupError(names[-1])
    container.clear()
    (container.extend if isinstance(content, list) else container.update)(content)


def _fit(roots: Mapping[str, Any], names: list[str], parts: list[str]) -> None:
    """Give a container its items, which are put in their places afterwards."""
    container = find(roots, names)
    if isinstance(container, dict):
        content = {name: container.get(name) for name in parts}
        container.clear()
        container.update(content)
    elif isinstance(container, (list, deque)):
        while len(container) > len(parts):
            container.pop()
        container.extend([None] * (len(parts) - len(container)))
    else:
        raise LookupError(names[-1])


def _check_name(roots: Mapping[str, Any], names: list[str], name: str) -> None:
    """Another method of the same object can be taken, another function not."""
    current = find(roots, names)
    if getattr(current, "__name__", None) == name:
        return
    if not isinstance(current, types.MethodType) or not hasattr(current.__self__, name):
        raise LookupError(name)
    change(roots, names, getattr(current.__self__, name))


_MARKS: dict[str, Callable[[Mapping[str, Any], list[str], Any], None]] = {
    "=": _put_alias,
    "@": _put_member,
    "$": _put_text,
    "*": _put_content,
    "#": _fit,
    "&": _check_name,
}


def _laid_out_as(current: Any, value: Any, made: dict[int, Any]) -> Any:
    """
    A pickle forgets how an array lies in memory (pictures with their channels moved), and libraries choose by that how
    they compute, down to the last bit. What is in several places stays one object.
    """
    if id(value) not in made:
        if isinstance(value, dict) and isinstance(current, dict):
            laid_out: Any = {key: _laid_out_as(current.get(key), item, made) for key, item in value.items()}
        else:
            laid_out = _copied_as(current, value)
        made[id(value)] = laid_out
    return made[id(value)]


def _copied_as(current: Any, value: Any) -> Any:
    is_array = isinstance(value, np.ndarray) and isinstance(current, np.ndarray)
    if not is_array or value.shape != current.shape or value.dtype != current.dtype:
        return value
    array = np.empty_like(current)
    array[...] = value
    return array
