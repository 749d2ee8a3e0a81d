"""
The small language of values in YAML strings and on the command line.

Python literals, ``dict(...)``, ``list(...)``, ``tuple(...)``, arithmetic on numbers, and names from the table of
:mod:`rl_experiments.core.symbols`: what users of the zoo write, without evaluating it as code.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Symbol

_CONSTANTS = {"true": True, "false": False, "none": None, "null": None, "inf": float("inf"), "nan": float("nan")}
_DOTTED_CONSTANTS = {"np.inf": float("inf"), "math.inf": float("inf"), "np.nan": float("nan")}
_CONTAINERS: dict[str, Callable[..., Any]] = {"dict": dict, "list": list, "tuple": tuple, "set": set}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
_LARGEST_POWER = 64
_BARE_WORD = re.compile(r"[A-Za-z_][\w.+/:-]*$")
_WORD_WITH_DIGITS = re.compile(r"[0-9]+[A-Za-z_][\w.+/:-]*$")
"""Such as ``4x4``, the name of a map; ``1e5`` is a number, which is tried before."""


def parse(text: str) -> Any:
    """
    Turn text into a value; names become :class:`~rl_experiments.core.symbols.Symbol`, nothing is imported.

    :raises ConfigurationError: if the text is outside the language
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ConfigurationError(f"'{text}' is no value. Expected a Python literal or dict(...)") from None
    try:
        return _value(tree.body, text)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError, RecursionError) as error:
        raise ConfigurationError(f"'{text}' is no value: {error}") from None


def parse_argument(text: str) -> Any:
    """
    Turn the value of a ``key:value`` pair into an object.

    Like :func:`parse`, but a bare word is the string that its writer meant (``policy:MlpPolicy``,
    ``learning_rate:lin_0.001``), and
    ``true``, ``false``, ``null`` in YAML's spelling are what YAML takes them for.
    """
    bare = text.strip()
    if bare.lower() in _CONSTANTS:
        return _CONSTANTS[bare.lower()]
    if _BARE_WORD.fullmatch(bare) and not Symbol.is_known(bare) and bare not in _DOTTED_CONSTANTS:
        return bare
    try:
        return parse(bare)
    except ConfigurationError:
        if _WORD_WITH_DIGITS.fullmatch(bare):
            return bare
        raise


def parse_pair(text: str) -> tuple[str, Any]:
    """
    Split ``key:value``.

    :raises ConfigurationError: if there is no colon, no key or no value
    """
    key, colon, value = text.partition(":")
    name, equals, rest = text.partition("=")
    if not colon and equals and name.strip() and rest.strip():
        raise ConfigurationError(f"'{text}' is no key:value pair. Write {name.strip()}:{rest.strip()}")
    if not colon or not key.strip() or not value.strip():
        raise ConfigurationError(f"'{text}' is no key:value pair, like learning_rate:0.001 or policy:\"'MlpPolicy'\"")
    return key.strip(), parse_argument(value)


def to_text(value: Any) -> str:
    """:return: text that :func:`parse` turns into the value again, with mappings as ``dict(...)``"""
    if isinstance(value, dict):
        if all(isinstance(key, str) and key.isidentifier() for key in value):
            return f"dict({', '.join(f'{key}={to_text(item)}' for key, item in value.items())})"
        return "{" + ", ".join(f"{to_text(key)}: {to_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_text, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(to_text, value)) + ("," if len(value) == 1 else "") + ")"
    return str(value) if isinstance(value, Symbol) else repr(value)


def holds_symbol(value: Any) -> bool:
    """Whether a name stands anywhere in the value."""
    if isinstance(value, dict):
        return any(holds_symbol(item) for item in value.values())
    if isinstance(value, (list, tuple, set)):
        return any(holds_symbol(item) for item in value)
    return isinstance(value, Symbol)


def replace_symbols(value: Any, resolve: Callable[[Symbol], Any]) -> Any:
    """:return: the value with every name replaced by what it stands for"""
    if isinstance(value, dict):
        return {replace_symbols(key, resolve): replace_symbols(item, resolve) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_symbols(item, resolve) for item in value]
    if isinstance(value, tuple):
        return tuple(replace_symbols(item, resolve) for item in value)
    return resolve(value) if isinstance(value, Symbol) else value


def _value(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=value) if not isinstance(value, type(...)):
            return value
        case ast.List(elts=elements):
            return [_value(element, text) for element in elements]
        case ast.Tuple(elts=elements):
            return tuple(_value(element, text) for element in elements)
        case ast.Set(elts=elements):
            return {_value(element, text) for element in elements}
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {
                _value(key, text): _value(value, text)
                for key, value in zip(keys, values, strict=True)
                if key is not None
            }
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _UNARY[type(op)](_number(operand, text))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _arithmetic(op, _number(left, text), _number(right, text), text)
        case ast.Name() | ast.Attribute():
            return _name(_dotted(node, text), text)
        case ast.Call():
            return _call(node, text)
    raise ConfigurationError(
        f"'{ast.unparse(node)}' is not understood in '{text}'."
        " Values are Python literals, dict(...) and names such as nn.ReLU"
    )


def _number(node: ast.expr, text: str) -> Any:
    value = _value(node, text)
    if not isinstance(value, (int, float)):
        raise ConfigurationError(f"'{ast.unparse(node)}' in '{text}' is no number")
    return value


def _arithmetic(op: ast.operator, left: Any, right: Any, text: str) -> Any:
    if isinstance(op, ast.Pow) and (abs(right) > _LARGEST_POWER or abs(left) > 1e6):
        raise ConfigurationError(f"'{text}': the power is too large")
    return _BINARY[type(op)](left, right)


def _dotted(node: ast.expr, text: str) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, text)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise ConfigurationError(f"'{ast.unparse(node)}' in '{text}' is no name")


def _name(name: str, text: str) -> Any:
    if name in _DOTTED_CONSTANTS:
        return _DOTTED_CONSTANTS[name]
    if name.lower() in _CONSTANTS:
        return _CONSTANTS[name.lower()]
    if "." in name or Symbol.is_known(name):
        return Symbol(name)
    raise ConfigurationError(
        f"The name '{name}' in '{text}' is not known. Write a string in quotes.{hint(name, Symbol.short_names())}"
    )


def _call(node: ast.Call, text: str) -> Any:
    name = _dotted(node.func, text)
    arguments = [_value(argument, text) for argument in node.args]
    if any(keyword.arg is None for keyword in node.keywords):
        raise ConfigurationError(f"'**' is not understood in '{text}'")
    keywords = {str(keyword.arg): _value(keyword.value, text) for keyword in node.keywords}
    if name in _CONTAINERS:
        return _CONTAINERS[name](*arguments, **keywords)
    if name in ("float", "int") and len(arguments) == 1 and not keywords:
        return {"float": float, "int": int}[name](arguments[0])
    raise ConfigurationError(f"'{name}(...)' is not understood in '{text}'.{hint(name, _CONTAINERS)}")
