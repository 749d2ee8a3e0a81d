"""Signals at every moment of a training, and what they leave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rl_experiments.runs import open_run
from rl_experiments.training.stopping import Interrupted, StopRequest
from tests.helpers.commands import start_module, unmeasured

SMALL = ("-params", "n_envs:2", "n_steps:32", "batch_size:16", "n_epochs:1", "policy_kwargs:dict(net_arch=[8])")
CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def _start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    given = ("--num-threads", "1", "--verbose", "0", *arguments)
    environment = {**unmeasured(), "PYTHONFAULTHANDLER": "1"}
    return start_module("rl_experiments.train", *given, cwd=tmp_path, env=environment, start_new_session=True)


NO_CHECKPOINT = "There is nothing that --resume could go on from: the first rollout was not over"


def _wait_for(tmp_path: Path, pattern: str, process: subprocess.Popen[str]) -> Path:
    deadline = time.monotonic() + 60
    while not (found := list(tmp_path.glob(pattern))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found[0]


def _stop(process: subprocess.Popen[str], name: str) -> str:
    """Send the signal as a terminal does, to every process of the program, and wait for the end."""
    os.killpg(process.pid, getattr(signal, name))
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # shows where it stands
        out, err = process.communicate(timeout=60)
    assert process.returncode == CODES[name], out + err
    lines = [line for line in err.splitlines() if not line.startswith("No artists")]
    assert lines[0].startswith(name), err
    assert not lines[1:] or lines[1:] == [NO_CHECKPOINT], err
    return err


@pytest.mark.parametrize(
    ("name", "vec_env", "where"),
    [
        ("SIGTERM", "dummy", "reset"),
        ("SIGHUP", "dummy", "step"),
        ("SIGINT", "subproc", "make"),
        ("SIGTERM", "subproc", "make"),
        ("SIGINT", "subproc", "reset"),
    ],
)
def test_a_signal_before_the_first_step_leaves_nothing(name: str, vec_env: str, where: str, tmp_path: Path) -> None:
    """The training's own environment, made when there is a folder for it, hangs."""
    pause = ("--env", "toy_faults:ToyFaulty-v0", "--env-kwargs", "fault:pause", f"where:{where}", "there:logs")
    process = _start(tmp_path, *pause, "--vec-env", vec_env, *SMALL)
    _wait_for(tmp_path, "logs/ppo/*", process)
    time.sleep(0.5)
    assert "before training began" in _stop(process, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "delay"), [("SIGTERM", 0.3), ("SIGINT", 0.8), ("SIGTERM", 2.0)])
def test_a_signal_during_the_checks_leaves_nothing(name: str, delay: float, tmp_path: Path) -> None:
    process = _start(tmp_path, "--env", "toy_faults:ToyFaulty-v0", "--env-kwargs", "fault:pause", "where:reset", *SMALL)
    time.sleep(delay)
    assert "before training began" in _stop(process, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("vec_env", ["dummy", "subproc"])
def test_an_endless_evaluation_ends_at_the_signal_and_counts_for_nothing(vec_env: str, tmp_path: Path) -> None:
    """The first evaluation is cut off by its time limit after 100,000 steps only."""
    settings = ("-n", "100000", "--eval-freq", "64", "--vec-env", vec_env)
    process = _start(tmp_path, "--env", "toy_envs:ToyEndless-v0", *settings, *SMALL)
    record = _wait_for(tmp_path, "logs/ppo/*/run.json", process)
    time.sleep(2)
    begun = time.monotonic()
    _stop(process, "SIGTERM")
    assert time.monotonic() - begun < 10
    content = json.loads(record.read_text())
    assert (content["status"], content["reason"], content["steps"]) == ("interrupted", "SIGTERM", 64)
    run = open_run(record.parent)
    assert run.final_model.is_file()
    assert not run.evaluations_file.exists()
    assert not run.best_model.exists()


def test_an_evaluation_that_was_complete_stays(tmp_path: Path) -> None:
    settings = ("-n", "1000000", "--eval-freq", "16", "--eval-episodes", "1")
    process = _start(tmp_path, "--env", "toy_envs:ToySlow-v0", *settings, *SMALL)
    evaluations = _wait_for(tmp_path, "logs/ppo/*/evaluations.npz", process)
    _stop(process, "SIGINT")
    with np.load(evaluations) as content:
        assert (content["results"] == 55.0).all()
    assert (evaluations.parent / "best_model.zip").is_file()


@pytest.mark.parametrize("n_envs", [1, 2])
def test_a_candidate_of_ars_that_never_ends_is_ended_by_a_signal(n_envs: int, tmp_path: Path) -> None:
    settings = ("--algo", "ars", "--env", "toy_envs:ToyEndless-v0", "-n", "1000000", "--eval-freq", "-1")
    process = _start(tmp_path, *settings, "-params", f"n_envs:{n_envs}")
    folder = _wait_for(tmp_path, "logs/ars/*/run.json", process).parent
    time.sleep(2)
    _stop(process, "SIGTERM")
    # With evaluators of its own, ARS counts steps only when all candidates were played.
    assert (folder / "ToyEndless-v0.zip").is_file() == (n_envs == 1)
    assert folder.exists() == (n_envs == 1)


def test_a_hangup_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        # A fork of a process that was there before would not inherit it.
        words = ("--num-threads", "1", "--env", "toy_envs:ToySlow-v0", "-n", "1000000", *SMALL)
        process = subprocess.Popen(
            [sys.executable, "-m", "rl_experiments.train", *words],
            cwd=tmp_path,
            env=unmeasured(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    record = _wait_for(tmp_path, "logs/ppo/*/run.json", process)
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert process.poll() is None
    _stop(process, "SIGTERM")
    assert json.loads(record.read_text())["reason"] == "SIGTERM"


def test_output_that_nobody_reads_any_more_ends_nothing(tmp_path: Path) -> None:
    process = _start(tmp_path, "--env", "CartPole-v1", "-n", "3000", "--verbose", "1", "--eval-freq", "500", *SMALL)
    record = _wait_for(tmp_path, "logs/ppo/*/run.json", process)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert process.wait(timeout=60) == 0
    assert json.loads(record.read_text())["status"] == "finished"


def test_a_signal_that_is_deferred_is_raised_after_the_block() -> None:
    done = []

    def block(stop: StopRequest) -> None:
        with stop.deferred():
            signal.raise_signal(signal.SIGTERM)
            done.append("the rest")

    with StopRequest().listening() as stop, pytest.raises(Interrupted, match="SIGTERM"):
        block(stop)
    assert done == ["the rest"]
    assert stop.signal == signal.SIGTERM


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest().listening():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
