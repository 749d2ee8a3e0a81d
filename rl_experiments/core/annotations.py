"""Whether a value is what an annotation says, and what to call that in an error."""

from __future__ import annotations

import math
import numbers
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    type(None): "null",
}


def parts_of(annotation: Any) -> tuple[Any, ...]:
    """:return: the members of a union, or the annotation alone"""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def fits(value: Any, annotation: Any) -> bool:
    """
    Whether a value is of an annotated type; where the annotation is none that is known here, it is.

    A float without a fraction is a whole number, as YAML writes ``1e6``; NaN is no number.
    """
    return any(_fits(value, part) for part in parts_of(annotation))


def describe(annotation: Any) -> str:
    """:return: the type in words"""
    return " or ".join(_describe(part) for part in parts_of(annotation))


def type_of(value: Any) -> str:
    """:return: what a value is, for errors: its type, and itself where it is short"""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    shown = repr(value)
    return f"{type(value).__name__} {shown}" if len(shown) <= 60 else type(value).__name__


def _fits(value: Any, annotation: Any) -> bool:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if annotation is int:
        return is_number and float(value).is_integer()
    if annotation is float:
        return is_number and not math.isnan(value)
    if annotation in (bool, str, type(None)):
        return isinstance(value, annotation)
    if origin is type:
        return isinstance(value, type) and (not isinstance(arguments[0], type) or issubclass(value, arguments[0]))
    if origin is list:
        return isinstance(value, (list, tuple)) and _all_fit(value, arguments)
    if origin in (dict, Mapping):
        return (
            isinstance(value, Mapping) and _all_fit(value.keys(), arguments) and _all_fit(value.values(), arguments[1:])
        )
    if origin is tuple:
        return isinstance(value, (list, tuple)) and (... not in arguments or _all_fit(value, arguments))
    return True


def _all_fit(values: Iterable[Any], arguments: Sequence[Any]) -> bool:
    return not arguments or all(fits(value, arguments[0]) for value in values)


def _describe(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is type:
        return f"a class of {getattr(arguments[0], '__name__', arguments[0])}, named without quotes"
    if origin in (list, tuple):
        return f"a list, each item {describe(arguments[0])}" if arguments else "a list"
    if origin in (dict, Mapping):
        return "a mapping"
    return _WORDS.get(annotation, str(annotation))
