"""Watching and scoring a trained agent from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rl_experiments import Run, enjoy
from tests.helpers.commands import run_module


def _arguments(run: Run, *further: str) -> tuple[str, ...]:
    folder = str(run.path.parent.parent)
    return ("--algo", run.algorithm, "--env", run.env_id, "-f", folder, "--no-render", *further)


def test_it_prints_each_episode_and_the_statistics_as_the_zoo_does(command, toy_run: Run) -> None:
    result = command(enjoy, *_arguments(toy_run, "-n", "25"))
    assert result.code == 0, result.err
    assert result.out.splitlines()[1:] == [
        "Episode Reward: 55.00",
        "Episode Length 10",
        "Episode Reward: 55.00",
        "Episode Length 10",
        "2 Episodes",
        "Mean reward: 55.00 +/- 0.00",
        "Mean episode length: 10.00 +/- 0.00",
        "Unfinished episode (not counted): reward 15.00 after 5 steps",
    ]


def test_quiet_is_quiet(command, toy_run: Run) -> None:
    result = command(enjoy, *_arguments(toy_run, "-n", "25", "--verbose", "0"))
    assert (result.code, result.out, result.err) == (0, "", "")


def test_without_a_number_it_acts_1000_steps(command, toy_run: Run) -> None:
    assert "100 Episodes" in command(enjoy, *_arguments(toy_run)).out


def test_episodes_can_be_counted_instead_of_steps(command, toy_run: Run) -> None:
    assert "150 Episodes" in command(enjoy, *_arguments(toy_run, "--n-episodes", "150")).out


def test_several_environments_act_at_once_and_print_their_results(command, toy_run: Run) -> None:
    result = command(enjoy, *_arguments(toy_run, "--n-envs", "2", "-n", "10"))
    assert result.code == 0, result.err
    assert "2 Episodes" in result.out


def test_results_are_written_as_json(command, toy_run: Run, tmp_path: Path) -> None:
    result = command(enjoy, *_arguments(toy_run, "--n-episodes", "2", "--json", "out.json", "--verbose", "0"))
    assert result.code == 0, result.err
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["returns"] == [55.0, 55.0]
    assert content["lengths"] == [10, 10]
    assert (content["algorithm"], content["environment"]) == ("ppo", "toy_envs:ToyLine-v0")
    assert content["is_deterministic"] is True
    assert content["n_eval_episodes"] == 2
    printed = command(enjoy, *_arguments(toy_run, "--n-episodes", "2", "--json", "-", "--verbose", "0"))
    assert json.loads(printed.out)["returns"] == [55.0, 55.0]


def test_stochastic_and_deterministic_are_said_in_the_results(command, toy_run: Run) -> None:
    for flag, expected in (("--stochastic", False), ("--deterministic", True)):
        result = command(enjoy, *_arguments(toy_run, "-n", "10", "--json", "-", "--verbose", "0", flag))
        assert json.loads(result.out)["is_deterministic"] is expected


def test_atari_acts_stochastically_unless_told_otherwise(command, atari_run: Run) -> None:
    result = command(enjoy, *_arguments(atari_run, "-n", "5", "--json", "-", "--verbose", "0"))
    assert json.loads(result.out)["is_deterministic"] is False


def test_an_episode_log_is_written(command, toy_run: Run, tmp_path: Path) -> None:
    result = command(enjoy, *_arguments(toy_run, "--n-episodes", "2", "--reward-log", "log"))
    assert result.code == 0, result.err
    assert len((tmp_path / "log" / "0.monitor.csv").read_text().splitlines()) == 2 + 2


def test_normalised_rewards_leave_the_returns_raw(command, normalized_run: Run) -> None:
    plain = command(enjoy, *_arguments(normalized_run, "-n", "200", "--json", "-", "--verbose", "0"))
    normalized = command(enjoy, *_arguments(normalized_run, "-n", "200", "--json", "-", "--verbose", "0", "--norm-r"))
    assert json.loads(plain.out)["returns"] == json.loads(normalized.out)["returns"]


def test_a_screen_that_is_not_there_is_said_and_no_error(
    command, toy_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    arguments = [argument for argument in _arguments(toy_run, "-n", "10") if argument != "--no-render"]
    result = command(enjoy, *arguments)
    assert result.code == 0
    assert "There is no screen" in result.err
    assert "1 Episodes" in result.out


def test_arguments_of_the_environment_win_over_the_runs(command, toy_run: Run) -> None:
    result = command(enjoy, *_arguments(toy_run, "-n", "10", "--env-kwargs", "scale:2.0"))
    assert "Mean reward: 110.00" in result.out


@pytest.mark.parametrize(
    ("flags", "file"),
    [
        ([], "CartPole-v1.zip"),
        (["--load-best"], "best_model.zip"),
        (["--load-checkpoint", "128"], "rl_model_128_steps.zip"),
        (["--load-last-checkpoint"], "rl_model_256_steps.zip"),
        (["--load-last"], "rl_model_256_steps.zip"),
        (["--exp-id", "1"], "CartPole-v1.zip"),
    ],
)
def test_the_model_that_the_flags_choose_is_loaded(flags: list[str], file: str, command, ppo_run: Run) -> None:
    result = command(enjoy, *_arguments(ppo_run, "-n", "5", *flags))
    assert result.code == 0, result.err
    assert re.search(rf"Loading .*/{re.escape(file)}$", result.out, re.MULTILINE)


def test_a_reader_that_goes_away_is_no_error(ppo_run: Run, tmp_path: Path) -> None:
    import subprocess
    import sys

    arguments = _arguments(ppo_run, "-n", "20000")
    process = subprocess.Popen(
        [sys.executable, "-m", "rl_experiments.enjoy", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    assert process.wait(timeout=60) == 141


def test_it_works_in_a_process_of_its_own(ppo_run: Run, tmp_path: Path) -> None:
    result = run_module("rl_experiments.enjoy", *_arguments(ppo_run, "-n", "50"), cwd=tmp_path)
    assert result.code == 0, result.err
    assert "Mean reward" in result.out
