"""Watching and scoring a trained agent from the command line."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rl_experiments import Run, enjoy
from tests.helpers.commands import run_module, start_module, unmeasured
from tests.helpers.tiny import tiny_experiment
from tests.helpers.videos import decoded


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
    arguments = _arguments(ppo_run, "-n", "20000")
    process = start_module("rl_experiments.enjoy", *arguments, cwd=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    assert process.wait(timeout=60) == 141


def test_it_works_in_a_process_of_its_own(ppo_run: Run, tmp_path: Path) -> None:
    result = run_module("rl_experiments.enjoy", *_arguments(ppo_run, "-n", "50"), cwd=tmp_path)
    assert result.code == 0, result.err
    assert "Mean reward" in result.out


def test_record_makes_a_video_of_the_episodes_that_are_scored(command, toy_run: Run, tmp_path: Path) -> None:
    scores = ["--json", "-", "--n-episodes", "3"]
    plain = json.loads(command(enjoy, *_arguments(toy_run, *scores, "--verbose", "0")).out)
    result = command(enjoy, *_arguments(toy_run, *scores, "--verbose", "0", "--record", "out"))
    assert (result.code, result.err, json.loads(result.out)) == (0, "", plain)
    information, frames = decoded(tmp_path / "out" / "final-model-ppo-ToyLine-v0-episodes-1-to-3.mp4")
    assert information["fps"] == 10
    steps = np.round(frames.mean(axis=(1, 2, 3)) / 20).astype(int).tolist()
    assert steps == [*range(11)] * 3


def test_record_keeps_environments_apart_and_scores_as_without(command, toy_run: Run, tmp_path: Path) -> None:
    flags = ["-n", "13", "--n-envs", "2"]
    plain = command(enjoy, *_arguments(toy_run, *flags)).out.splitlines()
    result = command(enjoy, *_arguments(toy_run, *flags, "--record", "film.gif"))
    assert result.code == 0, result.err
    assert [line for line in result.out.splitlines() if not line.startswith("Video: ")] == plain
    assert sorted(path.name for path in tmp_path.glob("film*")) == ["film-env-0.gif", "film-env-1.gif"]
    assert len(decoded(tmp_path / "film-env-1.gif")[1]) == 11 + 4


def test_what_cannot_be_drawn_cannot_be_recorded(command, tmp_path: Path) -> None:
    run = tiny_experiment("ppo", "toy_envs:ToyInvisible-v0", tmp_path / "logs").run().run
    result = command(enjoy, *_arguments(run, "--record"))
    assert result.code == 1
    assert result.err.startswith("Error: No picture of toy_envs:ToyInvisible-v0 can be drawn: ")
    assert not (run.path / "videos").exists()


def test_an_environment_that_is_not_drawn_to_the_end_is_scored_to_the_end(command, tmp_path: Path) -> None:
    run = tiny_experiment("ppo", "toy_envs:ToyFades-v0", tmp_path / "logs").run().run
    result = command(enjoy, *_arguments(run, "--n-episodes", "2", "--record", "film.mp4"))
    assert result.code == 0
    assert result.err == "It cannot be drawn any more (OSError: the lamp went out): the video ends there\n"
    assert "2 Episodes" in result.out
    assert len(decoded(tmp_path / "film.mp4")[1]) == 5


# --- What cannot work is found before time is spent ---


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(command, toy_run: Run) -> None:
    for device in ("cuda", "cuda:7", "no_such_device"):
        command(enjoy, *_arguments(toy_run, "--device", device)).assert_refused(f"'{device}'", "not there")


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--load-best", "--load-last-checkpoint"], "give one"),
        (["--deterministic", "--stochastic"], "give one"),
        (["--seed", "-1"], "--seed"),
        (["--n-envs", "0"], "--n-envs must be at least 1"),
        (["-n", "0"], "--n-timesteps must be at least 1"),
        (["--n-episodes", "-5"], "--n-episodes must be at least 1"),
    ],
)
def test_flags_that_cannot_go_together_are_refused(flags: list[str], part: str, command, toy_run: Run) -> None:
    command(enjoy, *_arguments(toy_run, *flags)).assert_refused(part)


@pytest.mark.parametrize("flag", ["--json", "--reward-log", "--record"])
def test_a_target_that_cannot_be_written_is_found_before_playing(flag: str, command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    target = "file/target" if flag == "--json" else "file"
    command(enjoy, "--algo", "ppo", "--env", "No-v0", "-f", "nothing", flag, target).assert_refused(flag, target)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_is_no_target(command, tmp_path: Path) -> None:
    command(enjoy, "--algo", "ppo", "--env", "No-v0", "-f", "nothing", "--json", ".").assert_refused("it is a folder")


def test_a_device_as_target_stays_a_device(command, toy_run: Run) -> None:
    assert command(enjoy, *_arguments(toy_run, "-n", "10", "--json", "/dev/null", "--verbose", "0")).code == 0
    assert not Path("/dev/null").is_file()


def test_an_old_result_is_kept_where_the_agent_does_not_load(command, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("old")
    command(enjoy, "--algo", "ppo", "--env", "No-v0", "-f", "nothing", "--json", "out.json").assert_refused()
    assert (tmp_path / "out.json").read_text() == "old"


# --- Environments that fail ---


@pytest.fixture
def run_on(toy_run: Run, tmp_path: Path) -> Callable[[str], Run]:
    """A run of the toy agent, said to be on another environment with the same spaces."""

    def make(name: str) -> Run:
        folder = tmp_path / "logs" / "ppo" / f"{name}_1"
        (folder / name).mkdir(parents=True)
        shutil.copy(toy_run.final_model, folder / f"{name}.zip")
        (folder / name / "args.yml").write_text(f"env: toy_envs:{name}\n")
        return Run(folder, "ppo", name)

    return make


@pytest.mark.parametrize("n_envs", ["1", "2"])
def test_an_environment_that_fails_in_a_step_is_named_after_what_was_played(n_envs: str, command, run_on) -> None:
    result = command(enjoy, *_arguments(run_on("ToyBreaks-v0"), "-n", "200", "--n-envs", n_envs, "--json", "out.json"))
    assert result.code == 2
    if n_envs == "1":  # the traceback of a process of its own is printed by Python
        result.assert_refused("toy_envs:ToyBreaks-v0", "failed in step 100", "RuntimeError: the line broke")
    assert f"{9 * int(n_envs)} Episodes" in result.out
    assert "Mean reward: 55.00 +/- 0.00" in result.out
    assert "reward 45.00 after 9 steps" in result.out
    assert not Path("out.json").exists()


def test_an_environment_that_fails_at_its_reset_is_named(command, run_on) -> None:
    result = command(enjoy, *_arguments(run_on("ToyBreaksAtReset-v0"), "-n", "200"))
    result.assert_refused("failed in step 10", "RuntimeError: the line was not laid again")


def test_an_episode_that_never_ends_is_cut_off(command, run_on, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl_experiments.evaluation.evaluating.LONGEST_EPISODE", 50)
    result = command(enjoy, *_arguments(run_on("ToyEndless-v0"), "--n-episodes", "2"))
    assert result.code == 0, result.err
    assert "Mean episode length: 50.00" in result.out


def test_a_return_that_is_no_number_is_said_and_null_in_json(command, run_on) -> None:
    result = command(enjoy, *_arguments(run_on("ToyNotANumber-v0"), "--n-episodes", "3", "--json", "out.json"))
    assert result.code == 0, result.err
    assert "3 of these returns are NaN or infinite" in result.out

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    content = json.loads(Path("out.json").read_text(), parse_constant=refuse)
    assert content["returns"] == [None, None, None]
    assert content["mean_reward"] is None
    assert content["lengths"] == [10, 10, 10]


# --- Signals ---


@pytest.mark.parametrize("n_envs", ["1", "2"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_what_was_played(number: int, code: int, n_envs: str, run_on, tmp_path: Path) -> None:
    arguments = _arguments(run_on("ToySlow-v0"), "-n", "100000", "--n-envs", n_envs, "--json", "out.json")
    environment = {**unmeasured(), "PYTHONUNBUFFERED": "1"}
    process = start_module("rl_experiments.enjoy", *arguments, cwd=tmp_path, env=environment)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Episode Length"):
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, "Interrupted\n")
    assert "Mean reward: 55.00 +/- 0.00" in out
    assert set(json.loads((tmp_path / "out.json").read_text())["returns"]) == {55.0}
