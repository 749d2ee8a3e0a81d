"""A command answers --help and malformed command lines without importing anything heavy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rl_experiments.__main__ import _MODULES, COMMANDS
from tests.conftest import ROOT
from tests.helpers.commands import CommandResult, run_module

HEAVY = ("torch", "numpy", "gymnasium", "stable_baselines3", "rl_zoo3", "optuna", "jax", "huggingface_hub", "requests")
MODULES = [_MODULES.get(name, name) for name in COMMANDS]
PRESENT = [name for name in MODULES if (ROOT / "rl_experiments" / f"{name}.py").is_file()]


def _probe(command: str, *arguments: str, cwd: Path) -> tuple[int, list[str], CommandResult]:
    given = (command, ",".join(HEAVY), *arguments)
    result = run_module("tests.helpers.light_probe", *given, cwd=cwd, light=True)
    code, heavy = json.loads((cwd / "probe.json").read_text())
    return code, heavy, result


@pytest.mark.parametrize("command", PRESENT)
def test_help_imports_nothing_heavy(command: str, tmp_path: Path) -> None:
    code, heavy, result = _probe(command, "--help", cwd=tmp_path)
    assert (code, heavy) == (0, [])
    assert result.out.startswith(f"usage: python -m rl_experiments.{command}")


@pytest.mark.parametrize("command", PRESENT)
@pytest.mark.parametrize("arguments", [["--no-such-flag"], ["--seed", "x"], ["--algo", "pppo"]])
def test_a_malformed_command_line_imports_nothing_heavy(command: str, arguments: list[str], tmp_path: Path) -> None:
    code, heavy, result = _probe(command, *arguments, cwd=tmp_path)
    assert (code, heavy) == (2, [])
    assert result.err.startswith("Error: ")


@pytest.mark.parametrize("command", ["enjoy", "push_to_hub", "record_video"])
@pytest.mark.parametrize(
    "flags",
    [
        ["--load-best", "--load-last-checkpoint"],
        ["--load-checkpoint", "5", "--load-best"],
        ["--deterministic", "--stochastic"],
        ["--seed", "-1"],
        ["--n-envs", "0"],
    ],
)
def test_flags_that_exclude_each_other_import_nothing_heavy(command: str, flags: list[str], tmp_path: Path) -> None:
    code, heavy, result = _probe(command, "--algo", "ppo", "--env", "CartPole-v1", "-f", "logs", *flags, cwd=tmp_path)
    assert (code, heavy) == (2, [])
    assert result.err.startswith("Error: ")


def test_the_package_lists_its_commands(tmp_path: Path) -> None:
    result = run_module("rl_experiments", "--help", cwd=tmp_path)
    assert result.code == 0
    assert all(name in result.out for name in COMMANDS)


def test_without_a_command_the_list_is_shown(tmp_path: Path) -> None:
    result = run_module("rl_experiments", cwd=tmp_path)
    assert result.code == 2
    assert "train" in result.out


def test_an_unknown_command_names_the_nearest(tmp_path: Path) -> None:
    run_module("rl_experiments", "trian", cwd=tmp_path).assert_refused("trian", "'train'")


def test_a_command_runs_through_the_package(tmp_path: Path) -> None:
    result = run_module("rl_experiments", "enjoy", "--help", cwd=tmp_path)
    assert result.code == 0
    assert "--load-best" in result.out
