"""Conditions on runs: ``algo=ppo,a2c``, ``env=*NoFrameskip*``, ``seed<5``, ``learning_rate=0.001``."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.names import folder_name
from rl_experiments.core.suggest import hint
from rl_experiments.reporting.report.reading import RunData

_CONDITION = re.compile(r"(?P<field>[A-Za-z_]\w*)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.+)", re.DOTALL)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FIELDS: dict[str, Callable[[RunData], Any]] = {
    "algo": lambda run: run.algorithm,
    "algorithm": lambda run: run.algorithm,
    "env": lambda run: run.environment,
    "environment": lambda run: run.environment,
    "run": lambda run: run.listed.number,
    "seed": lambda run: run.seed,
    "state": lambda run: run.listed.state,
    "steps": lambda run: run.steps,
    "score": lambda run: run.score,
    "folder": lambda run: run.source,
}


@dataclass(frozen=True)
class Condition:
    """
    :param field: what of a run it is on: a name of ours, or a hyperparameter
    :param sign: ``=``, ``!=`` (one of several values, with ``*`` for any text), ``<``, ``<=``, ``>`` or ``>=``
    :param values: what it is compared with
    """

    field: str
    sign: str
    values: tuple[str, ...]

    def __call__(self, run: RunData) -> bool:
        """Whether a run fulfils it; a run without such a hyperparameter fulfils only ``!=``."""
        known = _FIELDS.get(self.field)
        value = known(run) if known else run.hyperparameters.get(self.field)
        if self.sign in _ORDER:
            number = _number(value)
            return number is not None and _ORDER[self.sign](number, float(self.values[0]))
        found = value is not None and any(_equals(value, text, self.field) for text in self.values)
        return found if self.sign == "=" else not found


def parse_condition(text: str) -> Condition:
    """
    :raises ConfigurationError: if it is none
    """
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(
            f"'{text}' is no condition. Expected such as algo=ppo, env=Cart*, seed<5, state!=failed"
        )
    values = tuple(part.strip() for part in match["value"].split(","))
    if match["sign"] in _ORDER and (len(values) != 1 or _number(values[0]) is None):
        raise ConfigurationError(f"'{text}': {match['sign']} needs one number, but got '{match['value']}'")
    return Condition(match["field"], match["sign"], values)


def select(runs: Iterable[RunData], conditions: Iterable[Condition]) -> list[RunData]:
    """
    :return: the runs that fulfil all conditions
    :raises ConfigurationError: if no run has what a condition is on; the message names the nearest
    """
    chosen = list(runs)
    for condition in conditions:
        if condition.field not in _FIELDS and not any(condition.field in run.hyperparameters for run in chosen):
            names = {*_FIELDS, *(name for run in chosen for name in run.hyperparameters)}
            raise ConfigurationError(f"No run has '{condition.field}'.{hint(condition.field, names)}")
        kept = [run for run in chosen if condition(run)]
        if not kept and chosen:
            raise ConfigurationError(_nothing_left(condition, chosen))
        chosen = kept
    return chosen


def _nothing_left(condition: Condition, runs: list[RunData]) -> str:
    text = f"No run fulfils {condition.field}{condition.sign}{','.join(condition.values)}."
    known = _FIELDS.get(condition.field)
    there = {str(known(run) if known else run.hyperparameters.get(condition.field)) for run in runs}
    return text + hint(condition.values[0], there) if condition.sign == "=" else text


def _equals(value: Any, text: str, field: str) -> bool:
    numbers = _number(value), _number(text)
    if None not in numbers:
        return numbers[0] == numbers[1]
    pattern = text.lower()
    candidates = [str(value)]
    if field in ("env", "environment"):
        candidates.append(folder_name(str(value)))
    return any(fnmatch.fnmatchcase(candidate.lower(), pattern) for candidate in candidates)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
