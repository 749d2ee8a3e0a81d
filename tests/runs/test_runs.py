"""Runs on disk: finding them, what they hold, and loading agents from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rl_experiments import Run, evaluate, find_run, load_agent
from rl_experiments.core import pickles
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.runs import BEST, FINAL, LAST_CHECKPOINT, RunRecord, open_run
from tests.helpers.tiny import tiny_experiment


@pytest.fixture
def logs(ppo_run: Run, tmp_path: Path) -> Path:
    """A log folder with the runs 1, 2 and 10 of PPO on CartPole, and one of A2C."""
    for folder in ("ppo/CartPole-v1_1", "ppo/CartPole-v1_2", "ppo/CartPole-v1_10", "a2c/CartPole-v1_3"):
        shutil.copytree(ppo_run.path, tmp_path / "logs" / folder)
    return tmp_path / "logs"


def test_the_latest_run_is_the_one_with_the_largest_number(logs: Path) -> None:
    assert find_run(logs, "ppo", "CartPole-v1").path.name == "CartPole-v1_10"


def test_a_run_is_found_by_its_number(logs: Path) -> None:
    assert find_run(logs, "ppo", "CartPole-v1", 2).path.name == "CartPole-v1_2"


def test_a_run_without_a_model_is_not_the_latest(logs: Path) -> None:
    (logs / "ppo" / "CartPole-v1_11").mkdir()
    assert find_run(logs, "ppo", "CartPole-v1").path.name == "CartPole-v1_10"
    (logs / "ppo" / "CartPole-v1_10" / "best_model.zip").unlink()
    assert find_run(logs, "ppo", "CartPole-v1", which=BEST).path.name == "CartPole-v1_2"


def test_a_run_with_a_unique_id_is_found(logs: Path) -> None:
    (logs / "ppo" / "CartPole-v1_10").rename(logs / "ppo" / "CartPole-v1_10_4f6c-12ab")
    assert find_run(logs, "ppo", "CartPole-v1").path.name == "CartPole-v1_10_4f6c-12ab"
    assert find_run(logs, "ppo", "CartPole-v1", 10).path.name == "CartPole-v1_10_4f6c-12ab"
    assert load_agent(logs / "ppo" / "CartPole-v1_10_4f6c-12ab").run.env_name == "CartPole-v1"


def test_without_a_run_folder_models_lie_in_the_algorithms(logs: Path) -> None:
    folder = logs / "ppo"
    for entry in (folder / "CartPole-v1_1").iterdir():
        entry.rename(folder / entry.name)
    run = find_run(logs, "ppo", "CartPole-v1", -1)
    assert run.path == folder
    assert load_agent(run).saved.path == folder / "CartPole-v1.zip"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("ppo", "CartPole-v1", 5), "There are: 1, 2, 10"),
        (("ppo", "CartPole-v0"), "'CartPole-v1'"),
        (("dqn", "CartPole-v1"), "--algo"),
        (("ppo", "../CartPole-v1"), "no environment id"),
    ],
)
def test_a_run_that_is_not_there_says_what_is(logs: Path, arguments: tuple[Any, ...], part: str) -> None:
    with pytest.raises((NotFoundError, ConfigurationError), match=part):
        find_run(logs, *arguments)


def test_without_a_folder_of_the_algorithm_the_number_minus_1_is_an_error(logs: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no folder"):
        find_run(logs, "td3", "CartPole-v1", -1)


def test_a_path_is_a_run(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(logs / "ppo" / "CartPole-v1_2")
    assert (run.algorithm, run.env_name) == ("ppo", "CartPole-v1")
    monkeypatch.chdir(logs / "ppo" / "CartPole-v1_2")
    assert open_run(".").algorithm == "ppo"
    with pytest.raises(NotFoundError):
        open_run(logs / "nothing")
    with pytest.raises(ConfigurationError, match="<algo>"):
        open_run(logs)


def test_a_run_holds_the_files_of_the_zoo(ppo_run: Run) -> None:
    names = {str(path.relative_to(ppo_run.path)) for path in ppo_run.path.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith("checkpoints/")} == {
        "CartPole-v1.zip",
        "best_model.zip",
        "evaluations.npz",
        "0.monitor.csv",
        "1.monitor.csv",
        "run.json",
        "CartPole-v1/config.yml",
        "CartPole-v1/args.yml",
        "CartPole-v1/command.txt",
        *(f"rl_model_{steps}_steps.zip" for steps in (64, 128, 192, 256)),
    }


def test_the_configuration_is_that_of_the_zoo(ppo_run: Run) -> None:
    config = yaml.load((ppo_run.config_folder / "config.yml").read_text(), Loader=yaml.UnsafeLoader)
    arguments = yaml.load((ppo_run.config_folder / "args.yml").read_text(), Loader=yaml.UnsafeLoader)
    assert list(config) == sorted(config)
    assert config["n_timesteps"] == 256
    assert config["policy_kwargs"] == "dict(net_arch=[8])"
    assert (arguments["algo"], arguments["env"], arguments["seed"]) == ("ppo", "CartPole-v1", 1)
    assert arguments["env_kwargs"] is None
    assert dict(ppo_run.hyperparameters) == dict(config)
    assert ppo_run.arguments == dict(arguments)


def test_checkpoints_are_listed_in_order(ppo_run: Run) -> None:
    assert ppo_run.checkpoints() == [64, 128, 192, 256]
    assert ppo_run.model(LAST_CHECKPOINT).path.name == "rl_model_256_steps.zip"
    assert ppo_run.model(128).path.name == "rl_model_128_steps.zip"


@pytest.mark.parametrize("which", [5, "bst"])
def test_a_model_that_is_not_there_says_what_is(ppo_run: Run, which: Any) -> None:
    part = "64, 128, 192, 256" if which == 5 else "'best'"
    with pytest.raises((NotFoundError, ConfigurationError), match=part):
        ppo_run.model(which)


def test_every_model_has_the_normalisation_of_its_moment(normalized_run: Run) -> None:
    counts = {}
    for which in (100, 200, 300, 400, FINAL, BEST):
        saved = normalized_run.model(which)
        assert saved.statistics is not None
        counts[which] = pickles.loads(saved.statistics.read_bytes()).obs_rms.count
    assert counts[100] < counts[200] < counts[300] < counts[400] <= counts[FINAL]
    assert normalized_run.model(BEST).statistics == normalized_run.best_statistics
    assert normalized_run.model(200).statistics == normalized_run.path / "rl_model_vecnormalize_200_steps.pkl"


def test_the_best_model_scores_as_it_did_in_its_evaluation(normalized_run: Run) -> None:
    results = np.load(normalized_run.evaluations_file)["results"]
    record = RunRecord.read(normalized_run)
    assert record["best_mean_reward"] == results.mean(axis=1).max()
    # The file keeps the statistics with which it was the best: each episode is between -2000 and 0 there too.
    assert evaluate(load_agent(normalized_run, BEST), n_episodes=1).mean_reward < 0


def test_one_normalisation_for_all_models_is_read_as_the_zoo_leaves_it(normalized_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "a2c" / normalized_run.path.name
    shutil.copytree(normalized_run.path, folder)
    for file in [folder / "best_model_vecnormalize.pkl", *folder.glob("rl_model_vecnormalize_*")]:
        file.unlink()
    run = open_run(folder)
    assert run.model(BEST).statistics == run.model(100).statistics == run.final_statistics


def test_missing_normalisation_is_an_error(normalized_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "a2c" / normalized_run.path.name
    shutil.copytree(normalized_run.path, folder)
    (folder / "Pendulum-v1" / "vecnormalize.pkl").unlink()
    with pytest.raises(NotFoundError, match="normalisation"):
        load_agent(folder)


def test_a_stray_normalisation_in_the_working_directory_is_not_read(
    ppo_run: Run, normalized_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "CartPole-v1").mkdir()
    shutil.copy(normalized_run.final_statistics, tmp_path / "CartPole-v1" / "vecnormalize.pkl")
    monkeypatch.chdir(tmp_path)
    assert load_agent(ppo_run).recipe.statistics is None


def test_arguments_of_the_environment_are_merged(ppo_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "ppo" / ppo_run.path.name
    shutil.copytree(ppo_run.path, folder)
    (folder / "CartPole-v1" / "config.yml").write_text("policy: MlpPolicy\nenv_kwargs: {a: 1, b: 1, c: 1}\n")
    (folder / "CartPole-v1" / "args.yml").write_text("env: CartPole-v1\nenv_kwargs: {b: 2, c: 2}\n")
    assert load_agent(folder, env_kwargs={"c": 3}).recipe.kwargs == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize("name", ["config.yml", "args.yml"])
def test_a_run_without_a_configuration_still_loads(name: str, ppo_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "ppo" / ppo_run.path.name
    shutil.copytree(ppo_run.path, folder)
    (folder / "CartPole-v1" / name).unlink()
    assert load_agent(folder).recipe.env_id == "CartPole-v1"


def test_a_damaged_configuration_is_an_error(ppo_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "ppo" / ppo_run.path.name
    shutil.copytree(ppo_run.path, folder)
    (folder / "CartPole-v1" / "config.yml").write_text("- 1")
    with pytest.raises(ConfigurationError, match=r"config\.yml holds no mapping"):
        load_agent(folder)


def test_an_argument_that_names_another_environment_is_not_followed(ppo_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "ppo" / ppo_run.path.name
    shutil.copytree(ppo_run.path, folder)
    (folder / "CartPole-v1" / "args.yml").write_text("env: Pendulum-v1\n")
    assert load_agent(folder).recipe.env_id == "CartPole-v1"


def test_the_record_tells_what_the_run_was(ppo_run: Run) -> None:
    record = json.loads((ppo_run.path / "run.json").read_text())
    assert record["schema_version"] == 1
    assert record["status"] == "finished"
    assert (record["algorithm"], record["environment"], record["seed"]) == ("ppo", "CartPole-v1", 1)
    assert record["n_timesteps"] == record["steps"] == 256
    assert record["hyperparameters"]["n_steps"] == {"value": 32, "origin": "command line"}
    assert "ppo.yml, block CartPole-v1" in record["hyperparameters"]["gamma"]["origin"]
    assert record["threads"]["count"] == 1
    assert record["threads"]["reason"] == "as given"
    assert {"python", "torch", "stable_baselines3", "gymnasium", "numpy"} <= set(record["versions"])
    assert record["hardware"]["cores"] > 0
    assert record["timings"]["started"] <= record["timings"]["ended"]
    assert record["timings"]["training_seconds"] > 0
    assert record["timings"]["steps_per_second"] > 0
    assert record["last_mean_reward"] > 0
    assert record["process"]["pid"] > 0
    assert "command" in record
    assert "git_commit" in record
    assert len(record["experiment_id"]) == 24


def test_a_run_of_the_zoo_has_an_empty_record(tmp_path: Path) -> None:
    assert RunRecord.read(Run(tmp_path, "ppo", "X-v0")) == {}


def test_a_damaged_record_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ConfigurationError, match="damaged"):
        RunRecord.read(Run(tmp_path, "ppo", "X-v0"))


def test_a_package_named_in_training_needs_no_flag_on_this_machine(tmp_path: Path, fresh_cache: Path) -> None:
    run = tiny_experiment("ppo", "ToyLine-v0", tmp_path, gym_packages=("toy_envs",)).run().run
    assert evaluate(load_agent(run.path), n_episodes=1).mean_reward == 55.0
    with_prefix = tiny_experiment("ppo", "toy_envs:ToyLine-v0", tmp_path).run().run
    assert evaluate(load_agent(with_prefix.path), n_episodes=1).mean_reward == 55.0
    assert fresh_cache.is_dir()


def test_on_another_machine_the_package_must_be_named(toy_run: Run, fresh_cache: Path) -> None:
    with pytest.raises(ConfigurationError, match="--gym-packages toy_envs"):
        load_agent(toy_run.path)
    assert load_agent(toy_run.path, gym_packages=("toy_envs",)).recipe.env_id == "toy_envs:ToyLine-v0"
    assert load_agent(toy_run.path, trust=True).recipe.env_id == "toy_envs:ToyLine-v0"


def test_a_discount_that_is_no_number_is_one_clear_error(ppo_run: Run, tmp_path: Path) -> None:
    shutil.copytree(ppo_run.path, tmp_path / "ppo" / ppo_run.path.name)
    run = Run(tmp_path / "ppo" / ppo_run.path.name, "ppo", ppo_run.env_name)
    (run.config_folder / "config.yml").write_text("gamma: abc\nnormalize: true\n")
    with pytest.raises(ConfigurationError, match="gamma must be a number"):
        load_agent(run)
