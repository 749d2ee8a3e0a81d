"""The same experiment gives the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.tiny import tiny_experiment

ENVIRONMENTS = {"ppo": "CartPole-v1", "dqn": "CartPole-v1", "sac": "Pendulum-v1"}


def _parameters(folder: Path, algo: str, **settings: Any) -> dict[str, torch.Tensor]:
    return tiny_experiment(algo, ENVIRONMENTS[algo], folder, **settings).run().model.policy.state_dict()


def _equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("num_threads", [1, "auto"])
@pytest.mark.parametrize("algo", ENVIRONMENTS)
def test_the_same_seed_gives_the_same_bits(algo: str, num_threads: int | str, tmp_path: Path) -> None:
    first = _parameters(tmp_path / "first", algo, num_threads=num_threads)
    second = _parameters(tmp_path / "second", algo, num_threads=num_threads)
    assert _equal(first, second)


@pytest.mark.parametrize("algo", ENVIRONMENTS)
def test_another_seed_gives_other_bits(algo: str, tmp_path: Path) -> None:
    assert not _equal(_parameters(tmp_path / "1", algo), _parameters(tmp_path / "2", algo, seed=2))


def test_measuring_threads_changes_no_bits(tmp_path: Path) -> None:
    measured = _parameters(tmp_path / "auto", "ppo", num_threads="auto", seed=77)
    fixed = _parameters(tmp_path / "fixed", "ppo", num_threads=torch.get_num_threads(), seed=77)
    assert _equal(measured, fixed)


def test_several_environments_give_the_same_bits(tmp_path: Path) -> None:
    settings = {"hyperparams": {"n_envs": 3}}
    assert _equal(_parameters(tmp_path / "1", "ppo", **settings), _parameters(tmp_path / "2", "ppo", **settings))


def test_environments_in_other_processes_give_the_same_bits_as_in_this(tmp_path: Path) -> None:
    dummy = _parameters(tmp_path / "1", "ppo", vec_env="dummy")
    assert _equal(dummy, _parameters(tmp_path / "2", "ppo", vec_env="subproc"))


def test_evaluating_with_other_episodes_changes_no_on_policy_bits(tmp_path: Path) -> None:
    without = _parameters(tmp_path / "1", "ppo", eval_freq=-1)
    assert _equal(without, _parameters(tmp_path / "2", "ppo", eval_freq=64, eval_episodes=1))


def test_a_drawn_seed_is_recorded_and_repeats_the_run(tmp_path: Path) -> None:
    import json

    first = tiny_experiment("ppo", "CartPole-v1", tmp_path, seed=-1).run()
    seed = json.loads((first.run.path / "run.json").read_text())["seed"]
    assert _equal(first.model.policy.state_dict(), _parameters(tmp_path, "ppo", seed=seed))
