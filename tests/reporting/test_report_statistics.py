"""Aggregates and intervals: against numbers by hand, and against rliable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rl_experiments.reporting.report import statistics
from rl_experiments.reporting.report.bootstrap import Bootstrap
from rl_experiments.reporting.report.curves import mean_curve, overall_curve
from rl_experiments.reporting.report.normalising import ScaleTable, built_in_table
from rl_experiments.reporting.report.reading import Curve

CLOSE = 1e-6


def _scores(n_runs: int = 10, n_environments: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.7, 0.5, size=(n_runs, n_environments))


def _columns(matrix: np.ndarray) -> list[np.ndarray]:
    return list(matrix.T)


def test_aggregates_by_hand() -> None:
    scores = [np.array([0.0, 1.0, 2.0, 3.0]), np.array([4.0, 4.0])]
    assert statistics.mean(scores) == (1.5 + 4.0) / 2
    assert statistics.median([*scores, np.array([10.0])]) == 4.0
    assert statistics.interquartile_mean(scores) == (1 + 2 + 3 + 4) / 4  # of six, one at each end goes
    assert statistics.optimality_gap(scores) == 1 - (0.75 + 1.0) / 2
    assert statistics.probability_of_improvement([scores[0]], [np.array([1.0, 5.0])]) == (0.5 + 1 + 1) / 8
    assert statistics.profile(scores, np.array([0.5, 3.5])).tolist() == [(0.75 + 1) / 2, (0 + 1) / 2]


def test_one_seed_has_no_interval() -> None:
    interval = Bootstrap(100).interval([np.array([3.0]), np.array([4.0])], statistics.mean)
    assert (interval.value, interval.low, interval.high) == (3.5, None, None)


@pytest.fixture
def rliable() -> Any:
    pytest.importorskip("rliable", reason="rliable is not installed")
    from rliable import library, metrics

    return library, metrics


@pytest.mark.parametrize("seed", range(3))
def test_point_estimates_agree_with_rliable(rliable: Any, seed: int) -> None:
    metrics = rliable[1]
    matrix, other = _scores(7 + seed, seed=seed), _scores(5, seed=seed + 10)
    other[:3, 0] = matrix[:3, 0]  # some are equal
    scores, others = _columns(matrix), _columns(other)
    for ours, theirs in (
        (statistics.mean, metrics.aggregate_mean),
        (statistics.median, metrics.aggregate_median),
        (statistics.interquartile_mean, metrics.aggregate_iqm),
        (statistics.optimality_gap, metrics.aggregate_optimality_gap),
    ):
        assert abs(ours(scores) - theirs(matrix)) < CLOSE
    ours_won = statistics.probability_of_improvement(scores, others)
    assert abs(ours_won - metrics.probability_of_improvement(matrix, other)) < CLOSE
    thresholds = np.linspace(-1, 2, 30)
    assert (
        np.abs(statistics.profile(scores, thresholds) - rliable[0].score_distributions(matrix, thresholds)).max()
        < CLOSE
    )


def test_intervals_agree_with_rliable_on_the_same_draws(rliable: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    library, metrics = rliable
    matrix, n = _scores(8, 4), 200
    bootstrap = Bootstrap(n, 0.9)
    drawn = bootstrap.draw(_columns(matrix))
    stacked = iter(np.stack(drawn, axis=-1))  # of each resample, runs by environments
    monkeypatch.setattr(np.random, "choice", lambda *args, **kwargs: next(stacked))
    functions = (
        metrics.aggregate_median,
        metrics.aggregate_iqm,
        metrics.aggregate_mean,
        metrics.aggregate_optimality_gap,
    )
    points, intervals = library.get_interval_estimates(
        {"a": matrix},
        lambda scores: np.array([function(scores) for function in functions]),
        reps=n,
        confidence_interval_size=0.9,
    )
    for index, estimate in enumerate(statistics.AGGREGATES.values()):
        ours = bootstrap.interval(_columns(matrix), estimate)
        assert (
            np.abs(np.array([ours.value, ours.low, ours.high]) - [points["a"][index], *intervals["a"][:, index]]).max()
            < CLOSE
        )


def test_intervals_of_improvement_and_profiles_agree_with_rliable(
    rliable: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, metrics = rliable
    matrix, other, n = _scores(6, 3), _scores(9, 3, seed=1), 150
    bootstrap = Bootstrap(n)
    draws = bootstrap.draw(_columns(matrix)), Bootstrap(n, seed=7).draw(_columns(other))
    given = iter([row for pair in zip(*(np.stack(side, axis=-1) for side in draws), strict=True) for row in pair])
    monkeypatch.setattr(np.random, "choice", lambda *args, **kwargs: next(given))
    points, intervals = library.get_interval_estimates(
        {"a": [matrix, other]}, lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), reps=n
    )
    ours = bootstrap.improvement(_columns(matrix), _columns(other), draws)
    assert np.abs(np.array([ours.value, ours.low, ours.high]) - [points["a"][0], *intervals["a"][:, 0]]).max() < CLOSE

    again = iter(np.stack(draws[0], axis=-1))
    monkeypatch.setattr(np.random, "choice", lambda *args, **kwargs: next(again))
    thresholds = np.linspace(0, 1, 11)
    _, expected = library.create_performance_profile({"a": matrix}, thresholds, reps=n)
    low, high = bootstrap.band(_columns(matrix), lambda scores: statistics.profile(scores, thresholds), draws[0])
    assert np.abs(np.stack([low, high]) - expected["a"]).max() < CLOSE


def test_a_mean_goes_on_while_half_of_the_runs_do() -> None:
    long = Curve(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    short = Curve(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    band = mean_curve([long, short, short], Bootstrap(50))
    assert band is not None
    assert band.x.tolist() == [1, 2]  # one of three is not half
    assert band.mean.tolist() == [7 / 3, 10 / 3]
    band = mean_curve([long, short], Bootstrap(50))
    assert band is not None
    assert (band.x.tolist(), band.n_runs.tolist()) == ([1, 2, 3, 4], [2, 2, 1, 1])
    assert np.isnan(band.low[-1])  # one run alone has no interval
    assert band.low[0] <= 2 <= band.high[0]


def test_sample_efficiency_over_trainings_of_unequal_length() -> None:
    ramp = np.linspace(0, 1, 11)
    curves = {"a": [Curve(ramp * 100, ramp)] * 3, "b": [Curve(ramp * 1000, ramp)] * 3}
    band = overall_curve(curves, {"a": 100.0, "b": 1000.0}, Bootstrap(50), in_steps=False)
    assert band is not None
    assert np.allclose(band.mean, band.x)


@pytest.mark.parametrize(
    ("environment", "random", "reference"),
    [
        ("SpaceInvadersNoFrameskip-v4", 148.0, 1668.7),
        ("ALE/MsPacman-v5", 307.3, 6951.6),
        ("Pong-ramDeterministic-v4", -20.7, 14.6),
        ("CartPole-v1", 23.7, 500.0),
        ("Hopper-v3", 16.7, 3754.2),
    ],
)
def test_scales_are_found_by_id_game_or_name(environment: str, random: float, reference: float) -> None:
    scale = built_in_table().find(environment)
    assert scale is not None
    assert (scale.random, scale.reference) == (random, reference)
    assert scale.of(reference) == 1.0


def test_the_table_has_all_57_games_and_no_other_environment() -> None:
    assert built_in_table().find("MyOwn-v0") is None
    games = built_in_table()._sections["atari"]
    assert len(games) == 57
    from ale_py import roms

    known = {name.replace("_", "") for name in roms.get_all_rom_ids()}
    assert {name.lower() for name in games} <= known


def test_a_table_of_ones_own_wins() -> None:
    own = built_in_table().updated(ScaleTable({"environments": {"CartPole-v1": [0, 100]}}, "own"))
    scale = own.find("CartPole-v1")
    assert scale is not None
    assert scale.of(50.0) == 0.5
