"""Replay buffers in checkpoints: what is new is written once, and comes back as it was."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

from rl_experiments.algorithms.sb3.learner.frames import FrameReplayBuffer, SharedStacks
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.runs import Run, checkpoints
from rl_experiments.runs.checkpoints import Checkpoint
from rl_experiments.training import replay_state
from rl_experiments.training.replay_state import Moment, ReplayState

IMAGE = spaces.Box(0, 255, (4, 12, 10), np.uint8)
VECTOR = spaces.Box(-1, 1, (3,), np.float32)
KINDS: dict[str, tuple[type[ReplayBuffer], spaces.Space, dict[str, Any]]] = {
    "vectors": (ReplayBuffer, VECTOR, {}),
    "several": (ReplayBuffer, VECTOR, {"n_envs": 3}),
    "pictures": (ReplayBuffer, IMAGE, {}),
    "optimized": (ReplayBuffer, IMAGE, {"optimize_memory_usage": True, "handle_timeout_termination": False}),
    "frames": (FrameReplayBuffer, IMAGE, {"n_envs": 2}),
    "optimized frames": (
        FrameReplayBuffer,
        IMAGE,
        {"optimize_memory_usage": True, "handle_timeout_termination": False, "frame_stack": 4},
    ),
    "steps": (NStepReplayBuffer, VECTOR, {"n_steps": 3, "gamma": 0.9}),
    "dictionary": (DictReplayBuffer, spaces.Dict({"image": IMAGE, "vector": VECTOR}), {"n_envs": 2}),
}


class _Filled:
    """A buffer that is filled with observations that follow each other."""

    def __init__(self, kind: str, size: int = 60) -> None:
        cls, self.space, arguments = KINDS[kind]
        self.buffer = cls(size, self.space, spaces.Discrete(2), device="cpu", **arguments)  # type: ignore[arg-type]
        self.state = ReplayState(self.buffer)
        self.rows = 0
        self.space.seed(1)
        self._observation = self._sample()

    def _sample(self) -> Any:
        samples = [self.space.sample() for _ in range(self.buffer.n_envs)]
        if isinstance(self.space, spaces.Dict):
            return {key: np.stack([sample[key] for sample in samples]) for key in self.space.spaces}
        return np.stack(samples)

    def fill(self, rows: int) -> None:
        n = self.buffer.n_envs
        for _ in range(rows):
            following = self._sample()
            self.buffer.add(
                self._observation,
                following,
                np.ones((n, 1)),
                np.random.rand(n),
                np.zeros(n),
                [{} for _ in range(n)],
            )
            self._observation = following
            self.rows += 1

    def save(self, run: Run, moment: Moment | None = None) -> Checkpoint:
        known: dict[str, str] = {}
        moment = moment or self.state.take(self.rows)

        def write(folder: Path) -> dict[str, Any]:
            known.update(self.state.write(folder, moment, self.rows))
            return {}

        checkpoint = checkpoints.write(run, moment.rows, write, known)
        self.state.remember(checkpoint)
        checkpoints.prune(run)
        return checkpoint


def _assert_equal(first: ReplayBuffer, second: ReplayBuffer) -> None:
    assert (first.pos, first.full) == (second.pos, second.full)
    for name, value in vars(first).items():
        parts = value if isinstance(value, dict) else {name: value}
        others = vars(second)[name] if isinstance(value, dict) else {name: vars(second)[name]}
        for key, part in parts.items():
            if isinstance(part, (np.ndarray, SharedStacks)):
                assert np.array_equal(part[:], others[key][:]), (name, key)


@pytest.mark.parametrize("steps", [[7], [25, 30], [10, 10, 60, 5], [70, 59, 61]])
@pytest.mark.parametrize("kind", KINDS)
def test_a_buffer_comes_back_as_it_was_and_goes_on(kind: str, steps: list[int], tmp_path: Path) -> None:
    run, first = Run(tmp_path, "dqn", "X"), _Filled(kind)
    for rows in steps:
        first.fill(rows)
        checkpoint = first.save(run)
    second = _Filled(kind)
    second.state.read(checkpoint)
    _assert_equal(first.buffer, second.buffer)
    second.rows, second._observation, second.space = first.rows, first._observation, first.space
    np.random.seed(1)
    first.fill(4)
    first.space.seed(5)
    checkpoint = first.save(run)
    checkpoint.check()
    third = _Filled(kind)
    third.state.read(checkpoint)
    _assert_equal(first.buffer, third.buffer)


@pytest.mark.parametrize("before", [20, 50, 130])
@pytest.mark.parametrize("kind", KINDS)
def test_a_buffer_is_written_as_it_was_before_more_rows(kind: str, before: int, tmp_path: Path) -> None:
    run, first, second = Run(tmp_path, "dqn", "X"), _Filled(kind), _Filled(kind)
    first.fill(before)
    moment, was = first.state.take(first.rows), copy.deepcopy(first.buffer)
    first.fill(30 if before == 130 else 10)
    checkpoint = first.save(run, moment)
    second.state.read(checkpoint)
    _assert_equal(was, second.buffer)


@pytest.mark.parametrize("kind", ["vectors", "optimized"])
def test_rows_that_were_replaced_are_no_longer_there(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_state, "_LARGEST_COPY", 0)
    run, filled, second = Run(tmp_path, "dqn", "X"), _Filled(kind), _Filled(kind)
    filled.fill(70)
    moment = filled.state.take(filled.rows)
    filled.fill(5)
    with pytest.raises(LookupError, match="have replaced some"):
        filled.save(run, moment)
    filled.save(run)
    moment, was = filled.state.take(filled.rows), copy.deepcopy(filled.buffer)
    filled.fill(20)
    checkpoint = filled.save(run, moment)  # they are in the checkpoint before
    second.state.read(checkpoint)
    _assert_equal(was, second.buffer)


def test_only_new_rows_are_written_and_old_ones_are_links(tmp_path: Path) -> None:
    run, filled = Run(tmp_path, "dqn", "X"), _Filled("pictures", 1000)
    filled.fill(300)
    first = filled.save(run)
    filled.fill(10)
    second = filled.save(run)
    shared = set(first.files) & set(second.files) - {"replay.npz", "replay.pkl"}
    assert [name for name in shared if name.startswith("replay-")] == ["replay-000000000000-000000000300.npz"]
    assert all(first.file(name).samefile(second.file(name)) for name in shared)
    (new,) = set(second.files) - set(first.files)
    assert second.file(new).stat().st_size < first.file(shared.pop()).stat().st_size / 10


def test_pictures_that_repeat_are_written_once(tmp_path: Path) -> None:
    filled = _Filled("pictures", 1000)
    frames = [np.random.randint(0, 255, (12, 10), np.uint8) for _ in range(400)]
    for index in range(390):
        stacks = [np.stack(frames[index + offset : index + offset + 4])[None] for offset in (0, 1)]
        filled.buffer.add(stacks[0], stacks[1], np.ones((1, 1)), np.ones(1), np.zeros(1), [{}])
        filled.rows += 1
    checkpoint = filled.save(Run(tmp_path, "dqn", "X"))
    size = sum(checkpoint.file(name).stat().st_size for name in checkpoint.files)
    assert size < 1.2 * 400 * 120


def test_rows_that_are_missing_are_found(tmp_path: Path) -> None:
    filled = _Filled("vectors")
    filled.fill(20)
    checkpoint = filled.save(Run(tmp_path, "dqn", "X"))
    with pytest.raises(ConfigurationError, match="lacks rows of the replay buffer"):
        _Filled("vectors").state.read(replace(checkpoint, files={}))


@pytest.mark.parametrize(("before", "now"), [("pictures", "frames"), ("frames", "pictures")])
def test_checkpoints_of_before_frames_were_shared_go_on(before: str, now: str, tmp_path: Path) -> None:
    first, second = _Filled(before), _Filled(now)
    if first.buffer.n_envs != second.buffer.n_envs:
        arguments = {"device": "cpu", "n_envs": 1}
        for filled, name in ((first, before), (second, now)):
            filled.buffer = KINDS[name][0](60, IMAGE, spaces.Discrete(2), **arguments)  # type: ignore[arg-type]
            filled.state, filled._observation = ReplayState(filled.buffer), filled._observation[:1]
    first.fill(75)
    second.state.read(first.save(Run(tmp_path, "dqn", "X")))
    for name in ("observations", "next_observations", "actions", "rewards"):
        assert np.array_equal(getattr(first.buffer, name)[:], getattr(second.buffer, name)[:]), name
