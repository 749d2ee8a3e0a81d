"""A model's zip is read without running it, and written without places of this machine."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import VecNormalize

from rl_experiments import EnvironmentRecipe, Run, enjoy, evaluate, load_agent, train
from rl_experiments.algorithms import get_algorithm
from rl_experiments.algorithms.sb3 import load_model, read_data
from rl_experiments.core.errors import ConfigurationError, NotFoundError, UntrustedError
from rl_experiments.envs import make_envs
from tests.helpers.tampering import Touch, rewrite_data, serialized
from tests.helpers.tiny import tiny_experiment

NOT_NEEDED = (
    "lr_schedule",
    "_last_obs",
    "clip_range",
    "_last_episode_starts",
    "_last_original_obs",
    "ep_info_buffer",
    "ep_success_buffer",
    "rollout_buffer_class",
    "learning_rate",
)
NEEDED = ("policy_kwargs", "policy_class", "observation_space", "action_space")


@pytest.fixture
def copied(ppo_run: Run, tmp_path: Path) -> Run:
    """A copy of the run that a test may damage."""
    folder = tmp_path / "logs" / "ppo" / ppo_run.path.name
    shutil.copytree(ppo_run.path, folder)
    return Run(folder, ppo_run.algorithm, ppo_run.env_name)


def _action(agent: Any) -> Any:
    return agent.predict(np.full((1, 4), 0.1, np.float32), deterministic=True)[0].tolist()


@pytest.mark.parametrize("key", NOT_NEEDED)
def test_a_pickle_that_acting_does_not_need_is_never_run(key: str, copied: Run, tmp_path: Path) -> None:
    before = _action(load_agent(copied))
    rewrite_data(copied.final_model, **{key: serialized(Touch(tmp_path / "ran"))})
    assert _action(load_agent(copied)) == before
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("key", NEEDED)
def test_a_pickle_that_acting_needs_is_refused_by_name(key: str, copied: Run, tmp_path: Path) -> None:
    rewrite_data(copied.final_model, **{key: serialized(Touch(tmp_path / "ran"))})
    with pytest.raises(UntrustedError) as caught:
        load_agent(copied)
    assert f"'{key}'" in str(caught.value)
    assert "system" in str(caught.value)
    assert "--trust" in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_that_is_damaged_is_not_to_be_trusted(copied: Run) -> None:
    entry = serialized(copied.path)
    for text in (entry[":serialized:"][: len(entry[":serialized:"]) // 8 * 4], "", "AAAAA"):
        rewrite_data(copied.final_model, policy_kwargs={**entry, ":serialized:": text})
        with pytest.raises(ConfigurationError, match=r"'policy_kwargs' in .* is damaged") as caught:
            load_agent(copied)
        assert "--trust" not in str(caught.value)


def test_a_pointer_of_git_lfs_is_told_from_a_damaged_file(copied: Run, normalized_run: Run, tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    copied.final_model.write_bytes(pointer)
    with pytest.raises(ConfigurationError, match=r"CartPole-v1.zip is a Git LFS pointer.*git lfs pull"):
        load_agent(copied)
    folder = tmp_path / "logs" / normalized_run.algorithm / normalized_run.path.name
    shutil.copytree(normalized_run.path, folder)
    statistics = Run(folder, normalized_run.algorithm, normalized_run.env_name).final_statistics
    whole = statistics.read_bytes()
    for content, expected in ((pointer, "Git LFS pointer"), (whole[: len(whole) // 2], "is damaged"), (b"", "damaged")):
        statistics.write_bytes(content)
        with pytest.raises(ConfigurationError, match=expected) as caught:
            load_agent(folder)
        assert "--trust" not in str(caught.value)


def test_a_key_that_sb3_does_not_know_is_not_run_either(copied: Run, tmp_path: Path) -> None:
    rewrite_data(copied.final_model, surprise=serialized(Touch(tmp_path / "ran")))
    with pytest.raises(UntrustedError, match="'surprise'"):
        load_agent(copied)
    assert not (tmp_path / "ran").exists()


def test_a_class_hidden_in_policy_kwargs_is_refused(copied: Run, tmp_path: Path) -> None:
    rewrite_data(copied.final_model, policy_kwargs=serialized({"activation_fn": Touch(tmp_path / "ran")}))
    with pytest.raises(UntrustedError, match="'policy_kwargs'"):
        load_agent(copied)
    assert not (tmp_path / "ran").exists()


def test_going_on_from_a_tampered_model_runs_nothing(copied: Run, tmp_path: Path, command) -> None:
    rewrite_data(copied.final_model, _last_obs=serialized(Touch(tmp_path / "ran")))
    arguments = ("-params", "n_envs:2", "n_steps:32", "batch_size:16", "policy_kwargs:dict(net_arch=[8])")
    result = command(train, "-i", str(copied.final_model), "-n", "64", "--num-threads", "1", *arguments)
    assert result.code == 0, result.err
    assert not (tmp_path / "ran").exists()


def test_the_command_refuses_in_one_line_and_trust_lets_it_run(copied: Run, tmp_path: Path, command) -> None:
    rewrite_data(copied.final_model, surprise=serialized(Touch(tmp_path / "ran")))
    arguments = ("-f", str(tmp_path / "logs"), "--no-render", "-n", "5")
    command(enjoy, *arguments).assert_refused("'surprise'", "--trust")
    assert not (tmp_path / "ran").exists()
    result = command(enjoy, *arguments, "--trust")
    assert (tmp_path / "ran").exists(), result.err


@pytest.mark.parametrize("name", ["policy.pth", "policy.optimizer.pth", "pytorch_variables.pth"])
def test_malicious_weights_are_not_run(name: str, copied: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(copied.final_model) as archive:
        contents = {entry: archive.read(entry) for entry in archive.namelist()}
    torch.save(Touch(tmp_path / "ran"), tmp_path / "weights.pth")
    contents[name] = (tmp_path / "weights.pth").read_bytes()
    with zipfile.ZipFile(copied.final_model, "w") as archive:
        for entry, content in contents.items():
            archive.writestr(entry, content)
    with pytest.raises(ConfigurationError):
        load_agent(copied)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["vecnormalize.pkl", "best_model_vecnormalize.pkl"])
def test_malicious_statistics_are_not_run(name: str, normalized_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "a2c" / normalized_run.path.name
    shutil.copytree(normalized_run.path, folder)
    for file in folder.rglob(name):
        file.write_bytes(pickle.dumps(Touch(tmp_path / "ran")))
    with pytest.raises(UntrustedError, match="vecnormalize"):
        evaluate(load_agent(folder, "best" if name.startswith("best") else "final"), n_episodes=1)
    assert not (tmp_path / "ran").exists()


def test_trust_reads_old_statistics_too(normalized_run: Run, tmp_path: Path) -> None:
    """Trust runs what cannot be read otherwise; what can be read needs no package of the time."""
    folder = tmp_path / "a2c" / normalized_run.path.name
    shutil.copytree(normalized_run.path, folder)
    statistics = folder / "Pendulum-v1" / "vecnormalize.pkl"
    env = make_envs(EnvironmentRecipe("Pendulum-v1"), 1, 0)
    saved = pickle.dumps(VecNormalize.load(str(statistics), env), protocol=0)
    old = saved.replace(b"gymnasium.spaces", b"gym.spaces")
    assert b"gym.spaces" in old
    statistics.write_bytes(old)
    for trust in (False, True):
        assert evaluate(load_agent(folder, trust=trust), n_episodes=1).lengths.tolist() == [200]


def test_a_malicious_replay_buffer_is_not_run(tmp_path: Path, command) -> None:
    run = tiny_experiment("dqn", "CartPole-v1", tmp_path / "logs", save_replay_buffer=True).run().run
    (run.path / "replay_buffer.pkl").write_bytes(pickle.dumps(Touch(tmp_path / "ran")))
    result = command(train, "--algo", "dqn", "-i", str(run.final_model), "-n", "64", "-f", "other")
    result.assert_refused("replay_buffer.pkl")
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.glob("other/*/*"))


@pytest.mark.parametrize("name", ["config.yml", "args.yml"])
def test_a_malicious_configuration_is_not_run(name: str, copied: Run, tmp_path: Path, command) -> None:
    text = f"!!python/object/apply:os.system ['touch {tmp_path / 'ran'}']"
    (copied.config_folder / name).write_text(text)
    command(enjoy, "-f", str(tmp_path / "logs"), "--no-render", "-n", "5").assert_refused(name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "line",
    [
        "env_wrapper: os.system",
        "env_wrapper: {subprocess.Popen: {args: [touch, ran]}}",
        "vec_env_wrapper: os.system",
        "env_wrapper: toy_envs.AddsOne",
    ],
)
def test_a_configuration_that_names_other_code_is_refused(
    line: str, copied: Run, tmp_path: Path, command, fresh_cache: Path
) -> None:
    (copied.config_folder / "config.yml").write_text(f"policy: MlpPolicy\n{line}\n")
    command(enjoy, "-f", "logs", "--no-render", "-n", "5").assert_refused("--trust")
    assert not (tmp_path / "ran").exists()


def test_arguments_that_name_a_package_import_nothing(copied: Run, tmp_path: Path, fresh_cache, monkeypatch) -> None:
    (tmp_path / "evil_package.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    (copied.config_folder / "args.yml").write_text("gym_packages: [evil_package]\nenv: CartPole-v1\n")
    load_agent(copied.path)
    assert not (tmp_path / "ran").exists()
    (copied.config_folder / "args.yml").write_text("env: evil_package:CartPole-v1\n")
    with pytest.raises(ConfigurationError, match="--gym-packages evil_package"):
        load_agent(copied.path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all"])
def test_what_is_no_zip_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"x\.zip is no model"):
        read_data(tmp_path / "x.zip")


@pytest.mark.parametrize("data", ["[]", "{", "5"])
def test_a_zip_with_other_data_is_an_error(data: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("data", data)
    with pytest.raises(ConfigurationError, match="no model"):
        read_data(tmp_path / "x.zip")


def test_a_missing_zip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no model"):
        read_data(tmp_path / "x.zip")


@pytest.mark.parametrize("missing", ["policy.pth", "data"])
def test_a_zip_without_a_part_is_an_error(missing: str, copied: Run) -> None:
    with zipfile.ZipFile(copied.final_model) as archive:
        contents = {entry: archive.read(entry) for entry in archive.namelist() if entry != missing}
    with zipfile.ZipFile(copied.final_model, "w") as archive:
        for entry, content in contents.items():
            archive.writestr(entry, content)
    with pytest.raises(ConfigurationError):
        load_agent(copied)


def test_a_truncated_zip_is_an_error(copied: Run) -> None:
    content = copied.final_model.read_bytes()
    copied.final_model.write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigurationError):
        load_agent(copied)


def test_a_model_of_another_algorithm_is_an_error(ppo_run: Run) -> None:
    with pytest.raises(ConfigurationError, match="does not load as a model of dqn"):
        load_model(ppo_run.final_model, get_algorithm("dqn"))


def test_the_zip_holds_no_place_of_this_machine(tmp_path: Path) -> None:
    run = tiny_experiment("ppo", "CartPole-v1", tmp_path, tensorboard_log=str(tmp_path / "tb")).run().run
    assert list((tmp_path / "tb" / "CartPole-v1").rglob("events.out.tfevents.*"))
    with zipfile.ZipFile(run.final_model) as archive:
        for name in archive.namelist():
            assert str(tmp_path).encode() not in archive.read(name), name
        assert json.loads(archive.read("data")).get("tensorboard_log") is None


def test_the_zip_is_read_by_sb3_itself(ppo_run: Run) -> None:
    from stable_baselines3 import PPO

    model = PPO.load(ppo_run.final_model)
    observations = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
    expected = model.predict(observations, deterministic=True)[0]
    np.testing.assert_array_equal(load_agent(ppo_run).predict(observations, deterministic=True)[0], expected)


@pytest.mark.parametrize("schedule", ["lin_0.1", "0.1", "lin_0.1_0.05"])
def test_schedules_are_stored_in_classes_of_sb3(schedule: str, tmp_path: Path) -> None:
    run = tiny_experiment("ppo", "CartPole-v1", tmp_path, {"learning_rate": schedule}).run().run
    data = json.dumps(read_data(run.final_model))
    assert "rl_experiments" not in data


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("data", "w") as member:
        for _ in range(300):
            member.write(bytes(1 << 20))
    with pytest.raises(ConfigurationError, match="would unpack to 300 MiB"):
        read_data(path)
