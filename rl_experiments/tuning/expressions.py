"""
Arithmetic on sampled values: ``n_steps * n_envs``, ``max(train_freq // subsample_steps, 1)``.

Numbers, names, ``+ - * / // **``, and ``min``, ``max``, ``int``, ``round``; nothing else.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "int": int, "round": round}
_LARGEST_POWER = 64


@dataclass(frozen=True)
class Expression:
    """A formula over other values; :meth:`parse` makes one."""

    text: str
    tree: ast.expr

    @staticmethod
    def parse(text: Any) -> Expression:
        """
        :param text: a formula, or a number
        :raises ConfigurationError: if it is outside the language
        """
        try:
            expression = Expression(str(text), ast.parse(str(text).strip(), mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ConfigurationError(f"'{text}' is no formula. Expected one like n_steps * n_envs") from None
        _check(expression.tree, expression.text)
        return expression

    @property
    def names(self) -> list[str]:
        """The values that it needs, sorted."""
        called = {id(node.func) for node in ast.walk(self.tree) if isinstance(node, ast.Call)}
        return sorted(
            {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name) and id(node) not in called}
        )

    def evaluate(self, known: Mapping[str, Any]) -> Any:
        """
        :param known: the values by name
        :raises ConfigurationError: if a value is missing or no number, or the formula has no result
        """
        try:
            return _evaluate(self.tree, self.text, known)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise ConfigurationError(f"'{self.text}' has no value: {error}") from None


def _check(node: ast.expr, text: str) -> None:
    match node:
        case ast.Constant(value=int() | float()) | ast.Name():
            pass
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand, text)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left, text)
            _check(right, text)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS and arguments:
            for argument in arguments:
                _check(argument, text)
        case ast.Call(func=ast.Name(id=name)) if name not in _FUNCTIONS:
            raise ConfigurationError(f"There is no function '{name}' in '{text}'.{hint(name, _FUNCTIONS)}")
        case _:
            raise ConfigurationError(
                f"'{ast.unparse(node)}' is not understood in '{text}'. Expected numbers, names and arithmetic"
            )


def _evaluate(node: ast.expr, text: str, known: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return _number(name, text, known)
        case ast.UnaryOp(operand=operand):
            return -_evaluate(operand, text, known)
        case ast.BinOp(left=left, op=op, right=right):
            values = _evaluate(left, text, known), _evaluate(right, text, known)
            if isinstance(op, ast.Pow) and abs(values[1]) > _LARGEST_POWER:
                raise ConfigurationError(f"'{text}': the power is too large")
            return _OPERATORS[type(op)](*values)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _FUNCTIONS[name](*(_evaluate(argument, text, known) for argument in arguments))
    raise AssertionError(ast.dump(node))  # _check let nothing else through


def _number(name: str, text: str, known: Mapping[str, Any]) -> Any:
    if name not in known:
        raise ConfigurationError(f"There is no value '{name}' for '{text}'.{hint(name, known)}")
    value = known[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"'{text}' needs {name} to be a number, but it is {value!r}")
    return value
