"""
Checkpoints of a training with Brax: a policy at each evaluation, and beside the latest what training goes on from.

A policy is small and stays, the state of thousands of environments is neither. Older folders keep their policy, and
their manifest tells that it is all they have.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from rl_experiments.algorithms.brax.policy import Policy, state_dicts, write_policy
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.evaluation import Evaluation
from rl_experiments.runs import Run, checkpoints
from rl_experiments.runs.checkpoints import Checkpoint
from rl_experiments.runs.folder import MODEL
from rl_experiments.training.brax.learner import BraxLearner, LearnerState
from rl_experiments.training.brax.preparation import PreparedBrax
from rl_experiments.training.evaluations import EvaluationLog
from rl_experiments.training.stopping import to_stderr

STATE = "state.msgpack"


class BraxCheckpoints:
    """
    :param run: where they go
    :param evaluations: of the training
    :param keep_last: so many of the last stay, and the best; all if None
    """

    def __init__(self, run: Run, evaluations: EvaluationLog, keep_last: int | None) -> None:
        self._run = run
        self._evaluations = evaluations
        self._keep_last = keep_last
        self.seconds = 0.0
        self.written_at = time.monotonic()

    def write(
        self, policy: Policy, state: LearnerState, steps: int, counters: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> bool:
        """
        Write one; a full disk costs no more than this checkpoint.

        :param counters: what training goes on from beside the state, plain values
        :param facts: what the manifest tells
        :return: whether it is there
        """
        began = time.perf_counter()

        def fill(folder: Path) -> Mapping[str, Any]:
            write_policy(policy, folder / MODEL)
            (folder / STATE).write_bytes(state_bytes(state, counters, self._evaluations.arrays()))
            return {"monitors": {}, **facts}

        written = False
        try:
            checkpoints.write(self._run, steps, fill)
            written = True
            checkpoints.thin(self._run, (STATE,), self._keep_last)
        except OSError as error:
            to_stderr(f"The checkpoint at {steps} steps could not be written: {error.strerror or error}")
        self.written_at = time.monotonic()
        self.seconds += time.perf_counter() - began
        return written

    def check(self, checkpoint: Checkpoint) -> None:
        """
        :raises ConfigurationError: if it has a policy only
        """
        if STATE not in checkpoint.files:
            raise ConfigurationError(
                f"{checkpoint.path} holds a policy only. Training goes on from the latest: --resume {self._run.path},"
                f" or begins anew from it: -i {checkpoint.file(MODEL)}"
            )

    def restore(self, checkpoint: Checkpoint, learner: BraxLearner) -> tuple[LearnerState, dict[str, Any]]:
        """
        Put the evaluations back; later checkpoints go.

        :return: the learner's state, and the counters
        :raises ConfigurationError: if its state is of another training
        """
        state, counters, evaluations = read_state(checkpoint.file(STATE).read_bytes(), learner)
        best = counters["best_mean_reward"]
        self._evaluations.restore(evaluations, -np.inf if best is None else best)
        checkpoints.begin_from(self._run, checkpoint)
        return state, counters


def policy_of(prepared: PreparedBrax, params: Any, steps: int) -> Policy:
    """
    :param params: (normaliser, policy, value) in Brax's classes
    :param steps: after which they are what they are
    :return: the policy as it is saved
    """
    return Policy(
        state_dicts(params),
        prepared.settings.network,
        prepared.observation_size,
        prepared.action_size,
        {"name": prepared.name, "kwargs": dict(prepared.env_kwargs)},
        {"steps": steps, "time": _now(), "episode_length": prepared.settings.episode_length},
    )


def facts_of(result: Evaluation | None, seeds: Sequence[int], seconds: float) -> dict[str, Any]:
    """
    :param result: the evaluation of the policy, None where there was none
    :param seeds: of its episodes
    :param seconds: since the training began
    :return: what a manifest tells
    """
    facts: dict[str, Any] = {"time": _now(), "seconds": round(seconds, 3)}
    if result is not None:
        played = {"returns": result.returns.tolist(), "lengths": result.lengths.tolist(), "seeds": list(seeds)}
        facts |= {"score": result.mean_reward, "evaluation": played}
    return facts


def state_bytes(state: LearnerState, counters: Mapping[str, Any], evaluations: Mapping[str, Any]) -> bytes:
    """:return: all arrays of a state as flax writes them; their places are those that the experiment gives them"""
    import jax
    from flax import serialization

    leaves = [np.asarray(leaf) for leaf in jax.device_get(jax.tree.leaves(state))]
    content: bytes = serialization.msgpack_serialize(
        {"leaves": _numbered(leaves), "counters": json.dumps(dict(counters)), "evaluations": dict(evaluations)}
    )
    return content


def read_state(content: bytes, learner: BraxLearner) -> tuple[LearnerState, dict[str, Any], dict[str, Any]]:
    """
    :return: the state, counters and evaluations that :func:`state_bytes` wrote
    :raises ConfigurationError: if it is of other networks or environments
    """
    import jax
    from flax import serialization

    restored = serialization.msgpack_restore(content)
    wanted, places = jax.tree.flatten(learner.blank())
    found = restored["leaves"]
    leaves = [found.get(str(index)) for index in range(len(wanted))]
    fits = len(found) == len(wanted) and all(
        np.shape(leaf) == want.shape and np.asarray(leaf).dtype == want.dtype
        for leaf, want in zip(leaves, wanted, strict=True)
    )
    if not fits:
        raise ConfigurationError(
            f"The checkpoint's {STATE} is of another training, or of another version of Brax: its arrays are not those"
            " that this one has"
        )
    state = learner.put(jax.tree.unflatten(places, leaves))
    return state, json.loads(restored["counters"]), restored["evaluations"]


def _numbered(parts: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {str(index): part for index, part in enumerate(parts)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
