"""What our studies keep beside what Optuna does: names of user attributes, of a study and of its trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna

from rl_experiments.config import grammar
from rl_experiments.config.hyperparameters import Hyperparameters

ALGORITHM, ENVIRONMENT = "algorithm", "environment"
"""Of a study: what it tunes."""
COMMAND, SETTINGS = "command", "settings"
"""Of a study: the command that began it, and what all of its trials have in common."""
HYPERPARAMETERS, SEED, SEEDS, FAILURE = "hyperparameters", "seed", "seeds", "failure"
"""Of a trial: what it was trained with, and why it failed."""
PROCESS, HEARTBEAT = "process", "heartbeat"
"""Of a trial: which process runs it, and when that was last heard of, in seconds since 1970."""
SCORES, CURVES, RUNS, SECONDS = "scores", "curves", "runs", "seconds"
"""Of a trial: the score, the evaluations and the run of each seed, and how long it took."""
RETRY_OF, RETRIES = "retry_of", "retries"
"""Of a trial: that it repeats one whose process was lost, and how often that was done."""
_CONFIRMATION = "confirmation_"


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """:return: hyperparameters as a study keeps them: those with names of classes as text"""
    return {name: grammar.to_text(value) if grammar.holds_symbol(value) else value for name, value in values.items()}


def from_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """:return: what :func:`as_json` was given"""
    hyperparameters = Hyperparameters(values, dict.fromkeys(values, "study"))
    return {name: hyperparameters.parsed(name) for name in hyperparameters}


def confirmations(study: optuna.Study) -> dict[int, dict[str, Any]]:
    """
    :return: by the number of the trial: ``scores`` and ``runs`` by seed, ``n_seeds``, ``score`` where it is done, and
        ``failure`` where it cannot be
    """
    attributes = study.user_attrs.items()
    return {
        int(name.removeprefix(_CONFIRMATION)): dict(value)
        for name, value in attributes
        if name.startswith(_CONFIRMATION)
    }


def keep_confirmation(study: optuna.Study, number: int, content: Mapping[str, Any]) -> None:
    """Write what is known of the confirmation of a trial."""
    study.set_user_attr(f"{_CONFIRMATION}{number}", dict(content))


def confirmed_scores(study: optuna.Study) -> dict[int, float]:
    """:return: the scores of trials that were confirmed, by number"""
    found = confirmations(study)
    return {number: float(content["score"]) for number, content in found.items() if content.get("score") is not None}
