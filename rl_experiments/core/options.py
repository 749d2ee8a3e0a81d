"""
Settings that are declared once, as the field of a dataclass, and are a Python argument and a command-line flag at the
same time.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields
from typing import Any

from rl_experiments.core.annotations import describe, fits, parts_of, type_of
from rl_experiments.core.errors import ConfigurationError

MOST_THREADS = 1024


def option(
    default: Any,
    help: str,
    *,
    flags: tuple[str, ...] = (),
    parse: Callable[[str], Any] | None = None,
    choices: tuple[str, ...] | None = None,
    many: bool = False,
    pairs: bool = False,
    bare: Any = None,
) -> Any:
    """
    Declare a field that is also a flag.

    :param default: the field's default; a factory where it is a list or dictionary
    :param help: a sentence on what it is for
    :param flags: further names on the command line, beside ``--<field name>``
    :param parse: turns the text of the command line into the value; if None, the type of the default does
    :param choices: what is valid
    :param many: takes several words
    :param pairs: takes several ``key:value`` pairs
    :param bare: the value of the flag without a word behind it, where it needs none
    """
    metadata = {
        "help": help,
        "flags": flags,
        "parse": parse,
        "choices": choices,
        "many": many,
        "pairs": pairs,
        "bare": bare,
    }
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def options_of(cls: Any) -> list[Field[Any]]:
    """:return: the fields of a dataclass that :func:`option` declared"""
    return [declared for declared in fields(cls) if "flags" in declared.metadata]


def default_of(declared: Field[Any]) -> Any:
    """:return: the default of a field"""
    return declared.default_factory() if declared.default_factory is not MISSING else declared.default


def check_settings(settings: Any) -> None:
    """
    Check the fields of a frozen dataclass against their types, and bring them into the form that the command line
    gives: one name in place of several becomes a tuple, a path a string, ``1e5`` a whole number.

    :raises ConfigurationError: for the first field that is wrong; the message says what was found and expected
    """
    hints = typing.get_type_hints(type(settings))
    for declared in options_of(settings):
        annotation = hints[declared.name]
        value = _plain(getattr(settings, declared.name), annotation)
        if not fits(value, annotation):
            raise ConfigurationError(f"{declared.name} must be {describe(annotation)}, but got {type_of(value)}")
        object.__setattr__(settings, declared.name, value)


def _plain(value: Any, annotation: Any) -> Any:
    parts = parts_of(annotation)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if any(typing.get_origin(part) is tuple for part in parts):
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, (list, set)) else value
    if int in parts and not isinstance(value, (bool, str)) and fits(value, int):
        return int(value)
    return value


def thread_count(text: str) -> int:
    """
    :return: the number; more threads than any machine has cores would only exhaust it
    """
    number = int(text)
    if number > MOST_THREADS:
        raise ValueError(f"expected at most {MOST_THREADS} threads, but got {number}")
    return number


def parse_bool(text: str) -> bool:
    """
    :return: what a person means by the word; argparse's ``type=bool`` takes ``False`` for True
    """
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError(f"expected true or false, but got '{text}'")
