"""Ending a training before its budget is spent, and what the run says of it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_experiments import Experiment, load_agent, train
from rl_experiments.evaluation import Episode, Evaluation
from rl_experiments.runs import RunRecord, find_run
from rl_experiments.training.early_stopping_callback import EarlyStopping
from tests.helpers.tiny import TINY, tiny_experiment

LINE = "toy_envs:ToyLine-v0"
"""Every episode returns 55."""
MANY = 1_000_000


def _evaluation(mean: float) -> Evaluation:
    return Evaluation((Episode(mean, 10),), (), deterministic=True, n_envs=1, n_steps=10)


def _heard(stopping: EarlyStopping, means: list[float]) -> int:
    """How many evaluations it took to end, all of them if it did not."""
    return next((index for index, mean in enumerate(means, 1) if not stopping.hear(_evaluation(mean))), len(means))


# --- When it ends ---


@pytest.mark.parametrize(
    ("goal", "means", "count", "ended"),
    [
        (10.0, [1, 9.99, 10.0, 20], 3, True),
        (10.0, [1, 2, 3], 3, False),
        (-5.0, [-10, -4], 2, True),
        (0.0, [float("nan"), -1, 0], 3, True),
    ],
)
def test_it_ends_when_an_evaluation_reaches_the_goal(goal: float, means: list[float], count: int, ended: bool) -> None:
    stopping = EarlyStopping(stop_at_reward=goal)
    assert _heard(stopping, means) == count
    assert (stopping.reason is not None) == ended


@pytest.mark.parametrize(
    ("patience", "means", "count", "ended"),
    [
        (1, [1, 2, 3, 3, 4], 4, True),
        (2, [5, 4, 6, 5, 6, 7], 5, True),
        (3, [1, 0, 0, 2, 0, 0], 6, False),
        (2, [float("nan"), float("nan"), 1], 2, True),
        (2, [-3, -2, -1], 3, False),
    ],
)
def test_it_ends_after_evaluations_without_a_better_one(
    patience: int, means: list[float], count: int, ended: bool
) -> None:
    stopping = EarlyStopping(patience=patience)
    assert _heard(stopping, means) == count
    assert (stopping.reason is not None) == ended


def test_what_it_remembers_goes_into_a_pickle_and_counts_on() -> None:
    before = EarlyStopping(patience=3, max_minutes=5)
    assert _heard(before, [7, 6, 5]) == 3
    before.seconds_used = 120.5
    after = pickle.loads(pickle.dumps(before))
    assert (after.best_mean_reward, after.n_without_improvement, after.seconds_used) == (7, 2, 120.5)
    assert not after.hear(_evaluation(6))


def test_the_time_that_was_used_before_counts() -> None:
    stopping = EarlyStopping(max_minutes=1)
    stopping._on_training_start()
    assert stopping._on_step()
    stopping.seconds_used = 59.999
    while stopping._on_step():
        assert stopping.seconds_used < 61
    assert 60 <= stopping.seconds_used < 60.1


# --- What it leaves ---


LIMITS: dict[str, tuple[dict[str, Any], int | None, str]] = {
    "reward": ({"stop_at_reward": 55, "eval_freq": 64}, 64, "reached 55.00, and --stop-at-reward is 55"),
    "patience": ({"patience": 2, "eval_freq": 64}, 192, "not better than 55.00, and --patience is 2"),
    "time": ({"max_time": 0.001}, None, "--max-time is 0.001"),
}


def _check_ends(experiment: Experiment, steps: int | None, reason: str) -> None:
    result = experiment.run()
    assert (result.status, result.signal) == ("finished", None)
    assert result.reason is not None
    assert reason in result.reason
    assert 0 < result.steps < MANY
    assert steps in (None, result.steps)
    record = RunRecord.read(result.run)
    assert (record["status"], record["reason"], record["steps"]) == ("finished", result.reason, result.steps)
    agent = load_agent(result.run, gym_packages=("toy_envs",))
    assert agent.agent.model.num_timesteps == result.steps  # type: ignore[attr-defined]


@pytest.mark.parametrize("algo", ["ppo", "dqn", "ars"])
@pytest.mark.parametrize("limit", LIMITS)
def test_every_kind_of_algorithm_ends_and_is_finished(limit: str, algo: str, tmp_path: Path) -> None:
    """ARS does not listen to its callbacks."""
    settings, steps, reason = LIMITS[limit]
    _check_ends(tiny_experiment(algo, LINE, tmp_path, n_timesteps=MANY, eval_episodes=1, **settings), steps, reason)


def test_candidates_in_processes_end_too(tmp_path: Path) -> None:
    settings, _, reason = LIMITS["patience"]
    given = {"n_envs": 2}
    _check_ends(tiny_experiment("ars", LINE, tmp_path, given, n_timesteps=MANY, **settings), 192, reason)


def test_the_command_says_why_and_saves_everything(command, tmp_path: Path) -> None:
    hyperparams = [f"{key}:{value}" for key, value in TINY["dqn"].items()]
    result = command(
        train,
        *("--algo", "dqn", "--env", LINE, "-n", str(MANY), "--num-threads", "1", "--stop-at-reward", "50"),
        *("--eval-freq", "100", "--save-freq", "50", "--save-replay-buffer"),
        *("-params", "normalize:True", *hyperparams),
    )
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[-2] == "Stopped after 100 steps: an evaluation reached 55.00, and --stop-at-reward is 50"
    run = find_run(tmp_path / "logs", "dqn", "ToyLine-v0")
    for file in (run.final_model, run.final_statistics, run.best_model, run.best_statistics, run.evaluations_file):
        assert file.is_file()
    assert (run.path / "replay_buffer.pkl").is_file()
    assert run.checkpoints() == [50, 100]


def test_a_training_that_spends_its_budget_has_no_reason(tmp_path: Path) -> None:
    limits = {"stop_at_reward": 56, "patience": 9, "max_time": 60.0}
    result = tiny_experiment("ppo", LINE, tmp_path, n_timesteps=128, eval_freq=64, **limits).run()
    assert (result.status, result.reason, result.steps) == ("finished", None, 128)
    assert "reason" not in RunRecord.read(result.run)


def test_the_limits_change_nothing_of_what_is_learned(tmp_path: Path) -> None:
    plain, limited = (
        tiny_experiment("ppo", LINE, tmp_path, n_timesteps=128, eval_freq=64, **limits).run().run
        for limits in ({}, {"stop_at_reward": 56, "patience": 9, "max_time": 60.0})
    )
    first, second = (load_agent(run, gym_packages=("toy_envs",)).agent.model.policy for run in (plain, limited))  # type: ignore[attr-defined]
    for name, tensor in first.state_dict().items():
        assert np.array_equal(tensor.numpy(), second.state_dict()[name].numpy())


def test_limits_are_recorded_as_arguments(tmp_path: Path) -> None:
    run = tiny_experiment("ppo", LINE, tmp_path, n_timesteps=64, max_time=5, save_freq=32, keep_last=1).run().run
    assert (run.arguments["max_time"], run.arguments["keep_last"], run.arguments["patience"]) == (5, 1, None)


def test_evaluations_that_come_too_late_are_remarked_on(command) -> None:
    given = ("--algo", "ppo", "--env", LINE, "-n", "1000", "--patience", "2", "--dry-run")
    note = "Note: The first evaluation comes after 25000 steps (--eval-freq), and training is planned for 1000:"
    assert f"{note} patience may have nothing to look at" in command(train, *given).out
    assert "The first evaluation" not in command(train, *given, "--eval-freq", "1000").out
