"""Several seeds of one experiment, side by side: what runs, what is refused, what is said at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rl_experiments import train
from rl_experiments.launching.grid.checking import check_cell
from rl_experiments.reporting.seeds import summary
from rl_experiments.runs import all_runs
from rl_experiments.runs.record import read_record
from rl_experiments.training.settings import Experiment
from tests.helpers.commands import CommandResult
from tests.helpers.tiny import TINY

Command = Callable[..., CommandResult]
A2C = [f"{key}:{value}" for key, value in TINY["a2c"].items()]
FLAGS = ("--algo", "a2c", "--env", "CartPole-v1", "-n", "40", "--eval-freq", "20", "--eval-episodes", "1")


def test_each_seed_is_an_ordinary_run_and_the_same_command_does_what_is_missing(command: Command) -> None:
    words = (*FLAGS, "-params", *A2C, "--jobs", "auto", "--seeds")
    result = command(train, *words, "0,3")
    assert result.code == 0, result.err
    runs = {read_record(run.path)["seed"]: read_record(run.path) for run in all_runs("logs")}
    assert {seed: record["threads"]["count"] for seed, record in runs.items()} == {0: 1, 3: 1}
    mean = sum(record["last_mean_reward"] for record in runs.values()) / 2
    assert f"over 2 seeds: mean {mean:.2f}, median {mean:.2f}, IQM {mean:.2f} (95 % interval" in result.out
    assert "rl_experiments.report logs --filter algo=a2c env=CartPole-v1" in result.out
    again = command(train, *words, "0,3")
    assert (again.code, len(all_runs("logs"))) == (0, 2)
    assert "2 of 2 runs were done before" in again.out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--seeds", "0-2", "--seed", "1"], ("--seed ", "--seeds")),
        (["--seeds", "0-x"], ("0-x", "1-5")),
        (["--seeds", "0-2", "--resume"], ("--resume",)),
        (["--jobs", "2"], ("--seeds",)),
        (["-optimize", "--seeds", "0-2"], ("-optimize", "'0-2'")),
        (["-optimize", "--seeds", "2", "--jobs", "2"], ("--n-jobs",)),
        (["--seeds", "2", "--progress"], ("progress",)),
        (["--seeds", "2", "--jobs", "0"], ("--jobs", "0")),
        (["--seeds", "2", "--env", "CartPol-v1"], ("CartPol-v1", "'CartPole-v1'")),
    ],
)
def test_what_cannot_work_is_refused_before_anything_begins(
    command: Command, tmp_path: Path, arguments: list[str], parts: tuple[str, ...]
) -> None:
    command(train, "--algo", "a2c", *arguments).assert_refused(*parts)
    assert not (tmp_path / "logs").exists()


def test_seeds_of_optimize_are_still_trainings_of_a_trial(command: Command) -> None:
    result = command(train, "-optimize", "--seeds", "2", "--algo", "a2c", "-n", "1000", "--n-trials", "1", "--dry-run")
    assert result.code == 0, result.err


def test_a_replay_buffer_counts_as_memory() -> None:
    small = Experiment(algo="dqn", env="CartPole-v1", n_timesteps=100)
    large = Experiment(algo="dqn", n_timesteps=10**8, hyperparams={"buffer_size": 10**7})
    needed, least = (check_cell(experiment, lambda given: (given, None)) for experiment in (large, small))
    assert needed - least == pytest.approx(10**7 * 64, rel=0.15)


def test_a_summary_leaves_out_what_has_no_score() -> None:
    assert "over 1 seed: mean 3.00, median 3.00, IQM 3.00" in summary([3.0, None])
    assert "--eval-freq" in summary([None])
