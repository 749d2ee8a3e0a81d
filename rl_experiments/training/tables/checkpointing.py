"""Checkpoints of a training with a table: everything that it needs to go on, between two episodes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rl_experiments.algorithms.tabular.learning import Learner, LearnerState
from rl_experiments.algorithms.tabular.table import Table, load_table, save_table
from rl_experiments.runs import Run, checkpoints
from rl_experiments.runs.checkpoints import Checkpoint
from rl_experiments.runs.folder import MODEL
from rl_experiments.training.due import Due
from rl_experiments.training.early_stopping import StoppingRules
from rl_experiments.training.stopping import to_stderr
from rl_experiments.training.tables.evaluating import TableEvaluations

_EVALUATIONS = "evaluations.npz"
_SECONDS = 10.0
"""Between two checkpoints, where nothing else is asked for: each takes some milliseconds, and loses at most so much."""
_STOPPING = ("best_mean_reward", "n_without_improvement", "seconds_used")


class TableCheckpoints:
    """
    Writes checkpoints, and puts a training back to one.

    :param run: where they go
    :param learner: what fills the table
    :param evaluations: of the training
    :param stopping: what may end it early
    :param dues: named schedules whose progress belongs to the state
    :param facts: plain values that go with the table
    :param seconds: between two checkpoints
    """

    def __init__(
        self,
        run: Run,
        learner: Learner,
        evaluations: TableEvaluations,
        stopping: StoppingRules,
        dues: Mapping[str, Due],
        facts: Mapping[str, Any],
        seconds: float | None,
    ) -> None:
        self._run = run
        self._learner = learner
        self._evaluations = evaluations
        self._stopping = stopping
        self._dues = dues
        self._facts = dict(facts)
        self._seconds = _SECONDS if seconds is None else seconds
        self._written_at, self._written_steps = time.monotonic(), 0

    @property
    def is_due(self) -> bool:
        """Whether so much time has passed that one should be written."""
        return time.monotonic() - self._written_at >= self._seconds

    def write(self, monitor_size: int) -> None:
        """
        Write one; a full disk costs no more than this checkpoint.

        :param monitor_size: bytes of the episode log so far
        """
        state = self._learner.state()
        if state.steps == self._written_steps:
            return
        scores = self._evaluations.scores

        def fill(folder: Path) -> Mapping[str, Any]:
            save_table(Table(state.values, {**self._facts, **self._state_facts(state)}), folder / MODEL)
            np.savez(folder / _EVALUATIONS, **self._evaluations.arrays())
            return {"score": scores.get("last_mean_reward"), "monitors": {"0.monitor.csv": monitor_size}}

        try:
            checkpoints.write(self._run, state.steps, fill)
            checkpoints.prune(self._run)
        except OSError as error:
            to_stderr(f"The checkpoint at {state.steps} steps could not be written: {error.strerror or error}")
        self._written_at, self._written_steps = time.monotonic(), state.steps

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put the learner, the evaluations and the schedules back; later checkpoints go."""
        table = load_table(checkpoint.file(MODEL))
        facts = table.facts
        self._learner.restore(LearnerState(table.values, facts["episode"], facts["steps"], facts["generator"]))
        with np.load(checkpoint.file(_EVALUATIONS), allow_pickle=False) as content:
            best = facts["best_mean_reward"]
            self._evaluations.restore(dict(content), -np.inf if best is None else best)
        for name, value in facts["stopping"].items():
            setattr(self._stopping, name, -np.inf if value is None else value)
        for name, due in self._dues.items():
            due.last = facts["dues"][name]
        self._written_steps = checkpoint.steps
        checkpoints.begin_from(self._run, checkpoint)

    def _state_facts(self, state: LearnerState) -> dict[str, Any]:
        return {
            "episode": state.episode,
            "steps": state.steps,
            "generator": state.generator,
            "learner": self._learner.name,
            "best_mean_reward": _or_none(self._evaluations.best_mean_reward),
            "stopping": {name: _or_none(getattr(self._stopping, name)) for name in _STOPPING},
            "dues": {name: due.last for name, due in self._dues.items()},
        }


def _or_none(value: float) -> float | None:
    """JSON has no infinite numbers."""
    return value if np.isfinite(value) else None
