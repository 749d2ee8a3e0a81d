"""What a run's configuration says to the world."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from rl_experiments import Run
from rl_experiments.core import yaml_io
from rl_experiments.hub.scrubbing import published_arguments, published_env_kwargs, published_hyperparameters


def _run(ppo_run: Run, tmp_path: Path, config: dict[str, Any], arguments: dict[str, Any]) -> Run:
    copy = shutil.copytree(ppo_run.path, tmp_path / "ppo" / ppo_run.path.name)
    folder = copy / ppo_run.env_name
    (folder / "config.yml").write_text(yaml_io.dump_like_the_zoo({**ppo_run.hyperparameters, **config}))
    (folder / "args.yml").write_text(yaml_io.dump_like_the_zoo({**ppo_run.arguments, **arguments}))
    return Run(copy, "ppo", ppo_run.env_name)


@pytest.mark.parametrize(
    ("value", "published"),
    [
        ("/home/ann/runs", "runs"),
        ("~/runs", "runs"),
        (r"C:\Users\ann\model.zip", "model.zip"),
        ("logs/", "logs/"),
        ("a/b", "a/b"),
        ("hf_abcdefghijklmnop", ""),
        ("--data=/home/ann/x", "--data=x"),
        ("file:///home/ann/y.txt", "y.txt"),
        ("../../home/ann/w", "w"),
        ("Bearer abcdef", "Bearer "),
        ("a: 50 / 3", "a: 50 / 3"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("ALE/Pong-v5", "ALE/Pong-v5"),
        ("postgresql://ann:pw@db.example.org/x", "postgresql://db.example.org/x"),
        ("dict(net_arch=[64, 64], activation_fn=nn.ReLU)", "dict(net_arch=[64, 64], activation_fn=nn.ReLU)"),
        ("dict(path='/home/ann/x.xml', n=1)", "dict(path='x.xml', n=1)"),
        (["/home/ann/a", {"b": "/home/ann/c"}], ["a", {"b": "c"}]),
        (3, 3),
        (None, None),
    ],
)
def test_places_and_secrets_are_hidden(value: Any, published: Any, ppo_run: Run, tmp_path: Path) -> None:
    run = _run(ppo_run, tmp_path, {"policy_kwargs": value}, {"conf_file": value})
    assert published_arguments(run)["conf_file"] == published
    assert published_hyperparameters(run)["policy_kwargs"] == published


@pytest.mark.parametrize(
    "key", ["token", "hub_token", "api_key", "private-key", "auth", "pwd", "wandb_password", "storage", "wandb_entity"]
)
def test_keys_that_name_a_secret_have_no_value(key: str, ppo_run: Run, tmp_path: Path) -> None:
    assert published_arguments(_run(ppo_run, tmp_path, {}, {key: "xyzzy"}))[key] is None


def test_how_it_was_drawn_is_not_published(ppo_run: Run, tmp_path: Path) -> None:
    config = {"env_kwargs": "dict(render_mode='human', sutton_barto_reward=True)"}
    run = _run(ppo_run, tmp_path, config, {"env_kwargs": {"render_mode": "rgb_array"}})
    assert published_env_kwargs(run) == {"sutton_barto_reward": True}
    assert published_hyperparameters(run)["env_kwargs"] == "dict(sutton_barto_reward=True)"
    assert published_arguments(run)["env_kwargs"] is None


def test_a_number_under_such_a_name_is_a_setting(ppo_run: Run, tmp_path: Path) -> None:
    assert published_arguments(_run(ppo_run, tmp_path, {}, {"n_tokens": 5}))["n_tokens"] == 5
