"""From evaluations to scores, and from scores of seeds to a decision."""

from __future__ import annotations

import itertools

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from rl_experiments.tuning.objectives import median_of, score_of
from rl_experiments.tuning.planning import usual_evaluations
from rl_experiments.tuning.searching import make_pruner
from rl_experiments.tuning.wilcoxon import chance_of_being_worse


def test_objectives() -> None:
    curve = [(10, 1.0), (20, 6.0), (30, 2.0)]
    assert [score_of(name, curve) for name in ("last", "best", "auc")] == [2.0, 6.0, 3.0]
    assert (median_of([5.0, 1.0, 2.0]), median_of([1.0, 2.0])) == (2.0, 1.5)


def test_pruning_has_something_to_look_at() -> None:
    found = {steps: usual_evaluations(steps) for steps in (64, 4_000, 20_000, 150_000, 1_000_000, 10_000_000)}
    assert found == {64: 1, 4_000: 2, 20_000: 10, 150_000: 10, 1_000_000: 10, 10_000_000: 100}


@pytest.mark.parametrize("differences", [[-1.0, 2.0, -3.5, -4.0], [-1.0, -1.0, 1.0, -2.0], [0.0, -2.0, 3.0], [-5.0]])
def test_the_signed_rank_test_against_all_signs(differences: list[float]) -> None:
    """By its definition: all ways to give the ranks signs, each as likely as the others."""
    told = [it for it in differences if it]
    ordered = sorted(abs(it) for it in told)
    ranks = [sum(i + 1 for i, size in enumerate(ordered) if size == abs(it)) / ordered.count(abs(it)) for it in told]
    positive = sum(rank for rank, it in zip(ranks, told, strict=True) if it > 0)
    sums = [
        sum(rank for rank, up in zip(ranks, ups, strict=True) if up)
        for ups in itertools.product((False, True), repeat=len(told))
    ]
    expected = sum(total <= positive for total in sums) / len(sums)
    assert chance_of_being_worse(differences) == pytest.approx(expected)


def test_wilcoxon_ends_a_trial_after_four_seeds() -> None:
    study = optuna.create_study(direction="maximize", pruner=make_pruner("wilcoxon", 1, 1, 6))
    values = {place: 10.0 + place for place in range(1, 7)}
    study.add_trial(create_trial(state=TrialState.COMPLETE, value=13.5, intermediate_values=values))
    worse, better = study.ask(), study.ask()
    told = []
    for place in range(1, 6):
        worse.report(5.0 + place, place)
        better.report(11.0 + place, place)
        told.append((worse.should_prune(), better.should_prune()))
    assert told == [(False, False)] * 3 + [(True, False)] * 2
