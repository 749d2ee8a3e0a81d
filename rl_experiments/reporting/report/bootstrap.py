"""Intervals by the stratified bootstrap: runs are drawn anew, with replacement, within each environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rl_experiments.reporting.report.statistics import Scores, wins

_ELEMENTS = 4_000_000
"""Scores in memory at once."""


@dataclass(frozen=True)
class Interval:
    """
    :param value: the point estimate
    :param low: lower end
    :param high: upper end; both are None where there are too few runs to tell
    """

    value: float
    low: float | None = None
    high: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """:return: ready for JSON"""
        return {"value": self.value, "low": self.low, "high": self.high}


class Bootstrap:
    """
    :param n_resamples: how often runs are drawn anew
    :param confidence: share of the resamples within an interval
    :param seed: of the draws
    """

    def __init__(self, n_resamples: int = 2000, confidence: float = 0.95, seed: int = 0) -> None:
        self.n_resamples, self.confidence, self.seed = n_resamples, confidence, seed

    def draw(self, scores: Scores) -> list[np.ndarray]:
        """:return: for each environment the drawn runs, shape ``(resamples, runs)``; the same for the same sizes"""
        generator = np.random.default_rng(self.seed)
        return [generator.integers(len(of_one), size=(self.n_resamples, len(of_one))) for of_one in scores]

    def interval(
        self, scores: Scores, estimate: Callable[[Scores], np.ndarray], indices: Sequence[np.ndarray] | None = None
    ) -> Interval:
        """
        :param estimate: of :mod:`rl_experiments.reporting.report.statistics`
        :param indices: the draws, in place of :meth:`draw`
        :return: the estimate and its percentile interval
        """
        low, high = self.band(scores, estimate, indices)
        ends = (None, None) if low is None or high is None else (float(low), float(high))
        return Interval(float(estimate(scores)), *ends)

    def band(
        self, scores: Scores, estimate: Callable[[Scores], np.ndarray], indices: Sequence[np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
        """:return: the ends of the intervals of an estimate of any shape, None where no environment has two runs"""
        if not can_tell(scores):
            return None, None
        drawn = self.draw(scores) if indices is None else indices
        n_at_once = max(1, _ELEMENTS // max(1, sum(map(len, scores))))
        parts = [
            estimate(
                [
                    of_one[drawn_of_one[start : start + n_at_once]]
                    for of_one, drawn_of_one in zip(scores, drawn, strict=True)
                ]
            )
            for start in range(0, len(drawn[0]), n_at_once)
        ]
        return self.ends(np.concatenate(parts))

    def ends(self, resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """:return: the percentiles of estimates, whose first axis is that of the resamples"""
        outside = 100 * (1 - self.confidence) / 2
        low, high = np.percentile(resampled, [outside, 100 - outside], axis=0)
        return low, high

    def improvement(
        self,
        ours: Scores,
        theirs: Scores,
        indices: tuple[Sequence[np.ndarray], Sequence[np.ndarray]] | None = None,
    ) -> Interval:
        """
        :param indices: the draws of both sides, which are independent
        :return: the probability of improvement of ours over theirs
        """
        compared = [wins(*pair) for pair in zip(ours, theirs, strict=True)]
        value = float(np.mean([of_one.mean() for of_one in compared]))
        if not can_tell(ours) or not can_tell(theirs):
            return Interval(value)
        drawn, others = indices or (self.draw(ours), Bootstrap(self.n_resamples, seed=self.seed + 1).draw(theirs))
        resampled = [
            (np.einsum("bi,ij->bj", _shares(mine, len(of_one)), of_one) * _shares(other, of_one.shape[1])).sum(axis=1)
            for of_one, mine, other in zip(compared, drawn, others, strict=True)
        ]
        low, high = self.ends(np.clip(np.mean(resampled, axis=0), 0.0, 1.0))
        return Interval(value, float(low), float(high))


def can_tell(scores: Scores) -> bool:
    """Whether there are runs enough for an interval: with one of each environment, all resamples are equal."""
    return all(len(of_one) > 0 for of_one in scores) and any(len(of_one) > 1 for of_one in scores)


def _shares(drawn: np.ndarray, n_runs: int) -> np.ndarray:
    """:return: how large a part of each resample each run is, shape ``(resamples, runs)``"""
    counts = np.zeros((len(drawn), n_runs))
    np.add.at(counts, (np.arange(len(drawn))[:, None], drawn), 1.0)
    return counts / drawn.shape[1]
