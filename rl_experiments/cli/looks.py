"""Flags for how pictures look."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rl_experiments.cli.parser import Parser
from rl_experiments.core.errors import ConfigurationError

if TYPE_CHECKING:
    from rl_experiments.recording.looks import Look

SMALLEST_SIDE, LONGEST_SIDE = 16, 4096


def add_look_flags(parser: Parser) -> None:
    """Add ``--size``, ``--width``, ``--height`` and ``--quality``."""
    ours = parser.add_ours
    ours("--size", metavar="N", type=int, default=1, help="Enlarge each picture N times, a whole number, without blur.")
    ours("--width", metavar="PIXELS", type=int, help="Draw this wide, where the environment can (MuJoCo).")
    ours("--height", metavar="PIXELS", type=int, help="Draw this high, where the environment can (MuJoCo).")
    ours(
        "--quality",
        choices=("fast", "full"),
        help="For MuJoCo: without or with antialiasing, shadows and reflections (default: fast where the CPU draws).",
    )
    parser.add_check(_check)


def chosen_look(options: argparse.Namespace) -> Look:
    """:return: what the flags say"""
    from rl_experiments.recording.looks import Look

    return Look(options.size, options.width, options.height, options.quality)


def refuse_for_pages(options: argparse.Namespace, **given: object) -> None:
    """
    :param given: further flags that are for pictures, with their values
    :raises ConfigurationError: if there is one and the browser draws
    """
    values = {"size": options.size > 1, "width": options.width, "height": options.height, "quality": options.quality}
    flags = [f"--{name.replace('_', '-')}" for name, value in {**given, **values}.items() if value]
    if options.format == "html" and flags:
        raise ConfigurationError(f"{flags[0]} is for pictures, and --format html leaves drawing to the browser")


def _check(options: argparse.Namespace) -> None:
    if options.size < 1:
        raise ConfigurationError(f"--size must be a whole number of at least 1, but got {options.size}")
    for name in ("width", "height"):
        value = getattr(options, name)
        if value is not None and not SMALLEST_SIDE <= value <= LONGEST_SIDE:
            raise ConfigurationError(f"--{name} must be from {SMALLEST_SIDE} to {LONGEST_SIDE} pixels, but got {value}")
