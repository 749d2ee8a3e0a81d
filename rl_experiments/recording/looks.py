"""How pictures look: their size and quality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint

QUALITIES = ("fast", "full")
LONGEST_SIDE = 4096
"""Pixels that players of videos can still show."""


@dataclass(frozen=True)
class Look:
    """
    :param size: how many times as large as the environment draws them, a whole number: each pixel becomes a square
    :param width: in pixels, for an environment that can draw in any size
    :param height: in pixels, for an environment that can draw in any size
    :param quality: ``fast`` (no antialiasing, shadows and reflections) or ``full``, for MuJoCo; if None, ``fast``
        where the CPU draws
    """

    size: int = 1
    width: int | None = None
    height: int | None = None
    quality: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise ConfigurationError(f"size must be a whole number of at least 1, but got {self.size!r}")
        for name, value in (("width", self.width), ("height", self.height)):
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or not 16 <= value <= LONGEST_SIDE
            ):
                raise ConfigurationError(f"{name} must be from 16 to {LONGEST_SIDE} pixels, but got {value!r}")
        if self.quality not in (None, *QUALITIES):
            near = hint(str(self.quality), QUALITIES)
            raise ConfigurationError(f"quality must be {' or '.join(QUALITIES)}, but got {self.quality!r}.{near}")

    @property
    def fast(self) -> bool | None:
        """Whether pictures are drawn fast; None is where the CPU draws."""
        return None if self.quality is None else self.quality == "fast"

    def check(self, picture: np.ndarray) -> None:
        """:raises ConfigurationError: if the environment did not draw in the size that was asked for"""
        height, width = picture.shape[:2]
        if (self.width or width, self.height or height) != (width, height):
            raise ConfigurationError(
                f"This environment draws pictures of {width}x{height} only: leave out width and height,"
                " or enlarge them by a whole factor with size"
            )

    def enlarged(self, picture: np.ndarray) -> np.ndarray:
        """
        :param picture: shape (height, width, 3)
        :return: the same, ``size`` times as large, without blur
        """
        if self.size == 1:
            return picture
        longest = self.size * max(picture.shape[:2])
        if longest > LONGEST_SIDE:
            most = LONGEST_SIDE // max(picture.shape[:2])
            shown = f"{picture.shape[1]}x{picture.shape[0]}"
            raise ConfigurationError(f"size {self.size} of pictures of {shown} is too large: {most} is the most")
        return np.asarray(picture.repeat(self.size, axis=0).repeat(self.size, axis=1))
