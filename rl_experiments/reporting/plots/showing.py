"""Figures on the screen where there is one, or else in files."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rl_experiments.envs.rendering import has_screen
from rl_experiments.reporting.report.figures import new_figure, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawing = Mapping[str, Callable[["Figure"], None]]
"""What draws each figure, by its name."""


@dataclass(frozen=True)
class Look:
    """
    How figures look, and where they go.

    :param figsize: width and height in inches
    :param fontsize: of titles and labels, in points
    :param folder: where files go; None shows the figures, or writes to ``plots`` where there is no screen
    :param formats: of the files
    :param display: whether to show them
    """

    figsize: tuple[float, float] = (6.4, 4.8)
    fontsize: int = 14
    folder: Path | None = None
    formats: tuple[str, ...] = ("png",)
    display: bool = True
    say: Callable[[str], None] = field(default=print)


def present(drawings: Drawing, look: Look) -> list[Path]:
    """
    Draw all figures.

    :return: the files that were written
    """
    shown = look.display and _can_show()
    files = []
    if look.folder is not None or (look.display and not shown):
        folder = look.folder or Path("plots")
        for name, draw in drawings.items():
            figure = new_figure(look.figsize)
            draw(figure)
            stem = re.sub(r"[^\w.-]+", "-", name).strip("-")
            files += [save(figure, folder / f"{stem}.{format}") for format in look.formats]
    for file in files:
        look.say(f"Written: {file}")
    if shown:
        _show(drawings, look)
    return files


def _can_show() -> bool:
    has_toolkit = any(importlib.util.find_spec(name) for name in ("tkinter", "PyQt6", "PyQt5", "PySide6"))
    return has_screen() and has_toolkit and sys.stdout.isatty()


def _show(drawings: Drawing, look: Look) -> None:
    from matplotlib import pyplot

    for name, draw in drawings.items():
        draw(pyplot.figure(name, figsize=look.figsize, layout="constrained"))
    pyplot.show()
