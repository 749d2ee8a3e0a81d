"""Evaluations that are played beside the training, which leaves what a training leaves that waits for them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rl_experiments.core.isolation import can_isolate
from rl_experiments.core.processes import still_runs
from rl_experiments.runs import Run, checkpoints
from rl_experiments.training.evaluation_process import EvaluationProcess, Games
from rl_experiments.training.evaluations_beside import VARIABLE
from rl_experiments.training.resuming import resume_run
from tests.helpers.resuming import as_killed_after, complete_outcome, differences
from tests.helpers.tiny import tiny_experiment

pytestmark = pytest.mark.skipif(not can_isolate(), reason="this system does not fork safely")

GYM = {"gym_packages": ("toy_envs",)}
HER = {"policy": "MultiInputPolicy", "replay_buffer_class": "HerReplayBuffer"}
CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "ppo": ("ppo", "CartPole-v1", {"normalize": True}, {}),
    "dqn": ("dqn", "CartPole-v1", {}, {"n_eval_envs": 2}),
    "a2c": ("a2c", "CartPole-v1", {}, {}),
    "ars": ("ars", "CartPole-v1", {}, {}),
    "masked": ("ppo_mask", "toy_envs:ToyMasked-v0", {}, GYM),
    "recurrent": ("ppo_lstm", "CartPole-v1", {"normalize": True}, {}),
    "dictionaries": ("sac", "toy_envs:ToyGoal-v0", HER, GYM),
    "sde": ("sac", "Pendulum-v1", {"use_sde": True}, {}),
    "mujoco": ("tqc", "Hopper-v5", {"normalize": True}, {}),
    "no state": ("dqn", "LunarLander-v3", {}, {}),
    "atari": ("ppo", "BreakoutNoFrameskip-v4", {}, {"n_timesteps": 300, "eval_episodes": 1}),
    "atari, off-policy": ("dqn", "BreakoutNoFrameskip-v4", {}, {"n_timesteps": 300, "eval_episodes": 1}),
}
FAST = ("ppo", "dqn")
CHOSEN = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in CASES]


def _train(name: str, folder: Path, mode: str, **settings: Any) -> Run:
    algo, env, hyperparams, own = CASES[name]
    given = {"n_timesteps": 600, "eval_freq": 100, "save_freq": 130, "save_replay_buffer": True, **own, **settings}
    return tiny_experiment(algo, env, folder, hyperparams, eval_in_background=mode, **given).run().run


def _told(run: Run) -> dict[str, Any]:
    """:return: of the record and the checkpoints, what does not depend on the time"""
    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    names = ("status", "steps", "last_mean_reward", "best_mean_reward", "remarks")
    scores = [checkpoints.read(path).score for path in checkpoints.checkpoints_of(run)]
    files = sorted(path.name for path in run.path.iterdir())
    return {**{name: record[name] for name in names}, "scores": scores, "files": files}


def _log(text: str) -> str:
    """:return: what was printed, without speeds and borders, whose widths depend on them"""
    lines = [line for line in text.splitlines() if not re.search(r"fps|time_elapsed|Saved to|^-+$", line)]
    return "\n".join(re.sub(r"\s+", " ", line) for line in lines)


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[EvaluationProcess]:
    """Which process got each of the orders."""
    given: list[EvaluationProcess] = []
    order = EvaluationProcess.order

    def remember(process: EvaluationProcess, moment: Any) -> None:
        given.append(process)
        order(process, moment)

    monkeypatch.setattr(EvaluationProcess, "order", remember)
    return given


@pytest.fixture
def slow_games(monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation beside the training takes longer than the training does to its next checkpoint."""
    play, here = Games.play, os.getpid()

    def play_slowly(games: Games, *arguments: Any, **named: Any) -> Any:
        if os.getpid() != here:
            time.sleep(0.3)
        return play(games, *arguments, **named)

    monkeypatch.setattr(Games, "play", play_slowly)


@pytest.mark.parametrize("name", CHOSEN)
def test_everything_is_as_in_a_training_that_waits(
    name: str,
    orders: list[EvaluationProcess],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting = _train(name, tmp_path / "off", "off", verbose=1)
    log = capsys.readouterr().out
    assert not orders
    monkeypatch.setenv(VARIABLE, "on")
    beside = _train(name, tmp_path / "on", "auto", verbose=1)
    assert len(orders) == len(range(100, CASES[name][3].get("n_timesteps", 600) + 1, 100))
    assert differences(complete_outcome(waiting), complete_outcome(beside)) == []
    assert _told(beside) == _told(waiting)
    assert _log(capsys.readouterr().out) == _log(log)


@pytest.mark.parametrize("name", ["ppo", pytest.param("no state", marks=pytest.mark.slow)])
def test_the_training_plays_itself_what_a_killed_process_does_not_answer(
    name: str, orders: list[EvaluationProcess], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    waiting = _train(name, tmp_path / "off", "off")
    order = EvaluationProcess.order

    def kill_every_second(process: EvaluationProcess, moment: Any) -> None:
        order(process, moment)
        if len(orders) % 2 == 0:
            process._child._process.kill()

    monkeypatch.setattr(EvaluationProcess, "order", kill_every_second)
    killed = _train(name, tmp_path / "on", "on")
    assert len(set(orders)) > 1
    assert differences(complete_outcome(waiting), complete_outcome(killed)) == []
    assert _told(killed) == _told(waiting)


@pytest.mark.usefixtures("slow_games")
@pytest.mark.parametrize("name", ["ppo", *(pytest.param(name, marks=pytest.mark.slow) for name in ("dqn", "ars"))])
def test_a_checkpoint_during_an_evaluation_is_gone_on_from_exactly(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    waiting = _train(name, tmp_path / "off", "off")
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "rate", lambda *arguments: None)  # the process is killed before
        beside = _train(name, tmp_path / "on", "on")
    paths = checkpoints.checkpoints_of(beside)
    index = next(index for index, path in enumerate(paths) if checkpoints.read(path).scored_at is not None)
    resumed = resume_run(as_killed_after(beside, index, tmp_path / "killed").path).run
    assert differences(complete_outcome(waiting), complete_outcome(resumed)) == []
    assert _told(resumed)["scores"] == _told(waiting)["scores"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"patience": 3}, "--patience"),
        ({"vec_env": "subproc"}, "processes"),
    ],
)
def test_who_has_to_wait_says_why(
    settings: dict[str, Any],
    reason: str,
    orders: list[EvaluationProcess],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _train("ppo", tmp_path, "on", n_timesteps=130, **settings)
    told = capsys.readouterr().err
    assert "--eval-in-background on" in told
    assert reason in told
    assert not orders


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_the_process_ends_with_the_training(number: int, tmp_path: Path) -> None:
    """An evaluation of a million episodes does not end by itself."""
    command = f"-m rl_experiments.train --algo ppo --env CartPole-v1 -n 1000000 --seed 1 -f {tmp_path} --verbose 0"
    command += " --eval-freq 256 --eval-episodes 1000000 --eval-in-background on --num-threads 1 -params n_steps:64"
    training = subprocess.Popen([sys.executable, *command.split()], stderr=subprocess.PIPE, text=True)
    try:
        child = _child_of(training.pid)
        assert still_runs(child, None) is not False
        training.send_signal(number)
        code = training.wait(60)
    finally:
        training.kill()
        training.communicate()
    assert code == (128 + number if number == signal.SIGTERM else -number)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


def _child_of(pid: int) -> int:
    """:return: the process of the evaluations; that which tries a few steps before comes and goes"""
    deadline, seen = time.monotonic() + 120, {}
    while time.monotonic() < deadline:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        seen = {child: seen.get(child, time.monotonic()) for child in map(int, text.split())}
        old = [child for child, since in seen.items() if time.monotonic() - since > 2.0]
        if old:
            return old[0]
        time.sleep(0.1)
    raise AssertionError("no process for evaluations was started")
