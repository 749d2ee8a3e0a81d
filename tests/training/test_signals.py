"""A signal at an exact step: what it leaves, and how the training goes on from there."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from rl_experiments.core.errors import NotFoundError
from rl_experiments.runs import Run, checkpoints, open_run
from rl_experiments.training import checkpointing
from rl_experiments.training.resuming import resume_run
from rl_experiments.training.run_files import TrainingResult
from tests.helpers.commands import start_module
from tests.helpers.resuming import differences, outcome
from tests.helpers.tiny import tiny_experiment

LANDER = "LunarLander-v3"
CASES: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "episodes": ("sac", "Pendulum-v1", {"train_freq": [1, "episode"], "gradient_steps": 2}, 200),
    "long phases": ("dqn", "CartPole-v1", {"train_freq": 150, "optimize_memory_usage": False}, 150),
    "long phases, full buffer": ("dqn", "CartPole-v1", {"train_freq": 150, "buffer_size": 200}, 150),
    "optimized": (
        "dqn",
        "CartPole-v1",
        {
            "train_freq": 150,
            "optimize_memory_usage": True,
            "replay_buffer_kwargs": "dict(handle_timeout_termination=False)",
        },
        150,
    ),
    "her": (
        "sac",
        "toy_envs:ToyGoal-v0",
        {
            "policy": "MultiInputPolicy",
            "replay_buffer_class": "HerReplayBuffer",
            "train_freq": 150,
            "buffer_size": 300,
        },
        150,
    ),
    "long rollouts": ("ppo", "Pendulum-v1", {"normalize": True, "n_steps": 150, "n_envs": 1, "batch_size": 50}, 150),
    "short rollouts": ("a2c", "CartPole-v1", {"n_envs": 2}, 10),
    "ars": ("ars", "CartPole-v1", {}, 900),
}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state at the beginning of each rollout is kept in memory, however long that takes."""
    monkeypatch.setattr(checkpointing, "_MOST_OF_THE_TIME", float("inf"))


FAST = [("long phases, full buffer", 0.0), ("her", 0.0), ("long rollouts", 0.0), ("long phases", 5.0)]
ALL = [(name, patience) for name in CASES for patience in (0.0, 5.0)]
CHOSEN = [pytest.param(*case, marks=() if case in FAST else pytest.mark.slow) for case in ALL]


def _signalled(folder: Path, algo: str, env: str, hyperparams: dict[str, Any], **settings: Any) -> TrainingResult:
    file = folder / "signal"
    callback = [{"toy_signals.SignalAt": {"steps": 700, "file": str(file)}}]
    given = {"n_timesteps": 1000, "save_freq": 10_000, "eval_freq": -1, "gym_packages": ("toy_signals",), **settings}
    if file.parent.name == "killed":
        file.parent.mkdir()
        file.touch()
    return tiny_experiment(algo, env, folder, {**hyperparams, "callback": callback}, **given).run()


def _steps(run: Run) -> list[tuple[int, bool]]:
    found = [checkpoints.read(path) for path in checkpoints.checkpoints_of(run)]
    return [(checkpoint.steps, checkpoint.exact) for checkpoint in found]


@pytest.mark.parametrize(("name", "patience"), CHOSEN)
def test_no_more_than_one_rollout_is_lost(
    name: str, patience: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointing, "_PATIENCE", patience)
    algo, env, hyperparams, longest = CASES[name]
    result = _signalled(tmp_path / "killed", algo, env, hyperparams)
    assert result.signal == signal.SIGTERM
    ((steps, exact),) = _steps(result.run)
    assert exact
    assert 0 <= result.steps - steps <= longest
    assert 0 <= result.steps - 700 <= longest
    resume_run(result.run.path)
    whole = _signalled(tmp_path / "whole", algo, env, hyperparams)
    assert differences(outcome(whole.run), outcome(result.run)) == []


@pytest.fixture(scope="module")
def lander(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log folder of a run that a signal ended at 700 steps, between checkpoints at 384 and 768."""
    folder = tmp_path_factory.mktemp("lander") / "killed"
    _signalled(folder, "ppo", LANDER, {}, save_freq=300)
    return folder


def test_where_environments_have_no_state_the_last_exact_checkpoint_stays_beside(
    lander: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _copy(lander, tmp_path)
    assert _steps(run) == [(320, True), (640, True), (704, False)]
    resume_run(run.path)
    assert "new episodes" not in capsys.readouterr().err
    whole = _signalled(tmp_path / "whole", "ppo", LANDER, {}, save_freq=300)
    assert differences(outcome(whole.run), outcome(run)) == []


def test_the_newer_one_can_be_chosen(lander: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _copy(lander, tmp_path)
    newest = checkpoints.checkpoints_of(run)[-1]
    with pytest.raises(NotFoundError, match=r"There is no checkpoint .*/12. There are: 0000000320, 0000000640"):
        resume_run(newest.with_name("12"))
    result = resume_run(newest)
    assert "environments begin new episodes here" in capsys.readouterr().err
    assert (result.status, result.steps) == ("finished", 1024)
    resumed = json.loads((run.path / "run.json").read_text())["resumed"]
    assert [part["steps"] for part in resumed] == [704]


def test_checkpoints_by_time_lie_beside_exact_ones(tmp_path: Path) -> None:
    result = tiny_experiment("ppo", LANDER, tmp_path, n_timesteps=500, save_freq=300, save_every=1e-9).run()
    assert _steps(result.run) == [(320, True), (448, False)]


def _copy(logs: Path, folder: Path) -> Run:
    shutil.copytree(logs, folder / "logs")
    return open_run(next((folder / "logs").glob("ppo/*")))


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "ars"])
def test_workers_of_a_killed_training_end_silently(algo: str, tmp_path: Path) -> None:
    given = ("--algo", algo, "--env", "toy_envs:ToySlow-v0", "--vec-env", "subproc", "-n", "1000000", "--verbose", "0")
    given += ("--num-threads", "1", "-params", "n_envs:3")
    process = start_module("rl_experiments.train", *given, cwd=tmp_path, stderr=subprocess.STDOUT)
    while not list(tmp_path.glob("logs/*/*/run.json")):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(3)
    process.kill()
    assert process.communicate(timeout=30)[0] == ""
