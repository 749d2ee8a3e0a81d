"""Grids: what is run, what is missing, what fails, and what a signal leaves."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rl_experiments import grid
from rl_experiments.launching.grid.running import run_grid
from rl_experiments.launching.grid.settings import Grid, identity_of, parse_seeds, read_grid
from rl_experiments.runs import all_runs
from rl_experiments.runs.record import read_record
from rl_experiments.training.settings import Experiment
from tests.helpers.commands import CommandResult, unmeasured
from tests.helpers.tiny import TINY

Command = Callable[..., CommandResult]
PPO = [f"{key}:{value}" for key, value in TINY["ppo"].items()]


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (1, 2, 3)), ("3,", (3,)), ("3,5,7", (3, 5, 7)), ("2-4", (2, 3, 4)), ("0-1,9", (0, 1, 9))]
)
def test_seeds_are_a_number_or_a_list(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


def test_each_run_is_an_ordinary_training(command: Command) -> None:
    flags = ("--algos", "ppo,a2c", "--envs", "CartPole-v1", "ALE/Pong-v5", "--seeds", "2", "-n", "1e5", "--track")
    more = ("-params", "gamma:0.9", "policy_kwargs:dict(net_arch=[8], activation_fn=nn.ReLU)", "learning_rate:lin_0.1")
    result = command(grid, *flags, *more, "--env-kwargs", "name:'0.5'", "--dry-run")
    lines = result.out.splitlines()
    assert (result.code, len(lines)) == (0, 8)
    from rl_experiments.train import build_parser

    words = shlex.split(lines[3])[3:]
    parsed = build_parser().parse(words)
    assert (parsed.algo, parsed.env, parsed.seed, parsed.n_timesteps, parsed.track) == (
        "a2c",
        "ALE/Pong-v5",
        1,
        100_000,
        "wandb",
    )
    assert str(parsed.hyperparams["policy_kwargs"]["activation_fn"]) == "nn.ReLU"
    assert parsed.hyperparams["learning_rate"] == "lin_0.1"
    assert parsed.env_kwargs == {"name": "0.5"}


def test_a_run_is_known_by_what_it_learns_from() -> None:
    made = Grid(algos=("ppo",), envs=("CartPole-v1",), experiment={"n_timesteps": 500, "hyperparams": {"gamma": 0.9}})
    cell = made.cells[0]
    words = made.words_of(cell)
    again = [*reversed([" ".join(words[at : at + 2]) for at in range(0, 8, 2)])]
    moved = [word for pair in again for word in pair.split()] + words[8:] + ["--log-folder=elsewhere", "--verbose=0"]
    assert identity_of(moved) == made.identity(cell)
    assert identity_of([*words, "--eval-freq=7"]) != made.identity(cell)


def test_a_file_is_a_grid(command: Command, tmp_path: Path) -> None:
    (tmp_path / "my.yml").write_text(
        "algos: ppo a2c\nenvs: [CartPole-v1]\nseeds: [4]\nn_timesteps: 1e3\nhyperparams: {gamma: 0.9}\n"
    )
    result = command(grid, "my.yml", "--seeds", "2", "--dry-run")
    assert len(result.out.splitlines()) == 4
    assert Grid(**read_grid("my.yml")).seeds == (4,)
    assert Grid(**read_grid("my.yml")).experiment_of(Grid(**read_grid("my.yml")).cells[0]) == Experiment(
        algo="ppo", env="CartPole-v1", seed=4, num_threads=1, n_timesteps=1000, hyperparams={"gamma": 0.9}
    )


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--envs", "CartPole-v1"], ("--algos",)),
        (["--algos", "pppo", "--envs", "CartPole-v1"], ("pppo", "'ppo'")),
        (["--algos", "ppo", "--envs", "CartPole-v1", "--seeds", "0"], ("'0'", "10, 3,5,7 or 1-5")),
        (["--algos", "ppo", "--envs", "CartPole-v1", "--jobs", "0"], ("--jobs", "0")),
        (["--algos", "ppo", "--envs", "CartPole-v1", "--jobs", "many"], ("--jobs", "many")),
        (["wrong.yml"], ("wrong.yml", "'algos'")),
        (["none.yml"], ("none.yml",)),
        (["setting.yml"], ("n_timesteps", "whole number")),
    ],
)
def test_mistakes_are_named(command: Command, tmp_path: Path, arguments: list[str], parts: tuple[str, ...]) -> None:
    (tmp_path / "wrong.yml").write_text("algoss: [ppo]\nenvs: [CartPole-v1]\n")
    (tmp_path / "setting.yml").write_text("algos: [ppo]\nenvs: [CartPole-v1]\nn_timesteps: many\n")
    command(grid, *arguments).assert_refused(*parts)
    assert not (tmp_path / "logs").exists()


def test_a_run_that_fails_costs_no_other_and_is_tried_again(command: Command, tmp_path: Path) -> None:
    flags = ("--algos", "ppo", "--envs", "CartPole-v1", "NoSuch-v0", "-n", "64", "--eval-freq", "-1", "-params", *PPO)
    result = command(grid, *flags, "--jobs", "2")
    assert result.code == 1, result.err
    assert "ppo NoSuch-v0 seed 1: failed: There is no environment 'NoSuch-v0'" in result.out
    [run] = all_runs("logs")
    record = read_record(run.path)
    assert (run.environment, run.state, record["threads"]["count"]) == ("CartPole-v1", "finished", 1)
    assert "1 of 2 runs were done before" in command(grid, *flags).out
    assert len(all_runs("logs")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_grid_that_was_stopped_goes_on(tmp_path: Path, number: int) -> None:
    flags = ["--algos", "ppo", "--envs", "CartPole-v1", "--seeds", "2", "--jobs", "2", "--eval-freq", "-1"]
    flags += ["-n", "60000", "--save-freq", "512", "-params", "n_steps:64", "policy_kwargs:dict(net_arch=[8])"]
    words = [sys.executable, "-m", "rl_experiments.grid", *flags]
    process = subprocess.Popen(words, cwd=tmp_path, env=unmeasured(), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while len(list((tmp_path / "logs").glob("ppo/*/checkpoints/*"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(process.pid, number)
    code = process.wait(60)
    assert code == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    time.sleep(1)
    before = {run.path: run.steps for run in all_runs(tmp_path / "logs")}
    assert {run.state for run in all_runs(tmp_path / "logs")} <= {"interrupted", "finished"}
    done = subprocess.run(words, cwd=tmp_path, env=unmeasured(), capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    after = all_runs(tmp_path / "logs")
    assert {run.path for run in after} == set(before)
    assert all((run.state, (run.steps or 0) >= 60_000) == ("finished", True) for run in after)


def test_it_can_be_run_from_python(tmp_path: Path) -> None:
    settings = {
        "n_timesteps": 40,
        "eval_freq": 20,
        "eval_episodes": 1,
        "log_folder": str(tmp_path / "logs"),
        "hyperparams": TINY["a2c"],
    }
    lines: list[str] = []
    result = run_grid(Grid(algos=("a2c",), envs=("CartPole-v1",), experiment=settings), lines.append)
    assert (result.count("finished"), result.signal) == (1, None)
    [state] = result.states
    assert state.score == read_record(str(state.run))["last_mean_reward"]
    assert lines[0].startswith("[1/1] a2c CartPole-v1 seed 1: finished")
