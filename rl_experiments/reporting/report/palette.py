"""How groups are told apart: colours that people who see fewer of them can tell apart too, and kinds of lines."""

from __future__ import annotations

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito 2008, without yellow, which paper does not show."""
DASHES = ("solid", "dash", "dot", "dashdot")
"""For what there are more groups than colours, and for print without colours."""


def colour(index: int) -> str:
    """:return: of the group with this number"""
    return _COLOURS[index % len(_COLOURS)]


def dash(index: int) -> str:
    """:return: the kind of line of the group with this number: neighbours differ in it too"""
    return DASHES[(index + index // len(_COLOURS)) % len(DASHES)]
