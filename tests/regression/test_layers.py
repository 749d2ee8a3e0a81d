"""Who may import whom, and that what is declared is what there is."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rl_experiments
from tests.conftest import ROOT

PACKAGE = ROOT / "rl_experiments"
LAYERS = (
    "core",
    "config",
    "algorithms",
    "envs",
    "runs",
    "evaluation",
    "recording",
    "training",
    "launching",
    "tuning",
    "reporting",
    "hub",
)
"""From the bottom to the top; commands and ``cli`` stand above all of them."""
MODULES = sorted(PACKAGE.rglob("*.py"))
COMMANDS = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
DISTRIBUTIONS = {
    "mujoco_playground": "playground",
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "yaml": "pyyaml",
    "pybullet_envs_gymnasium": "pybullet-envs-gymnasium",
    "minigrid": "minigrid",
    "panda_gym": "panda-gym",
    "highway_env": "highway-env",
    "sbx": "sbx-rl",
    "mlflow": "mlflow-skinny",
}


def _imports(path: Path) -> Iterator[str]:
    """Names of the modules that a file imports, at the top or inside a function; not those for type checkers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _layer(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_imports_only_layers_below_its_own(path: Path) -> None:
    own = _layer(_name(path))
    for imported in _imports(path):
        if not imported.startswith("rl_experiments."):
            continue
        other = _layer(imported)
        if own in LAYERS:
            assert other in LAYERS, f"{path} imports {imported}: a command or the command line"
            assert LAYERS.index(other) <= LAYERS.index(own), f"{path} imports the higher layer {imported}"
        elif own == "cli":
            assert other not in COMMANDS, f"{path} imports the command {other}"
        elif own in COMMANDS:
            assert other == "cli" or other in LAYERS, f"{path} imports the command {other}"


def test_every_folder_of_the_package_is_a_known_layer() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*LAYERS, "cli"}


def test_the_packages_that_are_declared_are_those_on_disk() -> None:
    declared = set(_setup()["options"]["packages"].split())
    on_disk = {_name(path) for path in MODULES if path.name == "__init__.py"}
    assert declared == on_disk | {"rl_experiments.hyperparams"}


def test_every_imported_package_is_declared() -> None:
    setup = _setup()
    extras = "\n".join(value for name, value in setup["options.extras_require"].items() if name not in ("test", "dev"))
    lines = (setup["options"]["install_requires"] + "\n" + extras).splitlines()
    declared = {
        re.split(r"[<>=\[;]", line.strip())[0].lower().replace("_", "-")
        for line in lines
        if line.strip() and not line.strip().startswith("#")
    }
    imported = {name.split(".")[0] for path in MODULES for name in _imports(path)}
    third_party = imported - set(sys.stdlib_module_names) - {"rl_experiments"}
    missing = {name for name in third_party if DISTRIBUTIONS.get(name, name).lower().replace("_", "-") not in declared}
    assert not missing


@pytest.mark.parametrize("name", rl_experiments.__all__)
def test_a_public_name_can_be_imported(name: str) -> None:
    assert getattr(rl_experiments, name) is not None


def test_the_public_names_are_listed_once() -> None:
    assert sorted(rl_experiments.__all__) == sorted(rl_experiments._HOMES)
    assert set(rl_experiments.__all__) <= set(dir(rl_experiments))


def test_no_public_name_is_that_of_a_command() -> None:
    for command in COMMANDS:
        assert command not in rl_experiments.__all__
        assert importlib.import_module(f"rl_experiments.{command}").main


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rl_experiments.nothing  # type: ignore[attr-defined]
