"""
Values that change over training: ``lin_0.001``, ``cos_0.001``, ``exp_0.001``, or a list of steps.

``lin_x`` goes linearly from x to 0, ``cos_x`` along half a cosine wave (Loshchilov and Hutter 2017, without restarts),
``exp_x``
exponentially from x to x/100. A second number is the final value: ``lin_0.001_0.0001``. ``[[0, 0.001], [0.5, 0.0001]]``
is 0.001 from the
beginning and 0.0001 from half of the training on. A Python configuration may also hold a function of the progress that
remains, from 1 to 0. No value may be below 0, except that a negative ``clip_range_vf`` means none, as in the zoo.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint

SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf", "delta_std")
"""Hyperparameters that may be a schedule."""

_KINDS = {"lin": "lin", "linear": "lin", "cos": "cos", "cosine": "cos", "exp": "exp", "exponential": "exp"}
_EXPONENTIAL_END = 0.01
_STORED_STEPS = 20


@dataclass(frozen=True)
class Schedule:
    """
    A value as a function of the progress that remains.

    :param kind: ``const``, ``lin``, ``cos``, ``exp`` or ``steps``
    :param start: value at the beginning
    :param end: value at the end
    :param steps: for ``steps``: (fraction of training done, value from there on), in order
    """

    kind: str
    start: float
    end: float
    steps: tuple[tuple[float, float], ...] = ()

    def __call__(self, progress_remaining: float) -> float:
        """
        :param progress_remaining: 1 at the beginning of training, 0 at its end
        """
        done = min(max(1.0 - progress_remaining, 0.0), 1.0)
        if self.kind == "lin":
            return self.start + done * (self.end - self.start)
        if self.kind == "cos":
            return self.end + 0.5 * (self.start - self.end) * (1.0 + math.cos(math.pi * done))
        if self.kind == "exp":
            return self.start * (self.end / self.start) ** done
        if self.kind == "steps":
            return [value for fraction, value in self.steps if fraction <= done][-1]
        return self.start


def parse_schedule(name: str, value: Any) -> Schedule | None:
    """
    :param name: the hyperparameter, for errors
    :param value: a number, a number as text, a schedule as text, or a list or mapping of steps
    :return: the schedule, or None for a negative ``clip_range_vf``, which means that nothing is clipped
    :raises ConfigurationError: if it is none of these, or goes below 0
    """
    schedule = _parse(name, value)
    if min(schedule.start, schedule.end, *(step for _, step in schedule.steps)) >= 0:
        return schedule
    if name == "clip_range_vf" and schedule.kind == "const":
        return None
    raise ConfigurationError(f"{name} must be at least 0, but got {value!r}")


def checked_function(name: str, function: Callable[[float], float]) -> Callable[[float], float]:
    """
    :param name: the hyperparameter, for errors
    :param function: of the progress that remains: 1 at the beginning of training, 0 at its end
    :return: the function
    :raises ConfigurationError: if it gives no numbers of at least 0
    """
    for progress in (1.0, 0.5, 0.0):
        try:
            value = function(progress)
        except Exception as error:
            raise ConfigurationError(
                f"{name}: the function fails for a remaining progress of {progress}: {type(error).__name__}: {error}"
            ) from error
        if (number := _float(value)) is None or number < 0:
            raise ConfigurationError(
                f"{name}: the function gives {value!r} for a remaining progress of {progress}. Expected a number of at"
                " least 0"
            )
    return function


def as_written(value: Any) -> Any:
    """:return: what a configuration file can hold of a schedule: of a function, its values as steps"""
    if not callable(value):
        return value
    return [
        [round(step / _STORED_STEPS, 2), float(value(1.0 - step / _STORED_STEPS))] for step in range(_STORED_STEPS + 1)
    ]


def _parse(name: str, value: Any) -> Schedule:
    if isinstance(value, bool):
        raise ConfigurationError(f"{name}: {value!r} is no number and no schedule")
    if isinstance(value, (int, float)) and math.isfinite(value):
        return Schedule("const", float(value), float(value))
    if isinstance(value, str):
        return _from_text(name, value.strip())
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, Sequence) and value:
        return _from_steps(name, value)
    raise ConfigurationError(
        f"{name}: {value!r} is no number and no schedule. Expected 0.001, lin_0.001, cos_0.001, exp_0.001 or steps"
    )


def _from_text(name: str, text: str) -> Schedule:
    number = _float(text)
    if number is not None:
        return Schedule("const", number, number)
    word, _, rest = text.partition("_")
    numbers = [_float(part) for part in rest.split("_")]
    if word not in _KINDS:
        raise ConfigurationError(f"{name}: there is no schedule '{word}' in '{text}'.{hint(word, _KINDS)}")
    if not 1 <= len(numbers) <= 2 or any(part is None for part in numbers):
        raise ConfigurationError(
            f"{name}: '{text}' is no schedule. Expected {word}_START or {word}_START_END with numbers"
        )
    kind, start = _KINDS[word], float(numbers[0] or 0.0)
    end = numbers[1] if len(numbers) == 2 else (_EXPONENTIAL_END * start if kind == "exp" else 0.0)
    if kind == "exp" and (start <= 0 or not end or end <= 0):
        raise ConfigurationError(f"{name}: '{text}' needs a start and an end above 0")
    return Schedule(kind, start, float(end or 0.0))


def _from_steps(name: str, value: Sequence[Any]) -> Schedule:
    steps = []
    for pair in value:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise ConfigurationError(f"{name}: {pair!r} is no step. Expected [fraction of training done, value]")
        fraction, number = _float(pair[0]), _float(pair[1])
        if fraction is None or number is None or not 0 <= fraction <= 1:
            raise ConfigurationError(f"{name}: {pair!r} is no step. Expected [a fraction from 0 to 1, a number]")
        steps.append((fraction, number))
    steps.sort()
    if steps[0][0] != 0.0:
        raise ConfigurationError(f"{name}: the first step must begin at 0, but got {steps[0][0]}")
    return Schedule("steps", steps[0][1], steps[-1][1], tuple(steps))


def _float(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None
