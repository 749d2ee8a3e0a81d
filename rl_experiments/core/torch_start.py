"""
Optimizers of torch without its compiler.

The first optimizer that is made imports ``torch._dynamo``, a second or more, only to tell a compiler that nobody has
called which functions to leave alone. Here that waits until something does compile: from then on all is torch's own.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

_COMPILER = "torch._dynamo"
_OF_OPTIMIZERS = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
_CACHE = "__dynamo_disable"
"""Where torch keeps, on a function, the same function as its compiler shall see it."""


def spare_the_compiler() -> None:
    """Have optimizers import the compiler only where it is used; without effect where torch is built otherwise."""
    if _COMPILER in sys.modules:
        return
    import torch

    for name in _OF_OPTIMIZERS:
        function = getattr(getattr(torch.optim.Optimizer, name, None), "__wrapped__", None)
        if callable(function) and not hasattr(function, _CACHE):
            setattr(function, _CACHE, _until_compiled(function))
    for optimizer in vars(torch.optim).values():
        if isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer):
            _spare_step(optimizer)


def _until_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if _COMPILER in sys.modules and getattr(function, _CACHE, None) is call:
            import torch

            setattr(function, _CACHE, torch.compiler.disable(function))
            return getattr(function, _CACHE)(*arguments, **named)
        return function(*arguments, **named)

    return call


def _spare_step(optimizer: type) -> None:
    step = vars(optimizer).get("step")
    # The same wrapper in all versions: it sets the gradient's mode, and tells the compiler of a break.
    if getattr(step, "__qualname__", "") != f"{optimizer.__name__}.step" or not hasattr(step, "__wrapped__"):
        return
    if getattr(getattr(step, "__code__", None), "co_name", "") != "_use_grad":
        return
    setattr(optimizer, "step", _without_break(step))  # noqa: B010


def _without_break(step: Any) -> Callable[..., Any]:
    import torch

    plain = step.__wrapped__

    @functools.wraps(plain)
    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        if _COMPILER in sys.modules:
            return step(self, *arguments, **named)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return plain(self, *arguments, **named)

    return call
