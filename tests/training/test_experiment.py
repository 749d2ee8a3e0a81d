"""What a training leaves on disk, how it goes on, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_experiments import Experiment, RLExperimentsError, Run, load_agent, train
from rl_experiments.core import pickles
from rl_experiments.core.errors import ConfigurationError, TrainingError
from rl_experiments.runs import RunRecord, find_run
from tests.helpers.commands import run_module, start_module
from tests.helpers.tiny import TINY, tiny_experiment

PPO = ("--algo", "ppo", "--env", "CartPole-v1", "--num-threads", "1")
SMALL = ("-params", "n_envs:2", "n_steps:32", "batch_size:16", "n_epochs:1", "policy_kwargs:dict(net_arch=[8])")


# --- Evaluations and checkpoints ---


def test_evaluations_have_the_form_of_sb3(ppo_run: Run) -> None:
    with np.load(ppo_run.evaluations_file, allow_pickle=False) as content:
        assert set(content) == {"timesteps", "results", "ep_lengths"}
        assert content["timesteps"].tolist() == [128, 256]
        assert content["results"].shape == content["ep_lengths"].shape == (2, 2)
        np.testing.assert_array_equal(content["results"], content["ep_lengths"])


def test_evaluations_come_as_often_as_asked_with_several_environments(tmp_path: Path) -> None:
    run = tiny_experiment(
        "ppo", "CartPole-v1", tmp_path, {"n_envs": 4}, n_timesteps=256, eval_freq=64, save_freq=128, eval_episodes=3
    ).run()
    content = np.load(run.run.evaluations_file)
    assert content["timesteps"].tolist() == [64, 128, 192, 256]
    assert content["results"].shape == (4, 3)
    assert run.run.checkpoints() == [128, 256]


def test_the_first_best_model_stays_when_none_is_better(tmp_path: Path) -> None:
    """The toy line always returns 55."""
    run = tiny_experiment("ppo", "toy_envs:ToyLine-v0", tmp_path, n_timesteps=192, eval_freq=64).run().run
    data = load_agent(run, "best", gym_packages=("toy_envs",)).agent.model  # type: ignore[attr-defined]
    assert data.num_timesteps == 64


def test_no_evaluation_and_no_checkpoint_where_they_are_off(toy_run: Run) -> None:
    assert not toy_run.evaluations_file.exists()
    assert not toy_run.best_model.exists()
    assert toy_run.checkpoints() == []


def test_the_evaluation_has_the_arguments_of_the_training_environment(tmp_path: Path) -> None:
    """Ten times the scale is ten times the return; the zoo would evaluate on another task."""
    given = {"env_kwargs": "dict(scale=10.0)"}
    run = tiny_experiment("ppo", "toy_envs:ToyLine-v0", tmp_path, given, n_timesteps=64, eval_freq=64).run().run
    assert np.load(run.evaluations_file)["results"].tolist() == [[550.0] * 5]


def test_arguments_for_the_evaluation_alone_reach_it_alone(tmp_path: Path) -> None:
    experiment = tiny_experiment(
        "ppo", "toy_envs:ToyLine-v0", tmp_path, n_timesteps=64, eval_freq=64, eval_env_kwargs={"scale": 2.0}
    )
    run = experiment.run().run
    assert np.load(run.evaluations_file)["results"].tolist() == [[110.0] * 5]
    assert "55.0,10" in (run.path / "0.monitor.csv").read_text()


def test_replay_buffers_are_saved_when_asked(tmp_path: Path) -> None:
    run = tiny_experiment("dqn", "CartPole-v1", tmp_path, save_replay_buffer=True, save_freq=100).run().run
    buffer = pickles.loads((run.path / "replay_buffer.pkl").read_bytes())
    assert buffer.pos == 200
    assert (run.path / "rl_model_replay_buffer_100_steps.pkl").is_file()


def test_tensorboard_logs_are_written(tmp_path: Path) -> None:
    tiny_experiment("ppo", "CartPole-v1", tmp_path / "logs", tensorboard_log=str(tmp_path / "tb")).run()
    assert list((tmp_path / "tb" / "CartPole-v1").glob("*/events.out.tfevents.*"))


def test_callbacks_of_the_configuration_are_called(tmp_path: Path) -> None:
    callback = {
        "stable_baselines3.common.callbacks.CheckpointCallback": {"save_freq": 20, "save_path": str(tmp_path / "own")}
    }
    named = [callback, {"rl_zoo3.callbacks.SaveVecNormalizeCallback": {"save_freq": 20, "save_path": str(tmp_path)}}]
    tiny_experiment("a2c", "Pendulum-v1", tmp_path / "logs", {"callback": named, "normalize": True}).run()
    assert list((tmp_path / "own").glob("rl_model_*_steps.zip"))
    assert (tmp_path / "vecnormalize.pkl").is_file()


def test_single_episodes_are_logged_by_the_callback_of_the_zoo(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    given = {"callback": "rl_zoo3.callbacks.RawStatisticsCallback"}
    experiment = tiny_experiment(
        "ppo", "toy_envs:ToyLine-v0", tmp_path / "logs", given, tensorboard_log=str(tmp_path / "tb")
    )
    experiment.run()
    (folder,) = (path.parent for path in (tmp_path / "tb").rglob("events*"))
    log = EventAccumulator(str(folder))
    log.Reload()
    returns = [event.value for event in log.Scalars("raw/rollouts/episodic_return")]
    assert returns[:3] == [55.0] * 3


def test_that_callback_without_tensorboard_is_an_error_that_leaves_no_run(tmp_path: Path) -> None:
    given = {"callback": "rl_zoo3.callbacks.RawStatisticsCallback"}
    with pytest.raises(RLExperimentsError, match="--tensorboard-log"):
        tiny_experiment("ppo", "CartPole-v1", tmp_path, given).run()


def test_a_unique_id_is_appended(tmp_path: Path) -> None:
    run = tiny_experiment("ppo", "CartPole-v1", tmp_path, uuid=True).run().run
    assert len(run.path.name) == len("CartPole-v1_1_") + 36
    assert find_run(tmp_path, "ppo", "CartPole-v1", 1).path == run.path
    again = tiny_experiment("ppo", "CartPole-v1", tmp_path).run().run
    assert again.path.name == "CartPole-v1_2"


# --- The command ---


def test_the_command_trains_and_says_where(command, tmp_path: Path) -> None:
    result = command(train, *PPO, "-n", "64", "--seed", "3", *SMALL)
    assert result.code == 0, result.err
    assert "Saved to logs/ppo/CartPole-v1_1" in result.out
    assert "Seed" in result.out or "seed 3" in result.out
    assert (tmp_path / "logs/ppo/CartPole-v1_1/CartPole-v1.zip").is_file()


def test_quiet_is_quiet(command) -> None:
    result = command(train, *PPO, "-n", "64", "--verbose", "0", *SMALL)
    assert (result.code, result.out, result.err) == (0, "", "")


def test_a_dry_run_prints_every_value_with_its_origin_and_leaves_nothing(command, tmp_path: Path) -> None:
    result = command(train, *PPO, "--dry-run", "-n", "64", "--seed", "3", "-params", "gamma:0.9", "batch_size:8")
    assert result.code == 0, result.err
    rows = {line.split()[0]: line for line in result.out.splitlines() if "#" in line}
    assert rows["gamma"].split() == ["gamma", "0.9", "#", "command", "line"]
    assert rows["n_timesteps"].split()[1] == "64"
    assert rows["gae_lambda"].endswith("ppo.yml, block CartPole-v1")
    assert rows["vf_coef"].endswith("default of PPO")
    assert "seed 3" in result.out
    assert "Box(" in result.out
    assert "Discrete(2)" in result.out
    assert list(tmp_path.iterdir()) == []


def test_the_command_is_recorded(tmp_path: Path) -> None:
    result = run_module("rl_experiments.train", *PPO, "-n", "64", *SMALL, cwd=tmp_path)
    assert result.code == 0, result.err
    command = (tmp_path / "logs/ppo/CartPole-v1_1/CartPole-v1/command.txt").read_text()
    assert "-m rl_experiments.train --algo ppo --env CartPole-v1" in command
    assert "'policy_kwargs:dict(net_arch=[8])'" in command


@pytest.mark.parametrize(
    ("naming", "later"),
    [
        (("--env", "ToyLine-v0", "--gym-packages", "toy_envs"), ("--env", "ToyLine-v0", "--gym-packages", "toy_envs")),
        (("--env", "toy_envs:ToyLine-v0"), ("--env", "toy_envs:ToyLine-v0")),
        (("--env", "toy_envs:ToyLine-v0"), ("--env", "ToyLine-v0")),
    ],
)
def test_a_custom_environment_works_on_every_command(
    naming: tuple[str, ...], later: tuple[str, ...], tmp_path: Path
) -> None:
    """Each command in a process of its own, that has not imported the package yet."""
    settings = ("-n", "64", "--num-threads", "1", "--eval-freq", "64", *SMALL)
    trained = run_module("rl_experiments.train", *naming, *settings, cwd=tmp_path)
    assert trained.code == 0, trained.err
    arguments = ("-f", "logs", "--no-render", "--n-episodes", "2")
    enjoyed = run_module("rl_experiments.enjoy", *later, *arguments, cwd=tmp_path)
    assert enjoyed.code == 0, enjoyed.err
    assert "Mean reward: 55.00 +/- 0.00" in enjoyed.out


# --- Going on ---


def test_training_goes_on_with_weights_statistics_and_replay_buffer(tmp_path: Path, command) -> None:
    first = tiny_experiment(
        "sac", "Pendulum-v1", tmp_path / "first", {"normalize": True}, save_replay_buffer=True
    ).run()
    hyperparams = [f"{key}:{value}" for key, value in TINY["sac"].items() if key != "policy_kwargs"]
    result = command(
        train,
        *("--algo", "sac", "--env", "Pendulum-v1", "-n", "50", "-f", "second", "--num-threads", "1"),
        *("-i", str(first.run.final_model), "--save-replay-buffer"),
        *("-params", "normalize:True", *hyperparams, "learning_starts:1000"),
    )
    assert result.code == 0, result.err
    assert f"Going on from the model {first.run.final_model}" in result.out
    assert f"normalisation {first.run.final_statistics}" in result.out
    assert f"replay buffer {first.run.path / 'replay_buffer.pkl'}" in result.out
    second = find_run(tmp_path / "second", "sac", "Pendulum-v1")
    before = pickles.loads(first.run.final_statistics.read_bytes()).obs_rms.count
    after = pickles.loads(second.final_statistics.read_bytes()).obs_rms.count
    assert after == pytest.approx(before + 51, abs=2)
    assert pickles.loads((second.path / "replay_buffer.pkl").read_bytes()).pos in range(250, 257)
    # Learning did not start again: the weights are those of the first run.
    old, new = (load_agent(run).agent.model.policy.state_dict() for run in (first.run, second))  # type: ignore[attr-defined]
    assert all(np.array_equal(old[name].numpy(), new[name].numpy()) for name in old)


def test_training_goes_on_from_a_checkpoint_with_its_own_statistics(normalized_run: Run, tmp_path: Path) -> None:
    model = normalized_run.checkpoint(200)
    result = tiny_experiment(
        "a2c", "Pendulum-v1", tmp_path, {"normalize": True}, trained_agent=str(model), n_timesteps=20
    ).run()
    before = pickles.loads(normalized_run.checkpoint_statistics(200).read_bytes()).obs_rms.count
    after = pickles.loads(result.run.final_statistics.read_bytes()).obs_rms.count
    assert before + 20 <= after <= before + 40


@pytest.mark.parametrize("algo", ["ppo", "dqn", "sac", "ppo_lstm", "trpo", "ars", "tqc", "qrdqn", "crossq"])
def test_every_algorithm_goes_on(algo: str, tmp_path: Path) -> None:
    env = "Pendulum-v1" if algo in ("sac", "tqc", "crossq") else "CartPole-v1"
    first = tiny_experiment(algo, env, tmp_path).run()
    second = tiny_experiment(algo, env, tmp_path, trained_agent=str(first.run.final_model)).run()
    assert second.status == "finished"
    assert second.run.path.name == f"{env}_2"


def test_going_on_takes_the_new_hyperparameters(ppo_run: Run, tmp_path: Path) -> None:
    given = {"learning_rate": 0.0123, "gamma": 0.5}
    experiment = tiny_experiment("ppo", "CartPole-v1", tmp_path, given, trained_agent=str(ppo_run.final_model))
    model = experiment.run().model
    assert model.gamma == 0.5
    assert model.policy.optimizer.param_groups[0]["lr"] == 0.0123


def test_a_model_of_another_environment_is_refused_and_leaves_no_run(ppo_run: Run, tmp_path: Path) -> None:
    experiment = tiny_experiment("ppo", "Acrobot-v1", tmp_path, trained_agent=str(ppo_run.final_model))
    with pytest.raises(RLExperimentsError, match=r"CartPole-v1\.zip"):
        experiment.run()
    assert not list(tmp_path.glob("*/*"))


# --- Endings ---


def _start(tmp_path: Path, *arguments: str) -> tuple[subprocess.Popen[str], Path]:
    """Start a training that would take minutes, and wait until it has begun."""
    given = ("--env", "toy_envs:ToySlow-v0", "-n", "1000000", *arguments)
    process = start_module("rl_experiments.train", *given, cwd=tmp_path)
    monitor = tmp_path / "logs" / "ppo" / "ToySlow-v0_1" / "0.monitor.csv"
    deadline = time.monotonic() + 60
    while not (monitor.is_file() and len(monitor.read_text().splitlines()) > 3):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process, monitor.parent


@pytest.mark.parametrize(
    ("name", "vec_env", "code"), [("SIGTERM", "dummy", 143), ("SIGINT", "dummy", 130), ("SIGTERM", "subproc", 143)]
)
def test_a_training_that_is_killed_saves_first(name: str, vec_env: str, code: int, tmp_path: Path) -> None:
    process, folder = _start(tmp_path, "--num-threads", "1", "--vec-env", vec_env, *SMALL)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
    assert f"{name}: stopping" in err
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert record["reason"] == name
    assert 0 < record["steps"] < 1_000_000
    agent = load_agent(folder, gym_packages=("toy_envs",))
    assert agent.agent.model.num_timesteps == record["steps"]  # type: ignore[attr-defined]


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    process, _ = _start(tmp_path, "--num-threads", "1", *SMALL)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode in (143, -signal.SIGTERM)


@pytest.mark.parametrize("vec_env", ["dummy", "subproc"])
def test_an_environment_that_breaks_leaves_a_checkpoint_and_a_reason(vec_env: str, command, tmp_path: Path) -> None:
    arguments = ("--env", "toy_envs:ToyBreaks-v0", "-n", "1000", "--num-threads", "1", "--vec-env", vec_env)
    result = command(train, *arguments, *SMALL)
    assert result.code == 1, result.err
    assert "Traceback" not in result.err
    if vec_env == "dummy":
        assert "the line broke" in result.err
    run = find_run(tmp_path / "logs", "ppo", "ToyBreaks-v0")
    record = RunRecord.read(run)
    assert record["status"] == "failed"
    (steps,) = run.checkpoints()
    assert steps == record["steps"] > 0
    assert load_agent(run, steps, gym_packages=("toy_envs",)).agent.model.num_timesteps == steps  # type: ignore[attr-defined]
    assert not run.final_model.exists()


def test_an_environment_that_fails_in_its_own_process_is_an_error_that_leaves_no_run(tmp_path: Path) -> None:
    experiment = tiny_experiment("ppo", "toy_envs:ToyOnlyHere-v0", tmp_path, vec_env="subproc")
    with pytest.raises(ConfigurationError, match="process of its own"):
        experiment.run()
    assert not list(tmp_path.glob("*/*"))


def test_a_failure_is_an_error_in_python_too(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the line broke"):
        tiny_experiment("ppo", "toy_envs:ToyBreaks-v0", tmp_path, n_timesteps=1000).run()


def test_rewards_that_are_no_numbers_end_with_an_error(tmp_path: Path) -> None:
    """NaN weights make torch's distributions raise; that is a failed training, not a mistake of ours."""
    given = {"learning_rate": 1e30, "n_epochs": 10}
    experiment = tiny_experiment("ppo", "Pendulum-v1", tmp_path, given, n_timesteps=2000)
    with pytest.raises(TrainingError, match="Training failed after"):
        experiment.run()


# --- Threads ---


def _record(experiment: Experiment) -> dict[str, Any]:
    return RunRecord.read(experiment.run().run)


def test_a_given_number_of_threads_is_used(tmp_path: Path) -> None:
    import torch

    record = _record(tiny_experiment("ppo", "CartPole-v1", tmp_path, num_threads=2))
    assert record["threads"] == {"count": 2, "reason": "as given", "seconds_per_step": {}}
    assert torch.get_num_threads() == 2


def test_threads_are_measured_once_and_remembered(tmp_path: Path, fresh_cache: Path, monkeypatch) -> None:
    from rl_experiments.training import threads

    monkeypatch.setattr(threads, "available_cores", lambda: 4)
    monkeypatch.setattr(threads, "free_cores", lambda: 4)
    first = _record(tiny_experiment("ppo", "CartPole-v1", tmp_path / "1", num_threads="auto"))["threads"]
    assert first["reason"] == "measured"
    assert set(first["seconds_per_step"]) == {"1", "2", "4"}
    other_seed = _record(tiny_experiment("ppo", "CartPole-v1", tmp_path / "2", num_threads="auto", seed=2))["threads"]
    assert "measured before" in other_seed["reason"]
    again = _record(tiny_experiment("ppo", "CartPole-v1", tmp_path / "3", num_threads="auto"))["threads"]
    assert "this experiment" in again["reason"]
    assert first["count"] == other_seed["count"] == again["count"]
    assert (fresh_cache / "threads.json").is_file()


def test_a_repeated_experiment_uses_the_count_that_its_run_recorded(tmp_path: Path, fresh_cache: Path) -> None:
    first = tiny_experiment("ppo", "CartPole-v1", tmp_path, num_threads=2).run()
    assert not (fresh_cache / "threads.json").exists()
    second = _record(tiny_experiment("ppo", "CartPole-v1", tmp_path, num_threads="auto"))
    assert second["experiment_id"] == RunRecord.read(first.run)["experiment_id"]
    assert second["threads"]["count"] == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"networks": 5}', ""])
def test_a_damaged_memory_costs_a_measurement_only(content: str, tmp_path: Path) -> None:
    from rl_experiments.training.threads import ThreadMemory

    (tmp_path / "threads.json").write_text(content)
    memory = ThreadMemory(tmp_path / "threads.json")
    assert memory.recall("networks", "x") is None
    memory.remember("networks", "x", 2)
    assert memory.recall("networks", "x") == 2


def test_the_memory_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rl_experiments.training import threads

    monkeypatch.setattr(threads, "MEMORY_SIZE", 3)
    memory = threads.ThreadMemory(tmp_path / "threads.json")
    for number in range(5):
        memory.remember("networks", str(number), 1)
    assert [memory.recall("networks", str(number)) for number in range(5)] == [None, None, 1, 1, 1]


@pytest.mark.parametrize(
    ("measured", "count"),
    [({1: 1.0, 2: 0.5}, 2), ({1: 1.0, 2: 0.99}, 1), ({1: 1.0, 2: 2.0, 4: 0.5}, 4), ({1: 1.0}, 1)],
)
def test_more_threads_are_taken_only_where_they_gain(measured: dict[int, float], count: int) -> None:
    from rl_experiments.training.threads import choose

    assert choose(measured) == count


@pytest.mark.parametrize(
    "algo", ["a2c", "ars", "crossq", "ddpg", "dqn", "ppo", "ppo_lstm", "ppo_mask", "qrdqn", "sac", "td3", "tqc", "trpo"]
)
def test_threads_can_be_measured_for_every_algorithm(algo: str, tmp_path: Path, fresh_cache: Path) -> None:
    from rl_experiments.training.preparation import prepare
    from rl_experiments.training.thread_choice import _measure_threads

    env = "Pendulum-v1" if algo in ("crossq", "ddpg", "sac", "td3", "tqc") else "CartPole-v1"
    measured = _measure_threads(prepare(tiny_experiment(algo, env, tmp_path)), [1, 2])
    assert all(0 < seconds < 10 for seconds in measured.values())
    assert set(measured) == {1, 2}
