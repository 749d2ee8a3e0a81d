"""Checkpoints that are kept, and the record of a run that still trains."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest

from rl_experiments import Run
from rl_experiments.runs import RunRecord
from rl_experiments.training.callbacks import KeepRecord
from tests.helpers.tiny import tiny_experiment

LINE = "toy_envs:ToyLine-v0"
ALL = [40, 80, 120, 160, 200]


# --- Checkpoints ---


def _checkpoint_files(run: Run) -> set[str]:
    return {path.name for path in run.path.glob("rl_model_*")}


@pytest.mark.parametrize(("keep_last", "kept"), [(None, ALL), (2, [160, 200]), (9, ALL)])
def test_only_the_last_stay_with_their_files(keep_last: int | None, kept: list[int], tmp_path: Path) -> None:
    run = (
        tiny_experiment(
            "sac",
            "Pendulum-v1",
            tmp_path,
            {"normalize": True},
            save_freq=40,
            keep_last=keep_last,
            save_replay_buffer=True,
        )
        .run()
        .run
    )
    assert run.checkpoints() == kept
    forms = ("rl_model_{}_steps.zip", "rl_model_vecnormalize_{}_steps.pkl", "rl_model_replay_buffer_{}_steps.pkl")
    assert _checkpoint_files(run) == {form.format(steps) for form in forms for steps in kept}
    assert run.final_model.is_file()


def test_files_that_the_run_did_not_write_are_never_removed(tmp_path: Path) -> None:
    """A callback of the user's writes into the same folder, and some of its files have the names of ours."""
    folder = tmp_path / "dqn" / "CartPole-v1_1"
    callback = {
        "stable_baselines3.common.callbacks.CheckpointCallback": {
            "save_freq": 30,
            "save_path": str(folder),
            "save_replay_buffer": True,
        }
    }
    run = tiny_experiment("dqn", "CartPole-v1", tmp_path, {"callback": callback}, save_freq=40, keep_last=1).run().run
    assert run.path == folder
    assert run.checkpoints() == [30, 60, 90, 150, 180, 200]
    assert (folder / "rl_model_replay_buffer_120_steps.pkl").is_file()


def test_a_checkpoint_that_has_gone_already_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rl_experiments.training import callbacks

    save = callbacks.save_with_statistics

    def lost(model: Any, path: Path, statistics: Path) -> list[Path]:
        files = save(model, path, statistics)
        path.unlink()
        return files

    monkeypatch.setattr(callbacks, "save_with_statistics", lost)
    result = tiny_experiment("dqn", "CartPole-v1", tmp_path, save_freq=40, keep_last=1).run()
    assert result.status == "finished"


# --- The record ---


def test_the_record_follows_each_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    write = RunRecord.write

    def watched(self: RunRecord) -> None:
        write(self)
        seen.append(json.loads((tmp_path / "ppo" / "ToyLine-v0_1" / "run.json").read_text()))

    monkeypatch.setattr(RunRecord, "write", watched)
    tiny_experiment("ppo", LINE, tmp_path, n_timesteps=192, eval_freq=64, eval_episodes=1).run()
    started, *running, ended = seen
    assert "steps" not in started
    assert started["process"]["started"]
    assert [(record["status"], record["steps"]) for record in running] == [
        ("running", steps) for steps in (64, 128, 192)
    ]
    assert all(record["last_mean_reward"] == record["best_mean_reward"] == 55.0 for record in running)
    assert all(record["timings"]["updated"] >= record["timings"]["started"] for record in running)
    assert (ended["status"], ended["steps"]) == ("finished", 192)


def test_between_evaluations_the_record_follows_the_clock() -> None:
    written: list[float] = []
    keep = KeepRecord(lambda: written.append(time.monotonic()), seconds=0.05)
    keep._on_training_start()
    begun = time.monotonic()
    while time.monotonic() - begun < 0.3:
        assert keep._on_step()
    assert 3 <= len(written) <= 6
    assert all(later - earlier >= 0.05 for earlier, later in itertools.pairwise(written))


def test_a_record_that_cannot_be_written_ends_no_training() -> None:
    def fails() -> None:
        raise OSError(5, "Input/output error")

    keep = KeepRecord(fails, seconds=0.0)
    keep._on_training_start()
    assert keep._on_step()


def test_a_score_that_is_no_number_is_null_in_the_record(tmp_path: Path) -> None:
    record = RunRecord(Run(tmp_path, "ppo", "X-v0"))
    record.update(last_mean_reward=float("nan"), best_mean_reward=float("-inf"), steps=3)
    content = json.loads((tmp_path / "run.json").read_text(), parse_constant=pytest.fail)
    assert (content["last_mean_reward"], content["best_mean_reward"], content["steps"]) == (None, None, 3)
