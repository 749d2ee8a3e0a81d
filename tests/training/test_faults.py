"""Environments that fail, in this process and in processes of their own, and what training makes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rl_experiments import load_agent, train
from rl_experiments.core.errors import TrainingError
from rl_experiments.runs import Run, RunRecord, find_run
from rl_experiments.training.resuming import resume_run
from tests.helpers.commands import CommandResult, run_module
from tests.helpers.resuming import differences, outcome
from tests.helpers.tiny import tiny_experiment

FAULTY = "toy_faults:ToyFaulty-v0"
SMALL = ("-params", "n_envs:2", "n_steps:32", "batch_size:16", "n_epochs:1", "policy_kwargs:dict(net_arch=[8])")
REASONS = {
    "error": "RuntimeError: the toy broke",
    "eof": "EOFError: the toy broke",
    "ours": "the toy broke",
    "exit": "SystemExit: 0",
    "exit-text": "SystemExit: the toy broke",
    "death": "a worker process ended (exit code 7)",
    "kill": "a worker process ended (exit code -9)",
    "nan-reward": "the environment gave the reward nan",
    "nan-observation": "the environment gave an observation with NaN",
}
FAULTS = [
    (fault, vec_env)
    for fault in REASONS
    for vec_env in ("dummy", "subproc")
    if vec_env == "subproc" or fault not in ("death", "kill")
]


def _train(command: Any, fault: str, vec_env: str, *kwargs: str) -> CommandResult:
    arguments = ("--env", FAULTY, "-n", "500", "--num-threads", "1", "--eval-freq", "-1", "--vec-env", vec_env)
    return command(train, *arguments, *SMALL, "--env-kwargs", f"fault:{fault}", *kwargs)


def _only_line(result: CommandResult) -> str:
    (line,) = result.err.splitlines()
    return line


@pytest.mark.parametrize(("fault", "vec_env"), FAULTS)
def test_a_fault_in_training_leaves_a_checkpoint_and_its_reason(
    fault: str, vec_env: str, command, tmp_path: Path
) -> None:
    result = _train(command, fault, vec_env, "at:45")
    assert result.code == 1
    assert REASONS[fault] in _only_line(result)
    run = find_run(tmp_path / "logs", "ppo", "ToyFaulty-v0")
    record = RunRecord.read(run)
    assert (record["status"], record["reason"]) == ("failed", REASONS[fault])
    assert run.checkpoints() == [record["steps"]]
    agent = load_agent(run, record["steps"], gym_packages=("toy_faults",))
    assert agent.agent.model.num_timesteps == record["steps"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("fault", "vec_env"), [case for case in FAULTS if "nan" not in case[0]])
@pytest.mark.parametrize("where", ["make", "reset", "step"])
def test_a_fault_before_the_first_step_leaves_nothing(
    fault: str, vec_env: str, where: str, command, tmp_path: Path
) -> None:
    """It comes once there is a folder: the environment that is tried before is a sound one."""
    result = _train(command, fault, vec_env, f"where:{where}", "there:logs")
    assert result.code == (2 if where == "make" or (fault == "ours" and vec_env == "dummy") else 1)
    assert REASONS[fault] in _only_line(result)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "where", "code", "reason"),
    [
        ("error", "make", 2, "RuntimeError: the toy broke"),
        ("exit", "make", 2, "SystemExit: 0"),
        ("error", "reset", 1, "RuntimeError: the toy broke"),
        ("exit", "reset", 1, "SystemExit: 0"),
        ("error", "step", 1, "RuntimeError: the toy broke"),
        ("exit", "step", 1, "SystemExit: 0"),
        ("nan-reward", "step", 2, "the reward nan"),
        ("nan-observation", "step", 2, "an observation with NaN"),
        ("shape", "step", 2, "shape (4,), but its observation space says (3,)"),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_the_first_steps_are_tried_before_training(
    fault: str, where: str, code: int, reason: str, dry: bool, command, tmp_path: Path
) -> None:
    result = _train(command, fault, "dummy", f"where:{where}", *(["--dry-run"] if dry else []))
    assert result.code == code
    assert reason in _only_line(result)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("at", "is_kept"), [(1, False), (45, True)])
def test_an_interrupt_of_the_environment_counts_as_a_signal(at: int, is_kept: bool, command, tmp_path: Path) -> None:
    result = _train(command, "interrupt", "dummy", f"at:{at}", "there:logs")
    assert result.code == 130
    assert "Traceback" not in result.err
    assert bool(list(tmp_path.glob("logs/ppo/*/ToyFaulty-v0.zip"))) == is_kept
    assert (tmp_path / "logs").exists() == is_kept


@pytest.mark.parametrize("fault", [pytest.param("error", marks=pytest.mark.slow), "exit-text", "kill"])
def test_a_worker_says_nothing_of_its_own(fault: str, tmp_path: Path) -> None:
    kwargs = ("--env-kwargs", f"fault:{fault}", "at:45")
    arguments = ("--env", FAULTY, "--vec-env", "subproc", "-n", "500", "--num-threads", "1", "--verbose", "0")
    result = run_module("rl_experiments.train", *arguments, *SMALL, *kwargs, cwd=tmp_path)
    assert result.code == 1
    assert REASONS[fault] in _only_line(result)


def test_the_traceback_of_a_worker_is_shown_when_asked(tmp_path: Path) -> None:
    arguments = ("--env", FAULTY, "--vec-env", "subproc", "-n", "500", "--num-threads", "1", "--verbose", "0")
    kwargs = ("--env-kwargs", "fault:error", "at:45", "--debug")
    result = run_module("rl_experiments.train", *arguments, *SMALL, *kwargs, cwd=tmp_path)
    assert result.code == 1
    assert "In the worker process" in result.err
    assert "toy_faults.py" in result.err


@pytest.mark.parametrize("fault", ["death", "kill", "error", "shape"])
def test_the_first_steps_are_tried_in_a_process_of_its_own(fault: str, command, tmp_path: Path) -> None:
    """Where an environment that ends its process takes nothing with it."""
    result = _train(command, fault, "subproc", "--dry-run")
    assert result.code == (2 if fault == "shape" else 1)
    assert REASONS.get(fault, "shape (4,)") in _only_line(result)
    assert list(tmp_path.iterdir()) == []


def test_a_fault_in_an_evaluation_ends_the_training_too(tmp_path: Path) -> None:
    experiment = tiny_experiment(
        "ppo",
        FAULTY,
        tmp_path,
        n_timesteps=200,
        eval_freq=64,
        eval_env_kwargs={"fault": "error", "at": 15},
        vec_env="subproc",
    )
    with pytest.raises(TrainingError, match="after 64 steps: RuntimeError: the toy broke"):
        experiment.run()


def test_the_reason_of_a_worker_of_ars_is_told(tmp_path: Path) -> None:
    """It scores its candidates in processes of their own, whatever the vector of environments."""
    experiment = tiny_experiment(
        "ars", FAULTY, tmp_path, {"n_envs": 2}, n_timesteps=500, env_kwargs={"fault": "error", "at": 45}
    )
    with pytest.raises(TrainingError, match="RuntimeError: the toy broke"):
        experiment.run()


def test_a_failing_method_of_an_environment_is_told(tmp_path: Path) -> None:
    from rl_experiments.envs import EnvironmentRecipe, make_envs
    from rl_experiments.envs.workers import WorkerError

    env = make_envs(EnvironmentRecipe(FAULTY, gym_packages=("toy_faults",)), 2, 0, vec_env="subproc")
    try:
        assert env.has_attr("there")
        assert not env.has_attr("nothing")
        with pytest.raises(WorkerError, match="TypeError"):
            env.env_method("_count")
    finally:
        env.close()


@pytest.mark.parametrize(
    ("algo", "where", "vec_env"),
    [("ppo", "training", "subproc"), ("dqn", "training", "dummy"), ("ppo", "eval", "dummy")],
)
def test_a_training_goes_on_once_the_fault_is_gone(algo: str, where: str, vec_env: str, tmp_path: Path) -> None:
    file = tmp_path / "there"
    kwargs = {"fault": "error", "at": 300 if where == "training" else 20, "there": str(file)}
    name = "env_kwargs" if where == "training" else "eval_env_kwargs"
    settings = {"n_timesteps": 700, "save_freq": 100, "eval_freq": 200, "eval_episodes": 1, "vec_env": vec_env}
    experiments = [
        tiny_experiment(algo, FAULTY, tmp_path / folder, {"n_envs": 1}, **settings, **{name: kwargs})
        for folder in ("whole", "failed")
    ]
    whole = experiments[0].run().run
    file.touch()
    with pytest.raises(TrainingError, match=r"RuntimeError: the toy broke.* It goes on at \d+ steps with") as caught:
        experiments[1].run()
    file.unlink()
    failed = find_run(tmp_path / "failed", algo, "ToyFaulty-v0", which="last-checkpoint")
    assert f"--resume {failed.path}" in str(caught.value)
    resume_run(failed.path, gym_packages=("toy_faults",))
    assert differences(outcome(whole), outcome(failed)) == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_leaves_the_last_checkpoint_and_says_what_was_needed(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    settings: dict[str, Any] = {"n_timesteps": 1500, "save_freq": 100}
    try:
        with pytest.raises(
            TrainingError, match=r"No space left.* A checkpoint needs up to .* MB are free.* It goes on"
        ):
            tiny_experiment("dqn", "CartPole-v1", disk, **settings).run()
        full = find_run(disk, "dqn", "CartPole-v1", which="last-checkpoint")
        copy = Run(tmp_path / "more" / "dqn" / full.path.name, "dqn", "CartPole-v1")
        shutil.copytree(full.path, copy.path)
    finally:
        subprocess.run(["umount", disk], check=True)
    resume_run(copy.path)
    whole = tiny_experiment("dqn", "CartPole-v1", tmp_path / "whole", **settings).run().run
    assert differences(outcome(whole), outcome(copy)) == []
