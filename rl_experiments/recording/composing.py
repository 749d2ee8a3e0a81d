"""Text on pictures, and several pictures in one: labels, bars of text, tiles."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

NARROWEST = 160
"""Width in pixels below which no text can be read: narrower pictures get margins."""
_SMALLEST_FONT, _LARGEST_FONT, _WIDTH_PER_POINT = 11, 26, 34
_GAP = 4
"""Pixels between tiles."""
_PAPER, _INK = (24, 24, 24), (255, 255, 255)


def labelled(picture: np.ndarray, text: str) -> np.ndarray:
    """
    Put a line of text above a picture; what does not fit is cut off.

    :param picture: shape (height, width, 3), uint8
    :return: a higher picture, and a wider one if it was narrower than :data:`NARROWEST`; both sizes are even
    """
    picture = _at_least_wide(picture)
    return even(np.concatenate([strip(text, picture.shape[1]), picture]))


def with_rows(picture: np.ndarray, rows: Sequence[str]) -> np.ndarray:
    """
    Put lines of text below a picture; what does not fit is cut off.

    :param picture: shape (height, width, 3), uint8
    :return: as of :func:`labelled`
    """
    picture = _at_least_wide(picture)
    return even(np.concatenate([picture, *(strip(row, picture.shape[1]) for row in rows)]))


def tiled(pictures: Sequence[np.ndarray], labels: Sequence[str] = (), columns: int | None = None) -> np.ndarray:
    """
    Put pictures side by side, each in a cell as large as the largest.

    The size depends on the sizes and the number of the pictures alone, not on the labels, so that it stays the same
    through a video.

    :param pictures: at least one, each of shape (height, width, 3), uint8; sizes may differ
    :param labels: a text above each; none if empty
    :param columns: pictures in a row; if None, so many that the whole is about square
    :return: shape (height, width, 3), uint8; both sizes are even
    """
    if labels and len(labels) != len(pictures):
        raise ValueError(f"{len(pictures)} pictures need as many labels, but got {len(labels)}")
    if not pictures:
        raise ValueError("there are no pictures to put side by side")
    height = max(picture.shape[0] for picture in pictures)
    width = max(picture.shape[1] for picture in pictures)
    width = max(width, NARROWEST) if labels else width
    columns = min(columns or columns_for(len(pictures), width, height), len(pictures))
    letters = max(width, columns * width * 2 // 5)  # they can still be read when the whole is made as small as a GIF
    above = strip("", width, letters).shape[0] if labels else 0
    rows = math.ceil(len(pictures) / columns)
    cell_height, cell_width = above + height + _GAP, width + _GAP
    canvas = np.zeros((rows * cell_height - _GAP, columns * cell_width - _GAP, 3), np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * cell_height, index % columns * cell_width
        if labels:
            canvas[top : top + above, left : left + width] = strip(labels[index], width, letters)
        down = top + above + (height - picture.shape[0]) // 2
        across = left + (width - picture.shape[1]) // 2
        canvas[down : down + picture.shape[0], across : across + picture.shape[1]] = picture
    return even(canvas)


def dimmed(picture: np.ndarray) -> np.ndarray:
    """:return: the picture at half its brightness, as of an episode that is over"""
    return picture >> 1


def even(picture: np.ndarray) -> np.ndarray:
    """:return: the picture with its last row and column repeated where a size is odd, as encoders need it"""
    height, width = picture.shape[:2]
    if height % 2 == width % 2 == 0:
        return picture
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


@functools.lru_cache(maxsize=512)
def strip(text: str, width: int, letters: int | None = None) -> np.ndarray:
    """
    :param text: parts between tabs stand in columns of the same width
    :param width: in pixels; with it grow the letters
    :param letters: the width that they grow with, if it is another
    :return: one line of text, shape (height, width, 3), uint8; its height depends on the widths alone
    """
    from PIL import Image, ImageDraw

    font, height = _font(letters or width)
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    margin = max(2, height // 5)
    parts = text.split("\t")
    column = (width - margin) // len(parts)
    for index, part in enumerate(parts):
        place = (margin + index * column, height // 2)
        draw.text(place, _fitting(part, font, column - margin), _INK, font, anchor="lm")
    drawn = np.asarray(image)
    drawn.flags.writeable = False
    return drawn


def characters_in(width: int) -> int:
    """:return: how many characters of middling width a line of text holds at a width in pixels"""
    font, height = _font(width)
    return int((width - 2 * max(2, height // 5)) // (font.getlength("return -0.123456") / 16))


@functools.lru_cache(maxsize=16)
def _font(width: int) -> tuple[Any, int]:
    """:return: Pillow's own font, which needs no file, and the height of a line"""
    from PIL import ImageFont

    size = min(_LARGEST_FONT, max(_SMALLEST_FONT, width // _WIDTH_PER_POINT))
    font: Any = ImageFont.load_default(size)
    return font, math.ceil(size * 1.4) // 2 * 2


def _fitting(text: str, font: Any, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _at_least_wide(picture: np.ndarray) -> np.ndarray:
    missing = NARROWEST - picture.shape[1]
    if missing <= 0:
        return picture
    return np.pad(picture, ((0, 0), (missing // 2, missing - missing // 2), (0, 0)))


def columns_for(count: int, width: int, height: int, shape: float = 1.0) -> int:
    """
    :param width: of one of so many pictures
    :param shape: wished-for width of the whole for its height
    :return: pictures in a row that come near to it, with few empty places
    """

    def unevenness(columns: int) -> float:
        rows = math.ceil(count / columns)
        empty = 1 - count / (rows * columns)
        return abs(math.log(columns * width / (rows * height) / shape)) + 1.5 * empty

    return min(range(1, count + 1), key=lambda columns: (unevenness(columns), -columns))
