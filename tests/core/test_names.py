"""Names on disk, suggestions, and settings that are flags."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from rl_experiments.core import symbols
from rl_experiments.core.errors import (
    ConfigurationError,
    MissingPackageError,
    RLExperimentsError,
    TrainingError,
    UntrustedError,
)
from rl_experiments.core.names import folder_name, model_name
from rl_experiments.core.options import parse_bool
from rl_experiments.core.suggest import hint, nearest
from rl_experiments.core.symbols import Symbol, Trust, import_symbol


@pytest.mark.parametrize(
    ("env_id", "name"),
    [
        ("CartPole-v1", "CartPole-v1"),
        ("ALE/Pong-v5", "ALE-Pong-v5"),
        ("module:Env-v0", "Env-v0"),
        ("package.module:space/Env-v0", "space-Env-v0"),
    ],
)
def test_an_id_becomes_a_folder_name(env_id: str, name: str) -> None:
    assert folder_name(env_id) == name
    assert model_name("ppo", env_id) == f"ppo-{name}"


@pytest.mark.parametrize("env_id", ["", ":", "a:", ":a", "a:b:c", "..", "../x", ".hidden", "a\\b", "m:../x"])
def test_what_could_leave_the_folder_is_no_id(env_id: str) -> None:
    with pytest.raises(ConfigurationError, match="no environment id"):
        folder_name(env_id)


@pytest.mark.parametrize(
    ("name", "expected"), [("cartpole-v1", "CartPole-v1"), ("CartPol", "CartPole-v1"), ("zzzz", None), ("", None)]
)
def test_the_nearest_name_is_found(name: str, expected: str | None) -> None:
    assert nearest(name, ["CartPole-v1", "Pendulum-v1"]) == expected


def test_without_a_near_name_the_few_that_there_are_are_listed() -> None:
    assert hint("zzzz", ["b", "a"]) == " Valid: a, b."
    assert hint("zzzz", [str(number) for number in range(100, 200)]) == ""
    assert hint("zzzz", []) == ""


@pytest.mark.parametrize(("text", "value"), [("True", True), ("yes", True), ("0", False), ("False", False)])
def test_words_are_truth_values(text: str, value: bool) -> None:
    assert parse_bool(text) is value


def test_other_words_are_no_truth_values() -> None:
    with pytest.raises(ValueError, match="true or false"):
        parse_bool("maybe")


def test_errors_have_one_base_and_say_what_installs_a_package() -> None:
    assert issubclass(ConfigurationError, RLExperimentsError)
    assert ConfigurationError.exit_code == 2
    assert TrainingError.exit_code == 1
    assert "pip install 'rl_experiments[box2d]'" in str(MissingPackageError("X", "Box2D", "box2d"))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("nn.ReLU", "torch.nn.ReLU"),
        ("th.optim.Adam", "torch.optim.Adam"),
        ("HerReplayBuffer", "stable_baselines3.her.her_replay_buffer.HerReplayBuffer"),
        ("rl_zoo3.wrappers.FrameSkip", "rl_experiments.envs.wrappers.FrameSkip"),
        ("utils.wrappers.FrameSkip", "rl_experiments.envs.wrappers.FrameSkip"),
        ("gym.wrappers.TimeLimit", "gymnasium.wrappers.TimeLimit"),
        ("sb3.common.atari_wrappers.AtariWrapper", "stable_baselines3.common.atari_wrappers.AtariWrapper"),
    ],
)
def test_known_names_are_importable(name: str, path: str) -> None:
    assert Symbol(name).path == path
    imported = import_symbol(name, Trust(), "x")
    module, _, attribute = path.rpartition(".")
    assert imported is getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", symbols._SHORT)
def test_every_short_name_is_there(name: str) -> None:
    assert isinstance(import_symbol(name, Trust(), "x"), type)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "toy_envs.AddsOne",
        "subprocess.Popen",
        "gymnasium.wrappers.RecordVideo",
        "stable_baselines3.common.vec_env.vec_monitor.VecMonitor",
        "rl_experiments.core.files.write_text",
        "builtins.eval",
        "torch.hub.load",
        "torch.load",
    ],
)
def test_other_names_are_not_imported_without_trust(name: str, fresh_cache: Path) -> None:
    with pytest.raises(UntrustedError, match="--trust"):
        import_symbol(name, Trust(), "env_wrapper")


@pytest.mark.parametrize(
    "name",
    [
        "gymnasium.wrappers.utils.np.load",
        "gymnasium.logger.warnings.sys",
        "torch.nn.functional.warnings.sys",
        "stable_baselines3.common.utils.os.system",
        "stable_baselines3.common.utils.set_random_seed",
        "gymnasium.spaces",
    ],
)
def test_a_known_library_gives_classes_only(name: str) -> None:
    with pytest.raises(RLExperimentsError):
        import_symbol(name, Trust(), "env_wrapper")


def test_a_class_of_another_kind_is_refused() -> None:
    import gymnasium as gym

    with pytest.raises(ConfigurationError, match="is no Wrapper"):
        import_symbol("torch.nn.ReLU", Trust(), "env_wrapper", gym.Wrapper)


@pytest.mark.parametrize("trust", [Trust.of(True), Trust.of(modules=["toy_envs"]), Trust(any_name=True)])
def test_names_of_the_users_own_are_imported_where_the_user_named_them(trust: Trust) -> None:
    assert import_symbol("toy_envs.AddsOne", trust, "env_wrapper").__name__ == "AddsOne"


def test_a_name_used_in_training_is_remembered(fresh_cache: Path) -> None:
    import_symbol("toy_envs.AddsOne", Trust(any_name=True), "env_wrapper")
    assert import_symbol("toy_envs.AddsOne", Trust(), "env_wrapper").__name__ == "AddsOne"
    with pytest.raises(UntrustedError):
        import_symbol("toy_envs.Line", Trust(), "env_wrapper")
    assert json.loads((fresh_cache / "used_names.json").read_text()) == ["toy_envs.AddsOne"]


def test_a_damaged_memory_is_an_empty_one(fresh_cache: Path) -> None:
    fresh_cache.mkdir()
    (fresh_cache / "used_names.json").write_text("{")
    assert not Trust().knows_as_own("toy_envs.AddsOne")


def test_a_package_that_begins_alike_is_not_the_one_that_was_named(fresh_cache: Path) -> None:
    assert not Trust.of(modules=["toy"]).allows("toy_envs.AddsOne")
