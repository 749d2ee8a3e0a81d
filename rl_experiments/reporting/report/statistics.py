"""
Point estimates over runs and environments, after Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the
Statistical Precipice" (https://arxiv.org/abs/2108.13264).

Scores are one array for each environment, whose last axis holds the runs; there may be more runs of one environment
than of another. Axes before it, such as those of a bootstrap, stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

_CUT = 0.25
"""Share of the scores that the interquartile mean leaves out at each end."""

Scores = Sequence[np.ndarray]


def mean(scores: Scores) -> np.ndarray:
    """:return: the mean over environments of the mean over runs"""
    return _of_environments(scores).mean(axis=-1)


def median(scores: Scores) -> np.ndarray:
    """:return: the median over environments of the mean over runs"""
    return np.median(_of_environments(scores), axis=-1)


def interquartile_mean(scores: Scores) -> np.ndarray:
    """:return: the mean of the middle half of all runs in all environments"""
    together = np.concatenate(list(scores), axis=-1)
    n = together.shape[-1]
    cut = int(_CUT * n)
    ordered = np.partition(together, (cut, n - cut - 1), axis=-1)
    return ordered[..., cut : n - cut].mean(axis=-1)


def optimality_gap(scores: Scores, target: float = 1.0) -> np.ndarray:
    """:return: by how much runs miss the target on average; what lies above it counts as reaching it"""
    return target - mean([np.minimum(of_one, target) for of_one in scores])


def profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """
    :param thresholds: ascending
    :return: the share of runs whose score is above each threshold, every environment with the same weight; shape
        ``(..., thresholds)``
    """
    return np.mean([(of_one[..., None] > thresholds).mean(axis=-2) for of_one in scores], axis=0)


def wins(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """:return: for each pair of runs 1 where ours is better, 0.5 where they are equal; shape ``(ours, theirs)``"""
    difference = ours[:, None] - theirs[None, :]
    return (difference > 0) + 0.5 * (difference == 0)


def probability_of_improvement(ours: Scores, theirs: Scores) -> float:
    """:return: how probable it is that a run of ours beats one of theirs (Mann and Whitney 1947)"""
    return float(np.mean([wins(*pair).mean() for pair in zip(ours, theirs, strict=True)]))


def _of_environments(scores: Scores) -> np.ndarray:
    return np.stack([of_one.mean(axis=-1) for of_one in scores], axis=-1)


AGGREGATES: dict[str, Callable[[Scores], np.ndarray]] = {
    "median": median,
    "iqm": interquartile_mean,
    "mean": mean,
    "optimality_gap": optimality_gap,
}
"""By their names in files."""
