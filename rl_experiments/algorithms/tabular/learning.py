"""
What both learners have in common: the state of a training between two episodes, and the episodes that were played.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class LearnerState:
    """
    All that a training needs to go on, between two episodes.

    :param values: the tables, shape (2, observations, actions)
    :param episode: episodes that were played
    :param steps: steps that were made
    :param generator: state of the random numbers, plain values
    """

    values: np.ndarray
    episode: int
    steps: int
    generator: Any


@dataclass(frozen=True)
class Episodes:
    """
    Training episodes, in the order in which they were played.

    :param returns: sums of rewards
    :param lengths: in steps
    """

    returns: np.ndarray
    lengths: np.ndarray


class Learner(Protocol):
    """Fills a table by playing episodes."""

    name: str
    """``stepping`` or ``compiled``: the same experiment, with other random numbers."""
    episode: int
    steps: int

    def advance(self, most_steps: int) -> Episodes:
        """
        Play whole episodes until the budget is spent, or until so many steps are exceeded.

        :param most_steps: counted from the beginning of the training; at least one episode is played
        """
        ...

    def state(self) -> LearnerState:
        """:return: a copy of the state"""
        ...

    def restore(self, state: LearnerState) -> None:
        """Go on from a state."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...
