"""Every flag, abbreviation and default of the zoo's commands is ours too."""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from rl_experiments import train
from tests.helpers.commands import run_module

COMMANDS = ("train", "enjoy", "push_to_hub", "benchmark", "record_video", "record_training")
OTHER_DEFAULTS = {
    # auto measures; the zoo leaves torch's default, which is slower on small networks.
    ("train", "num_threads"): "auto",
    # 1000 steps all the same, unless --n-episodes says when to end.
    ("enjoy", "n_timesteps"): None,
    ("record_video", "n_timesteps"): None,
    # argparse's str; the zoo makes its own class of it.
    ("push_to_hub", "commit_message"): None,
    # 150,000 steps all the same, unless --n-episodes says when to end.
    ("benchmark", "n_timesteps"): None,
    # Agents are played side by side: the cores go to them.
    ("benchmark", "num_threads"): 1,
}
SAMPLES = {int: "7", str: "a", None: "a"}


@functools.cache
def _zoo(command: str) -> list[tuple[list[str], str, Any, bool]]:
    result = run_module("tests.helpers.zoo_flags", command, cwd=Path(tempfile.gettempdir()))
    assert result.code == 0, result.err
    return [tuple(row) for row in json.loads(result.out.splitlines()[-1])]


@functools.cache
def _ours(command: str) -> argparse.ArgumentParser:
    return importlib.import_module(f"rl_experiments.{command}").build_parser()


def _resolved(parser: argparse.ArgumentParser, text: str) -> str | None:
    """The dest that the text stands for, or None where the parser calls it unknown or ambiguous."""
    if text in parser._option_string_actions:
        return parser._option_string_actions[text].dest
    matches = {match[0].dest for match in parser._get_option_tuples(text)}
    return matches.pop() if len(matches) == 1 else None


def _zoo_parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    for flags, dest, _, _ in _zoo(command):
        parser.add_argument(*flags, dest=dest)
    return parser


@pytest.mark.parametrize("command", COMMANDS)
def test_every_unambiguous_prefix_of_the_zoo_means_the_same_here(command: str) -> None:
    zoo, ours = _zoo_parser(command), _ours(command)
    checked = 0
    for flags, dest, _, _ in _zoo(command):
        for flag in flags:
            for length in range(2, len(flag) + 1):
                prefix = flag[:length]
                if prefix == "--" or _resolved(zoo, prefix) != dest:
                    continue
                assert _resolved(ours, prefix) == dest, f"{command} {prefix} is {dest} in the zoo"
                checked += 1
    assert checked > 60


@pytest.mark.parametrize("command", COMMANDS)
def test_every_default_of_the_zoo_is_ours(command: str) -> None:
    ours = {action.dest: action.default for action in _ours(command)._actions}
    different = {}
    for _, dest, default, _ in _zoo(command):
        own = list(ours[dest]) if isinstance(ours[dest], tuple) else ours[dest]
        if own != default and (command, dest) not in OTHER_DEFAULTS:
            different[dest] = (default, own)
    assert not different


@pytest.mark.parametrize("command", COMMANDS)
def test_what_the_zoo_requires_is_all_that_is_required(command: str) -> None:
    required = {dest for _, dest, _, needed in _zoo(command) if needed}
    assert {action.dest for action in _ours(command)._actions if action.required} <= required


@pytest.mark.parametrize(
    ("typed", "dest", "value"),
    [
        (["-n", "500"], "n_timesteps", 500),
        (["-c", "my.yml"], "conf_file", "my.yml"),
        (["-param", "gamma:0.9", "n_steps:8"], "hyperparams", {"gamma": 0.9, "n_steps": 8}),
        (["--hyperparams", "policy:'MlpPolicy'"], "hyperparams", {"policy": "MlpPolicy"}),
        (["-params", "gamma:0.9", "--hyperparams", "n_steps:8"], "hyperparams", {"gamma": 0.9, "n_steps": 8}),
        (["-params", "net:dict(a=[1, 2])"], "hyperparams", {"net": {"a": [1, 2]}}),
        (["-params", "a:b:c"], "hyperparams", {"a": "b:c"}),
        (["--env-kwargs", 'render_mode:"rgb_array"', "g:9.8"], "env_kwargs", {"render_mode": "rgb_array", "g": 9.8}),
        (["-tags", "a", "b"], "wandb_tags", ["a", "b"]),
        (["-f", "x"], "log_folder", "x"),
        (["-f=x"], "log_folder", "x"),
        (["-fx"], "log_folder", "x"),
        (["--num-threads", "-1"], "num_threads", "auto"),
        (["--num-threads", "0"], "num_threads", "auto"),
        (["--num-threads", "3"], "num_threads", 3),
        (["--num-threads", "AUTO"], "num_threads", "auto"),
        (["--truncate-last-trajectory", "False"], "truncate_last_trajectory", False),
        (["--truncate-last-trajectory", "True"], "truncate_last_trajectory", True),
        (["-P"], "progress", True),
        (["-uuid"], "uuid", True),
        (["-optimize"], "optimize_hyperparameters", True),
        (["--trial-id", "0"], "trial_id", 0),
        (["--eval-freq", "-1"], "eval_freq", -1),
        (["--log-interval", "-2"], "log_interval", -2),
    ],
)
def test_a_command_line_of_the_zoo_is_read_as_there(typed: list[str], dest: str, value: Any) -> None:
    assert getattr(train.build_parser().parse(typed), dest) == value


def test_every_flag_has_help() -> None:
    for command in COMMANDS:
        assert all(action.help for action in _ours(command)._actions)
