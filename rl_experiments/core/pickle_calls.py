"""
What a pickle may do with the names that it may name.

A name that is harmless to import can still be called with arguments that fill the memory, or be given a state that
NumPy trusts blindly. What SB3 stores makes objects without calling their classes, and fills arrays with exactly the
bytes that the file holds.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable
from enum import Enum
from typing import Any

import numpy as np

_KINDS = "biufcO"
_WORDS_OF_MT19937 = 624
_PLAIN_KEYS = (str, bytes, int, float, bool, type(None), np.generic, Enum, type)


def check_call(function: Any, arguments: Any, only_made: bool) -> None:
    """
    :param only_made: whether the function is a class of a library, of which objects are made but which is not called
    :raises pickle.UnpicklingError: if the call is none that SB3's files hold
    """
    name = getattr(function, "__name__", str(function))
    if only_made or function is np.ndarray:
        raise pickle.UnpicklingError(f"it calls '{getattr(function, '__module__', '')}.{name}'")
    if not isinstance(arguments, tuple):
        raise pickle.UnpicklingError(f"it calls '{name}' without a list of arguments")
    if name == "_reconstructor" and (len(arguments) != 3 or arguments[1] is not object):
        raise pickle.UnpicklingError("it makes an object by way of another class")
    if name == "_reconstruct" and arguments[1:2] != ((0,),):
        raise pickle.UnpicklingError("it makes an array before it has its content")
    if name == "encode" and arguments[1:] != ("latin1",):
        raise pickle.UnpicklingError("it encodes text otherwise than pickles do")
    if name == "__generator_ctor" and not all(_belongs_to_generators(argument) for argument in arguments):
        raise pickle.UnpicklingError("it makes a generator of random numbers from something else")
    if function in (set, frozenset, dict) or name == "OrderedDict":
        for content in arguments:
            check_keys(_keys_in(content, of_pairs=function not in (set, frozenset)))


def check_result(value: Any) -> Any:
    """
    :return: the value
    :raises pickle.UnpicklingError: if arrays of this type could hold pointers, or nothing
    """
    if isinstance(value, np.dtype) and (value.kind not in _KINDS or value.fields or value.subdtype):
        raise pickle.UnpicklingError(f"it has an array of '{value}', and only numbers and objects are read")
    return value


def check_state(target: Any, state: Any) -> None:
    """
    :raises pickle.UnpicklingError: if NumPy would trust a state that is no true one
    """
    if isinstance(target, np.dtype):
        plain = isinstance(state, tuple) and all(part is None for part in state[2:5])
        if not plain or state[7:8] not in ((), (target.flags,)):
            raise pickle.UnpicklingError("it has an array of records, and only numbers and objects are read")
    elif isinstance(target, np.ndarray):
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("it has an array with a state that is none")
        _, shape, dtype, _, content = state
        check_result(dtype)
        kinds = list if dtype.kind == "O" else (bytes, str)
        if not isinstance(content, kinds) or math.prod(shape) > len(content):
            raise pickle.UnpicklingError(f"it has an array of the shape {shape} with less content")
    elif type(target).__module__.startswith("numpy.random"):
        _check_position(state)


def check_keys(keys: Iterable[Any]) -> None:
    """
    :raises pickle.UnpicklingError: for a key that takes arbitrarily long to hash, as tuples of tuples do
    """
    for key in keys:
        if not isinstance(key, _PLAIN_KEYS):
            raise pickle.UnpicklingError(f"it has a mapping or a set with a {type(key).__name__} as key")


def _keys_in(content: Any, of_pairs: bool) -> list[Any]:
    if not of_pairs or isinstance(content, dict):
        return list(content)
    return [pair[0] for pair in content if isinstance(pair, (list, tuple)) and pair]


def _belongs_to_generators(argument: Any) -> bool:
    if isinstance(argument, str):
        return True
    module = getattr(argument, "__module__", None) or type(argument).__module__
    return isinstance(module, str) and module.startswith("numpy.random")


def _check_position(state: Any) -> None:
    """The Mersenne Twister reads its words from here on without looking how many there are."""
    if isinstance(state, tuple) and state[:1] == ("MT19937",):
        position = state[2] if len(state) > 2 else None
    else:
        whole = state[0] if isinstance(state, tuple) and state else state
        words = whole.get("state") if isinstance(whole, dict) else None
        position = words.get("pos", 0) if isinstance(words, dict) else 0
    if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position <= _WORDS_OF_MT19937:
        raise pickle.UnpicklingError(f"it has a generator of random numbers at the position {position!r}")
