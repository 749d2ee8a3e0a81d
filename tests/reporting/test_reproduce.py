"""The command ``reproduce``: what repeats a run, what differs, and how the outcome compares."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rl_experiments import Run, reproduce
from tests.helpers.commands import CommandResult
from tests.helpers.made_runs import made_run

Command = Callable[..., CommandResult]


def _changed(run: Run, folder: Path, **content: object) -> Path:
    """:return: a copy of the run with another record"""
    target = folder / "logs" / run.algorithm / run.path.name
    shutil.copytree(run.path, target)
    record = json.loads((target / "run.json").read_text())
    (target / "run.json").write_text(json.dumps({**record, **content}))
    return target


def test_a_run_is_repeated_bit_for_bit(command: Command, ppo_run: Run, tmp_path: Path) -> None:
    result = command(reproduce, str(ppo_run.path), "--run")
    assert result.code == 0, result.out + result.err
    assert "The same, bit for bit: steps" in result.out
    assert "the returns of 2 evaluations, the weights" in result.out
    again = np.load(tmp_path / "reproduced" / "ppo" / "CartPole-v1_1" / "evaluations.npz")
    assert np.array_equal(again["results"], np.load(ppo_run.evaluations_file)["results"])


def test_what_differs_is_listed(command: Command, ppo_run: Run, tmp_path: Path) -> None:
    record = json.loads((ppo_run.path / "run.json").read_text())
    folder = _changed(
        ppo_run,
        tmp_path,
        versions={**record["versions"], "torch": "1.0", "missing_package": "2.0"},
        hardware={**record["hardware"], "processor": "Abacus"},
        resumed=[{"steps": 128, "time": "", "command": ""}],
    )
    result = command(reproduce, str(folder))
    assert result.code == 0, result.err
    assert f"Differs: torch: 1.0 in the run, {record['versions']['torch']} here" in result.out
    assert "Differs: missing_package: 2.0 in the run, not installed here" in result.out
    assert "Differs: processor: Abacus in the run" in result.out
    assert "went on at 128 steps" in result.out
    words = result.out.splitlines()[-1]
    assert words.startswith("python -m rl_experiments.train --algo ppo --env CartPole-v1 --seed 1 ")
    assert "--n-timesteps 256 " in words
    assert "--eval-episodes=2" in words


@pytest.mark.slow
def test_another_outcome_is_told(command: Command, ppo_run: Run, tmp_path: Path) -> None:
    folder = _changed(ppo_run, tmp_path, last_mean_reward=-1.0, seed=2)
    result = command(reproduce, str(folder), "--run")
    assert result.code == 1
    assert "Differs: last_mean_reward: -1.0 in the run" in result.out
    assert "Differs: mean return at 128 steps, the first of" in result.out
    assert "Differs: weights" in result.out


def test_what_cannot_be_repeated_is_refused(command: Command, tmp_path: Path) -> None:
    made_run(tmp_path / "logs", "ppo", "CartPole-v1", 1, [1, 2])
    made_run(tmp_path / "logs", "ppo", "CartPole-v1", 2, [1, 2])
    command(reproduce, "logs").assert_refused("2 runs", "CartPole-v1_2")
    command(reproduce, "logs/ppo/CartPole-v1_1").assert_refused("config.yml")
    command(reproduce, "loggs").assert_refused("loggs", "'logs'")
