"""All of a sequence of images at one glance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from rl_experiments.recording.composing import NARROWEST, tiled

T = TypeVar("T")
_MOST_IMAGES, _MOST_EPISODES, _FEWEST_OF_EACH, _COLUMNS = 40, 20, 2, 8


def contact_sheet(images: np.ndarray, read: Callable[[int, int], np.ndarray]) -> np.ndarray:
    """
    :param images: episode and step of each, in order, shape (n, 2), at least one
    :param read: gives the picture of an episode and a step, shape (height, width, 3), uint8
    :return: some of them, spread evenly over some of the episodes, small and labelled
    """
    starts = np.unique(images[:, 0], return_index=True)[1]
    episodes = _spread(np.split(images, np.sort(starts)[1:]), _MOST_EPISODES)
    of_each = max(_FEWEST_OF_EACH, _MOST_IMAGES // len(episodes))
    chosen = [(int(image[0]), int(image[1])) for episode in episodes for image in _spread(list(episode), of_each)]
    pictures = [_small(read(*image)) for image in chosen]
    alone = len(starts) == 1
    labels = [f"step {step}" if alone else f"episode {episode} step {step}" for episode, step in chosen]
    return tiled(pictures, labels, _COLUMNS)


def _spread(items: Sequence[T], count: int) -> list[T]:
    """:return: at most so many of the items, the first and the last among them"""
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def _small(picture: np.ndarray) -> np.ndarray:
    """:return: the picture, smaller by a whole factor where that leaves it readable"""
    factor = max(1, picture.shape[1] // NARROWEST)
    if factor == 1:
        return picture
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    blocks = picture[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    return blocks.mean(axis=(1, 3)).astype(np.uint8)
