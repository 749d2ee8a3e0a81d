"""The manual: what it shows is understood, complete, and builds."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from rl_experiments.__main__ import _MODULES, COMMANDS
from rl_experiments.algorithms.registry import algorithm_names
from tests.conftest import ROOT
from tests.helpers.documented import Shown, maker, pages, shown_commands

SHOWN = shown_commands()


def test_many_commands_are_shown_and_each_command_is() -> None:
    assert len(SHOWN) > 80
    assert {_MODULES.get(one.command, one.command) for one in SHOWN} == {_MODULES.get(name, name) for name in COMMANDS}


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_a_command_that_is_shown_is_understood(shown: Shown) -> None:
    names = {module: name for name, module in _MODULES.items()}
    parsers = maker().parsers_of(names.get(shown.command, shown.command))
    words = list(shown.words)
    if len(parsers) > 1:
        kind = words.pop(0)
        parsers = [parser for parser in parsers if parser.prog.endswith(f" {kind}")]
    (parser,) = parsers
    if "--help" in words:
        return
    parser.parse(words)  # type: ignore[attr-defined]


def test_every_command_has_a_page_with_all_of_its_flags() -> None:
    for name in COMMANDS:
        text = maker().on_page_markdown((ROOT / "docs" / "commands" / f"{name}.md").read_text())
        for parser in maker().parsers_of(name):
            for flag in parser._option_string_actions:
                assert flag in text, (name, flag)


def test_every_algorithm_has_a_page_with_its_yaml() -> None:
    for name in algorithm_names():
        assert (ROOT / "hyperparams" / f"{name}.yml").read_text().rstrip() in pages()[f"docs/algorithms/{name}.md"]


@pytest.mark.parametrize("name", list(maker().curves()))
def test_a_curve_is_of_what_its_commands_make(name: str) -> None:
    curve, picture = maker().curves()[name], (ROOT / "docs" / "algorithms" / "curves" / f"{name}.svg").read_text()
    assert f"--algos {name} --envs {curve['env']} " in curve["grid"]
    assert f"-a {name} -e {curve['env']} " in curve["plot"]
    assert f"<!-- {curve['env']} -->" in picture
    assert f"<!-- {name.upper()}-{curve['plot'].split(' -l ')[1].split()[0]} -->" in picture


@pytest.mark.slow
def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed: pip install '.[docs]'")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    assert "--stop-at-reward" in (tmp_path / "commands" / "train.html").read_text()
    menu = (tmp_path / "index.html").read_text()
    for name in algorithm_names():
        assert "n_timesteps" in (tmp_path / "algorithms" / f"{name}.html").read_text()
        assert f'href="algorithms/{name}.html"' in menu
