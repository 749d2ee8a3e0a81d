"""What only Python can give to an experiment: classes, functions, paths, and values of the wrong type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rl_experiments import Experiment, Run, load_agent
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.runs import RunRecord
from tests.helpers.tiny import tiny_experiment


class OwnActivation(torch.nn.ReLU):
    """An activation of the user's own."""


def _saved(run: Run) -> dict[str, Any]:
    return dict(yaml_io.read(run.config_folder / "config.yml"))


def test_classes_are_saved_as_the_names_that_yaml_has(tmp_path: Path) -> None:
    given = {
        "policy_kwargs": {
            "net_arch": [8],
            "activation_fn": torch.nn.ReLU,
            "optimizer_class": torch.optim.SGD,
        }
    }
    result = tiny_experiment("ppo", "CartPole-v1", tmp_path, given).run()
    text = "dict(net_arch=[8], activation_fn=nn.ReLU, optimizer_class=th.optim.SGD)"
    assert _saved(result.run)["policy_kwargs"] == text
    assert dict(yaml_io.read(result.run.config_folder / "args.yml"))["hyperparams"]["policy_kwargs"] == text
    assert isinstance(result.model.policy.optimizer, torch.optim.SGD)
    again = tiny_experiment("ppo", "CartPole-v1", tmp_path, _saved(result.run)).run()
    assert isinstance(again.model.policy.optimizer, torch.optim.SGD)
    load_agent(result.run)


def test_a_class_of_ones_own_is_saved_by_its_path(tmp_path: Path) -> None:
    given = {"policy_kwargs": {"activation_fn": OwnActivation}}
    run = tiny_experiment("ppo", "CartPole-v1", tmp_path, given).run().run
    assert _saved(run)["policy_kwargs"] == f"dict(activation_fn={__name__}.OwnActivation)"


def test_a_class_without_a_name_is_refused(tmp_path: Path) -> None:
    class Hidden(torch.nn.ReLU):
        pass

    with pytest.raises(ConfigurationError, match="Hidden is defined inside a function"):
        tiny_experiment("ppo", "CartPole-v1", tmp_path, {"policy_kwargs": {"activation_fn": Hidden}})


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"policy_kwargs": {"activation_fn": torch.nn.ReLU()}}, "policy_kwargs .* holds a ReLU"),
        ({"gamma": lambda progress: 0.9}, "gamma .* holds a function"),
        ({"learning_rate": lambda progress: -1.0}, "learning_rate: the function gives -1.0"),
    ],
)
def test_what_no_file_could_hold_is_refused(given: dict[str, Any], parts: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=parts):
        tiny_experiment("ppo", "CartPole-v1", tmp_path, given).run()
    assert list(tmp_path.iterdir()) == []


def test_a_function_is_a_schedule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"learning_rate": lambda progress: 0.01 * progress, "n_envs": 1}
    experiment = tiny_experiment("ppo", "CartPole-v1", tmp_path, given, n_timesteps=64, verbose=1)
    result = experiment.run()
    assert "Note: learning_rate is a Python function" in capsys.readouterr().out
    assert result.model.policy.optimizer.param_groups[0]["lr"] == pytest.approx(0.0)
    assert _saved(result.run)["learning_rate"][0] == [0.0, 0.01]
    assert RunRecord.read(result.run)["hyperparameters"]["learning_rate"]["value"][-1] == [1.0, 0.0]
    load_agent(result.run)
    assert tiny_experiment("ppo", "CartPole-v1", tmp_path, trained_agent=str(result.run.final_model)).run()


def test_a_function_of_a_python_configuration_is_a_schedule(tmp_path: Path) -> None:
    (tmp_path / "schedules_of_mine.py").write_text(
        "def slower(progress):\n    return 0.01 * progress\n"
        "hyperparams = {'CartPole-v1': dict(policy='MlpPolicy', learning_rate=slower, clip_range=lambda p: 0.1)}\n"
    )
    run = tiny_experiment("ppo", "CartPole-v1", tmp_path, conf_file=tmp_path / "schedules_of_mine.py").run().run
    assert _saved(run)["clip_range"][0] == [0.0, 0.1]
    load_agent(run)


def test_paths_numbers_and_single_names_are_taken(tmp_path: Path) -> None:
    experiment = Experiment(
        log_folder=tmp_path,  # type: ignore[arg-type]
        gym_packages="toy_envs",  # type: ignore[arg-type]
        wandb_tags=["a", "b"],  # type: ignore[arg-type]
        n_timesteps=1e3,  # type: ignore[arg-type]
        seed=np.int64(3),  # type: ignore[arg-type]
    )
    assert (experiment.log_folder, experiment.gym_packages) == (str(tmp_path), ("toy_envs",))
    assert experiment.wandb_tags == ("a", "b")
    assert (experiment.n_timesteps, type(experiment.n_timesteps), type(experiment.seed)) == (1000, int, int)


@pytest.mark.parametrize(
    ("field", "value", "parts"),
    [
        ("n_timesteps", "many", "a whole number, but got str 'many'"),
        ("n_timesteps", 1.5, "a whole number, but got float 1.5"),
        ("n_timesteps", True, "a whole number, but got bool True"),
        ("env", 5, "a word, but got int 5"),
        ("log_folder", None, "a word, but got NoneType None"),
        ("hyperparams", [1], "a mapping or null, but got list"),
        ("env_kwargs", "x", "a mapping or null, but got str"),
        ("gym_packages", 5, "a list, each item a word, but got int 5"),
        ("gym_packages", ["a", 5], "a list, each item a word"),
        ("save_replay_buffer", "yes", "true or false, but got str 'yes'"),
        ("num_threads", 1.5, "a whole number or a word, but got float 1.5"),
        ("trial_id", "x", "a whole number or null"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(field: str, value: Any, parts: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{field} must be {parts}"):
        Experiment(**{field: value})
