"""From evaluations to the score of a trial."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

Curve = list[tuple[int, float]]
"""Steps and mean return of each evaluation of a training."""


def score_of(objective: str, curve: Sequence[tuple[int, float]]) -> float:
    """
    :param objective: ``last``, ``best``, or ``auc``, the mean of evaluations that are spread evenly
    :param curve: not empty
    """
    means = [mean for _, mean in curve]
    if objective == "best":
        return max(means)
    return statistics.fmean(means) if objective == "auc" else means[-1]


def median_of(scores: Sequence[float]) -> float:
    """:return: the median over seeds; of an even number the mean of the two in the middle"""
    return float(statistics.median(scores))
