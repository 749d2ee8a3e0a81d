"""Whatever lies in a run folder, a command that reads it ends soon, with 0 or with one line that names the place."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from rl_experiments import Run, enjoy, push_to_hub
from rl_experiments.algorithms.sb3 import read_data
from rl_experiments.core import pickles, yaml_io
from tests.helpers.commands import CommandResult
from tests.helpers.tampering import rewrite_data

VALUES = (None, True, -1, 10**13, 1.5, float("nan"), "x", "", [], [1], [[{}]], {}, {"a": 1}, {"1": [2]})
KEYS_OF_RECIPES = ("env_kwargs", "env_wrapper", "frame_stack", "monitor_kwargs", "normalize", "vec_env_wrapper")
COMMANDS = {
    "enjoy": (enjoy, ("--no-render", "-n", "3", "--verbose", "0")),
    "push_to_hub": (push_to_hub, ("--no-upload", "--no-render", "--n-eval-episodes", "1", "--verbose", "0")),
}


@pytest.fixture
def run(normalized_run: Run, tmp_path: Path) -> Run:
    """A copy of the run with normalisation that a test may damage."""
    folder = tmp_path / "logs" / "a2c" / normalized_run.path.name
    shutil.copytree(normalized_run.path, folder)
    return Run(folder, "a2c", normalized_run.env_name)


def _read(command: Any, run: Run, name: str = "enjoy") -> CommandResult:
    module, flags = COMMANDS[name]
    folder = str(run.path.parent.parent)
    return command(module, "--algo", run.algorithm, "--env", run.env_name, "-f", folder, *flags)


def _check(result: CommandResult, what: str) -> None:
    assert result.code in (0, 2), f"{what}: {result}"
    if result.code == 2:
        try:
            result.assert_refused()
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}") from None


def _mutations(content: dict[str, Any], keys: list[str] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    for key in keys or list(content):
        for value in VALUES:
            if type(value) is not type(content.get(key)):
                yield f"{key}: {value!r}", {**content, key: value}


def test_no_value_of_the_configuration_ends_in_an_unnamed_error(run: Run, command) -> None:
    file = run.config_folder / "config.yml"
    for what, changed in _mutations(dict(run.hyperparameters), [*KEYS_OF_RECIPES, "gamma", "n_envs", "policy"]):
        file.write_text(yaml_io.dump(changed))
        _check(_read(command, run), what)


def test_no_value_of_the_arguments_ends_in_an_unnamed_error(run: Run, command) -> None:
    file = run.config_folder / "args.yml"
    for what, changed in _mutations(dict(run.arguments), ["env", "env_kwargs", "gym_packages", "seed"]):
        file.write_text(yaml_io.dump(changed))
        _check(_read(command, run), what)


def test_no_value_of_the_model_ends_in_an_unnamed_error(run: Run, command) -> None:
    original = run.final_model.read_bytes()
    data = read_data(run.final_model)
    needed = ("policy_class", "policy_kwargs", "observation_space", "action_space")
    for index, key in enumerate(data):
        # Every value for what an agent is made of; for the rest, each key gets six of them.
        for value in VALUES if key in needed else [VALUES[(6 * index + step) % len(VALUES)] for step in range(6)]:
            run.final_model.write_bytes(original)
            rewrite_data(run.final_model, **{key: value})
            _check(_read(command, run), f"{key}: {value!r}")


def test_no_attribute_of_the_statistics_ends_in_an_unnamed_error(run: Run, command) -> None:
    statistics = pickles.loads(run.final_statistics.read_bytes())
    values = (*VALUES, np.zeros(2), np.zeros((10, 10)), np.array(["x"]), RunningMeanStd(shape=(7,)))
    for target in (statistics, statistics.obs_rms, statistics.ret_rms):
        for name, before in list(vars(target).items()):
            for value in values if name != "venv" else ():
                if type(value) is type(before) and not isinstance(value, (np.ndarray, RunningMeanStd)):
                    continue
                setattr(target, name, value)
                _write_statistics(statistics, run.final_statistics)
                _check(_read(command, run), f"{type(target).__name__}.{name}: {value!r}")
            setattr(target, name, before)


def _write_statistics(statistics: VecNormalize, path: Path) -> None:
    statistics.class_attributes, statistics.returns = {}, np.zeros(1)
    path.write_bytes(pickle.dumps(statistics))


@pytest.mark.parametrize("name", ["versions", "timings", "threads", "hyperparameters", "hardware"])
def test_a_record_of_other_types_costs_the_card_its_versions_at_most(name: str, run: Run, command) -> None:
    record = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**record, name: [1]}))
    assert _read(command, run, "push_to_hub").code == 0


def _bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 15)]
    return "\n".join(lines)


CONFIGURATIONS = {
    "alias-bomb": (_bomb(), ["aliases"]),
    "holds-itself": ("a: &a [*a]", ["holds itself"]),
    "unsafe-tag": ("a: !!python/object/apply:os.system [true]", ["os.system"]),
    "mixed-keys": ("1: 2\na: 3", ["names as keys", "1"]),
    "keys-of-the-environment": ("env_kwargs: {1: 2}", ["env_kwargs", "names as keys"]),
    "info-keywords": ("monitor_kwargs: {info_keywords: 5}", ["info_keywords", "list of words", "5"]),
    "unknown-monitor-argument": ("monitor_kwargs: {info_keyword: [a]}", ["'info_keyword'", "'info_keywords'"]),
    "frames": ("frame_stack: 1000000000000", ["frame_stack", "1,000,000,000,000"]),
    "large": ("# " + "x" * (1 << 20), ["1,048,5"]),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_a_configuration_that_cannot_be_meant_is_refused_by_name(case: str, name: str, run: Run, command) -> None:
    text, parts = CONFIGURATIONS[case]
    (run.config_folder / "config.yml").write_text(text)
    _read(command, run, name).assert_refused(*parts)
    assert not list(Path("hub").rglob("*.zip"))


def test_an_environment_with_other_observations_is_named(run: Run, command) -> None:
    (run.config_folder / "config.yml").write_text("frame_stack: 3")
    _read(command, run).assert_refused("Box(3,)", "Pendulum-v1", "Box(9,)")


FILES = ("Pendulum-v1.zip", "Pendulum-v1/config.yml", "Pendulum-v1/args.yml", "Pendulum-v1/vecnormalize.pkl")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("file", FILES)
def test_a_link_out_of_the_run_is_refused_by_name(file: str, name: str, run: Run, command, tmp_path: Path) -> None:
    (run.path / file).rename(tmp_path / "elsewhere")
    (run.path / file).symlink_to(tmp_path / "elsewhere")
    _read(command, run, name).assert_refused(file, "symbolic link")


def test_a_linked_folder_of_the_configuration_is_refused(run: Run, command, tmp_path: Path) -> None:
    run.config_folder.rename(tmp_path / "elsewhere")
    run.config_folder.symlink_to(tmp_path / "elsewhere")
    _read(command, run).assert_refused("symbolic link")


def test_links_inside_the_run_and_to_the_run_are_followed(run: Run, command) -> None:
    run.final_model.rename(run.path / "real.zip")
    run.final_model.symlink_to("real.zip")
    run.path.rename(run.path.with_name("real"))
    run.path.symlink_to("real")
    assert _read(command, run).code == 0


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("file", FILES)
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(file: str, name: str, run: Run, command) -> None:
    (run.path / file).unlink()
    os.mkfifo(run.path / file)
    _read(command, run, name).assert_refused(file, "pipe")


def test_a_damaged_run_does_not_stand_in_the_way_of_another(run: Run, command) -> None:
    shutil.copytree(run.path, run.path.with_name("Pendulum-v1_2"))
    (run.config_folder / "config.yml").write_text("a: !!python/name:os.system ''")
    assert _read(command, run).code == 0
