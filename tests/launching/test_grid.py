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
from typing import Any

import pytest

from rl_experiments import grid
from rl_experiments.launching.grid.checking import check_grid, jobs_of
from rl_experiments.launching.grid.claims import Claims
from rl_experiments.launching.grid.running import run_grid
from rl_experiments.launching.grid.runs import find_runs, is_same
from rl_experiments.launching.grid.settings import Grid, identity_of, parse_seeds, read_grid
from rl_experiments.runs import all_runs
from rl_experiments.runs.record import read_record
from rl_experiments.training.settings import Experiment
from tests.helpers.commands import CommandResult, unmeasured
from tests.helpers.tiny import TINY

Command = Callable[..., CommandResult]
DQN = [f"{key}:{value}" for key, value in TINY["dqn"].items()]


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
    assert identity_of([*words, "--vec-env", "subproc", "--eval-in-background=on"]) == made.identity(cell)
    for other in ("--vec-env=native", "--vec-env=envpool", "--precision=bfloat16"):
        assert identity_of([*words, other]) != made.identity(cell)


def test_vectors_with_the_same_bits_are_the_same_setting() -> None:
    assert is_same("vec_env", "dummy", "auto", None)
    assert not is_same("vec_env", "auto", "native", None)
    assert not is_same("vec_env", "native", "auto", None)
    assert not is_same("vec_env", "native", "envpool", None)


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
        (["--algos", "ppo", "--envs", "CartPole-v1", "CartPol-v1"], ("CartPol-v1", "'CartPole-v1'")),
        (["--algos", "ppo", "a2c", "--envs", "CartPole-v1", "-params", "n_epochs:3"], ("n_epochs", "a2c")),
        (["--algos", "ppo", "--envs", "CartPole-v1", "--ray-address", "auto"], ("--launcher ray",)),
    ],
)
def test_mistakes_are_named(command: Command, tmp_path: Path, arguments: list[str], parts: tuple[str, ...]) -> None:
    (tmp_path / "wrong.yml").write_text("algoss: [ppo]\nenvs: [CartPole-v1]\n")
    (tmp_path / "setting.yml").write_text("algos: [ppo]\nenvs: [CartPole-v1]\nn_timesteps: many\n")
    command(grid, *arguments).assert_refused(*parts)
    assert not (tmp_path / "logs").exists()


def test_a_run_that_fails_costs_no_other_and_is_tried_again(command: Command, tmp_path: Path) -> None:
    flags = ("--algos", "dqn", "--envs", "CartPole-v1", "Pendulum-v1", "-n", "64", "--eval-freq", "-1", "-params", *DQN)
    result = command(grid, *flags, "--jobs", "2")
    assert result.code == 1, result.err
    assert "dqn Pendulum-v1 seed 1: failed: dqn cannot act in Pendulum-v1" in result.out
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
    while len({path.parent for path in (tmp_path / "logs").glob("ppo/*/checkpoints/0*")}) < 2:
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


def test_runs_that_were_begun_otherwise_are_known(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"n_timesteps": 40, "eval_freq": -1, "hyperparams": TINY["a2c"]}
    settings["log_folder"] = str(tmp_path / "logs")
    run = Experiment(algo="a2c", env="CartPole-v1", seed=3, num_threads=1, verbose=0, **settings).run().run.path
    made = Grid(algos=("a2c",), envs=("CartPole-v1",), seeds=(1, 3), experiment=settings)
    assert {cell.seed: found.run.path for cell, found in find_runs(made).items()} == {3: str(run)}
    other = {**settings, "hyperparams": {**TINY["a2c"], "gamma": 0.5}}
    assert not find_runs(Grid(algos=("a2c",), envs=("CartPole-v1",), seeds=(3,), experiment=other))


def test_what_another_grid_trains_is_left_to_it(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"n_timesteps": 500, "log_folder": str(tmp_path / "logs")}
    made = Grid(algos=("q_learning",), envs=("FrozenLake-v1",), seeds=(1, 2), experiment=settings)
    others = Claims(tmp_path / "logs" / ".grid")
    assert others.take(made.claim_of(made.cells[0]))
    result = run_grid(made)
    assert [state.state for state in result.states] == ["running elsewhere", "finished"]
    others.release_all()
    assert run_grid(made).count("finished") == 2
    assert not list((tmp_path / "logs" / ".grid").glob("*.lock"))


def test_runs_at_once_fit_into_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl_experiments.launching.grid.checking.free_memory", lambda: 2 * 2**30)
    monkeypatch.setattr("rl_experiments.launching.grid.checking.available_cores", lambda: 8)
    made = Grid(algos=("dqn", "ppo"), envs=("PongNoFrameskip-v4",), experiment={"n_timesteps": 50_000})
    needs = check_grid(made, made.cells)
    assert needs[made.cells[0]] > 50_000 * 84 * 84 > needs[made.cells[1]] - 450_000_000
    jobs, remark = jobs_of(made, needs)
    assert (1 < jobs < 8, "are free" in str(remark)) == (True, True)
    assert jobs_of(Grid(algos=("dqn",), envs=("CartPole-v1",), jobs=6), needs) == (6, None)


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
