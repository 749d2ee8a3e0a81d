"""
Ending a trial after some of its seeds, where the best trial was better with the same seeds.

The signed-rank test of Wilcoxon (1945), with its exact distribution, which so few seeds allow.
"""

from __future__ import annotations

from collections.abc import Sequence

from optuna import Study
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

LARGEST_CHANCE = 0.1
"""A trial goes if it would look so bad with at most this probability although it is as good as the best."""
FEWEST_SEEDS = 5
"""Four pairs are the fewest whose test can get below that; a fifth seed is then saved."""


class SeedPruner(BasePruner):
    """
    Compares the scores of a trial with those of the best trial, seed by seed.

    :param n_startup_trials: so many trials are completed before any is ended early
    """

    def __init__(self, n_startup_trials: int) -> None:
        self._n_startup_trials = n_startup_trials

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """:return: whether the trial is worse; its intermediate values are scores by the place of the seed"""
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not done or len(done) < self._n_startup_trials:
            return False
        best = max(done, key=lambda other: float(other.value or 0.0)).intermediate_values
        shared = sorted(set(best) & set(trial.intermediate_values))
        differences = [trial.intermediate_values[place] - best[place] for place in shared]
        return chance_of_being_worse(differences) <= LARGEST_CHANCE and sum(differences) < 0


def chance_of_being_worse(differences: Sequence[float]) -> float:
    """
    :param differences: of pairs; those that are 0 say nothing
    :return: the probability that they would sum up to ranks as low as these, if either sign were as likely
    """
    told = [difference for difference in differences if difference != 0]
    # Doubled, so that the mean ranks of ties are whole numbers too.
    sizes = sorted(abs(difference) for difference in told)
    ranks = [2 * sizes.index(abs(it)) + sizes.count(abs(it)) + 1 for it in told]
    positive = sum(rank for rank, difference in zip(ranks, told, strict=True) if difference > 0)
    ways = {0: 1}
    for rank in ranks:
        longer = dict(ways)
        for total, count in ways.items():
            longer[total + rank] = longer.get(total + rank, 0) + count
        ways = longer
    return sum(count for total, count in ways.items() if total <= positive) / 2 ** len(told)
