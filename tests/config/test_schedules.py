"""Values that change over training."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest

from rl_experiments.config.schedules import Schedule, as_written, checked_function, parse_schedule
from rl_experiments.core.errors import ConfigurationError

AT = (1.0, 0.5, 0.0)
"""Beginning, half and end of training."""
CURVES: dict[str, tuple[Any, tuple[float, float, float]]] = {
    "number": (0.4, (0.4, 0.4, 0.4)),
    "zero": (0, (0, 0, 0)),
    "number-as-text": ("1e-3", (0.001, 0.001, 0.001)),
    "lin": ("lin_0.4", (0.4, 0.2, 0.0)),
    "linear": ("linear_0.4", (0.4, 0.2, 0.0)),
    "lin-exponent": ("lin_1e-3", (0.001, 0.0005, 0.0)),
    "lin-end": ("lin_0.4_0.2", (0.4, 0.3, 0.2)),
    "lin-up": ("lin_0.2_0.4", (0.2, 0.3, 0.4)),
    "cos": ("cos_0.4", (0.4, 0.2, 0.0)),
    "cos-end": ("cos_0.4_0.2", (0.4, 0.3, 0.2)),
    "exp": ("exp_0.4", (0.4, 0.04, 0.004)),
    "exp-end": ("exp_0.4_0.1", (0.4, 0.2, 0.1)),
    "steps": ([[0, 0.3], [0.5, 0.2], [0.75, 0.1]], (0.3, 0.2, 0.1)),
    "steps-unordered": ([[0.75, 0.1], [0, 0.3]], (0.3, 0.3, 0.1)),
    "steps-mapping": ({0: 0.3, 0.6: 0.1}, (0.3, 0.3, 0.1)),
    "steps-text-numbers": ([["0", "3e-1"]], (0.3, 0.3, 0.3)),
}


@pytest.mark.parametrize("name", CURVES)
def test_a_schedule_has_the_values_that_its_name_says(name: str) -> None:
    written, values = CURVES[name]
    schedule = parse_schedule("learning_rate", written)
    assert schedule is not None
    assert [schedule(progress) for progress in AT] == pytest.approx(values, abs=1e-12)


def test_cosine_is_not_linear() -> None:
    schedule = parse_schedule("learning_rate", "cos_1.0")
    assert schedule is not None
    assert schedule(0.75) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_a_step_begins_exactly_at_its_fraction() -> None:
    schedule = parse_schedule("x", [[0, 1.0], [0.5, 2.0]])
    assert schedule is not None
    assert (schedule(0.5000001), schedule(0.5)) == (1.0, 2.0)


def test_progress_beyond_the_ends_stays_at_the_ends() -> None:
    schedule = parse_schedule("x", "lin_0.4")
    assert schedule is not None
    assert (schedule(1.2), schedule(-0.2)) == (0.4, 0.0)


@pytest.mark.parametrize("value", [-1, -0.5, "-1"])
def test_a_negative_number_leaves_the_value_alone(value: Any) -> None:
    assert parse_schedule("clip_range_vf", value) is None


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        "linn_0.1",
        "lin",
        "lin_",
        "lin_x",
        "lin_1_2_3",
        "lin_nan",
        "exp_0",
        "exp_0.1_0",
        "nan",
        "inf",
        "",
        [],
        {},
        [1],
        [[0.1, 2]],
        [[0, 1, 2]],
        [[0, "x"]],
        [[0, 1], [1.5, 2]],
        b"1",
    ],
    ids=repr,
)
def test_what_is_no_schedule_is_an_error_with_its_name(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="learning_rate"):
        parse_schedule("learning_rate", value)


def test_a_schedule_can_be_stored_with_a_model() -> None:
    schedule = Schedule("cos", 1.0, 0.1)
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_a_function_is_stored_as_its_values() -> None:
    steps = as_written(lambda progress: 2 * progress)
    assert steps[0] == [0.0, 2.0]
    assert steps[-1] == [1.0, 0.0]
    schedule = parse_schedule("learning_rate", steps)
    assert schedule is not None
    assert schedule(0.5) == pytest.approx(1.0)
    assert as_written("lin_0.1") == "lin_0.1"


@pytest.mark.parametrize(
    "function", [lambda: 1.0, lambda p: -p, lambda p: "x", lambda p: 1 / p, lambda p: float("nan")]
)
def test_a_function_that_gives_no_numbers_is_an_error_with_its_name(function: Any) -> None:
    with pytest.raises(ConfigurationError, match="learning_rate"):
        checked_function("learning_rate", function)


@pytest.mark.parametrize("value", [-1, "-0.1", "lin_-1", "lin_1_-1", [[0, 1], [0.5, -1]]])
@pytest.mark.parametrize("name", ["learning_rate", "clip_range", "delta_std"])
def test_nothing_else_may_be_negative(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be at least 0"):
        parse_schedule(name, value)
