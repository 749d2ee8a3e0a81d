"""Going on from a trained model (-i): what is taken over, what is not, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl_experiments import Run, train
from rl_experiments.algorithms import algorithm_names
from rl_experiments.algorithms.sb3.archive import read_data
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.training.continuing import algorithms_of
from tests.helpers.tiny import tiny_experiment

ARGUMENTS = ("-n", "64", "--num-threads", "1", "--eval-freq", "-1", "-f", "new")
A2C = ("--algo", "a2c", "--env", "Pendulum-v1")


@pytest.mark.parametrize("algo", algorithm_names("sb3"))
def test_the_algorithm_of_a_model_is_known(algo: str, tmp_path: Path) -> None:
    env = "Pendulum-v1" if algo in ("crossq", "ddpg", "sac", "td3", "tqc") else "CartPole-v1"
    run = tiny_experiment(algo, env, tmp_path, n_timesteps=70).run().run
    found = algorithms_of(read_data(run.final_model))
    # DDPG is TD3 with other numbers.
    assert found == (["ddpg", "td3"] if algo in ("ddpg", "td3") else [algo])


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--algo", "dqn", "--env", "CartPole-v1"), ["is a model of ppo", "go on with dqn", "--algo ppo"]),
        (("--algo", "a2c", "--env", "CartPole-v1"), ["is a model of ppo", "go on with a2c"]),
        (("--algo", "ppo", "--env", "Acrobot-v1"), ["observation space", "(4,)", "Acrobot-v1", "(6,)"]),
        (("--algo", "ppo", "--env", "toy_envs:ToyLine-v0"), ["observation space", "ToyLine-v0"]),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_both_names(
    arguments: tuple[str, ...], parts: list[str], dry: bool, command, ppo_run: Run, tmp_path: Path
) -> None:
    given = (*arguments, *ARGUMENTS, "-i", str(ppo_run.final_model), *(["--dry-run"] if dry else []))
    command(train, *given).assert_refused(str(ppo_run.final_model), *parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("which", "statistics"),
    [
        ("Pendulum-v1", "Pendulum-v1/vecnormalize.pkl"),
        ("best_model", "best_model_vecnormalize.pkl"),
        ("rl_model_200_steps", "rl_model_vecnormalize_200_steps.pkl"),
    ],
)
def test_the_statistics_of_the_model_are_taken(which: str, statistics: str, command, normalized_run: Run) -> None:
    model = normalized_run.path / f"{which}.zip"
    result = command(train, *A2C, *ARGUMENTS, "-i", str(model), "-params", "normalize:True", "--dry-run")
    assert f"Note: The normalisation goes on from {normalized_run.path / statistics}" in result.out


def test_statistics_that_are_not_taken_are_named(command, normalized_run: Run) -> None:
    given = ("-i", str(normalized_run.final_model), "-params", "normalize:False")
    result = command(train, *A2C, *ARGUMENTS, *given)
    assert result.code == 0, result.err
    assert f"{normalized_run.final_statistics} is not used" in result.out
    assert "normalize:True" in result.out


def test_statistics_that_are_missing_are_named(command, tmp_path: Path) -> None:
    run = tiny_experiment("a2c", "Pendulum-v1", tmp_path / "old", {"normalize": False}).run().run
    result = command(train, *A2C, *ARGUMENTS, "-i", str(run.final_model), "-params", "normalize:True")
    assert "Note: There are no normalisation statistics beside" in result.out


def test_a_replay_buffer_of_other_environments_is_refused(tmp_path: Path) -> None:
    first = tiny_experiment("dqn", "CartPole-v1", tmp_path, save_replay_buffer=True).run().run
    experiment = tiny_experiment("dqn", "CartPole-v1", tmp_path, {"n_envs": 2}, trained_agent=str(first.final_model))
    with pytest.raises(ConfigurationError, match=r"replay buffer .* 1 environments .* this training has 2"):
        experiment.run()
    assert not (tmp_path / "dqn" / "CartPole-v1_2").exists()


def test_each_model_goes_on_with_the_replay_buffer_of_its_moment(tmp_path: Path, capsys) -> None:
    first = tiny_experiment("dqn", "CartPole-v1", tmp_path, save_replay_buffer=True, n_timesteps=160, save_freq=64)
    run = first.run().run
    buffers = {
        run.checkpoint(64): (run.path / "rl_model_replay_buffer_64_steps.pkl", 63),  # within a step
        run.path / "checkpoints" / f"{64:010d}" / "model.zip": (run.path / "checkpoints" / f"{64:010d}", 64),
        run.final_model: (run.path / "replay_buffer.pkl", 160),
    }
    for model, (buffer, size) in buffers.items():
        going_on = tiny_experiment("dqn", "CartPole-v1", tmp_path, trained_agent=str(model), n_timesteps=8)
        assert going_on.run().model.replay_buffer.size() == size + 8
        assert f"replay buffer {buffer}\n" in capsys.readouterr().out


def test_a_checkpoint_s_buffer_of_another_size_is_not_taken(tmp_path: Path, capsys) -> None:
    run = tiny_experiment("dqn", "CartPole-v1", tmp_path, n_timesteps=80, save_freq=64).run().run
    model = run.path / "checkpoints" / f"{64:010d}" / "model.zip"
    other = tiny_experiment("dqn", "CartPole-v1", tmp_path, {"buffer_size": 77}, trained_agent=str(model))
    other.run()
    assert "(buffer_size was" in capsys.readouterr().out
