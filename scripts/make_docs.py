"""
What the manual says that the package knows itself: a hook of MkDocs, which mkdocs.yml names.

``mkdocs build`` and ``mkdocs serve`` call it. A comment ``<!-- flags: COMMAND -->`` in a page becomes the flags of the
command's parser, ``<!-- readme: TITLE -->`` a section of the README, and each algorithm of the registry gets a page:
its YAML, and the learning curve in ``docs/algorithms/curves/`` with the commands that made it
(``docs/algorithms/curves.yml``). None of this is committed twice, so none can be out of date. It needs PyYAML, which
MkDocs brings, and no dependency of the package.
"""

from __future__ import annotations

import argparse
import html
import importlib
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402

from rl_experiments.__main__ import _MODULES, COMMANDS  # noqa: E402
from rl_experiments.algorithms.registry import Algorithm, algorithm_names, get_algorithm  # noqa: E402

CURVES = ROOT / "docs" / "algorithms" / "curves"
_FLAGS = re.compile(r"<!-- flags: (\w+) -->")
_SECTION = re.compile(r"<!-- readme: ([\w ]+) -->")


def parsers_of(command: str) -> list[argparse.ArgumentParser]:
    """:return: the parser of a command, or those of its subcommands"""
    if command not in COMMANDS:
        raise KeyError(f"docs name a command '{command}', which there is not")
    module = importlib.import_module(f"rl_experiments.{_MODULES.get(command, command)}")
    return [make() for make, _ in module.PARSERS.values()] if hasattr(module, "PARSERS") else [module.build_parser()]


def flags_of(command: str) -> str:
    """:return: what ``--help`` says, as tables in Markdown"""
    parts = []
    for parser in parsers_of(command):
        parts += [f"### `{parser.prog}`", parser.description or ""]
        for group in parser._action_groups:
            actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
            if actions:
                parts += [f"**{str(group.title).capitalize()}**", _table(parser, actions)]
    return "\n\n".join(parts)


def _table(parser: argparse.ArgumentParser, actions: list[argparse.Action]) -> str:
    formatter: Any = parser._get_formatter()
    rows = ["| flag | |", "| --- | --- |"]
    for action in actions:
        flag = formatter._format_action_invocation(action)
        rows.append(f"| `{_cell(flag)}` | {_cell(html.escape(formatter._expand_help(action), quote=False))} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*" if "`" not in text else "*")


def page_of(name: str) -> str:
    """:return: the page of an algorithm, in Markdown"""
    algorithm = get_algorithm(name)
    return "\n".join([f"# {name}", "", *_facts(algorithm), *_curve(name), *_configuration(name)])


def _facts(algorithm: Algorithm) -> list[str]:
    kinds = ", ".join(sorted(algorithm.action_spaces))
    return [f"{algorithm.summary}.", "", f"Class: `{algorithm.class_path}`. Actions: {kinds}.", ""]


def curves() -> dict[str, dict[str, Any]]:
    """:return: for each algorithm that has a curve, the commands that made it and what it shows"""
    content: dict[str, dict[str, Any]] = yaml.safe_load((CURVES.parent / "curves.yml").read_text())
    return content


def _curve(name: str) -> list[str]:
    curve = curves().get(name)
    if curve is None:
        return []
    return [
        "## A measured curve",
        "",
        f"![{name} on {curve['env']}](curves/{name}.svg)",
        "",
        curve["says"],
        "",
        "```bash",
        f"rl-experiments {curve['grid']}",
        f"rl-experiments {curve['plot']}",
        "```",
        "",
    ]


def _configuration(name: str) -> list[str]:
    """The hyperparameters, and what a study samples."""
    files = [path for path in (f"hyperparams/{name}.yml", f"hyperparams/search/{name}.yml") if (ROOT / path).is_file()]
    blocks = [[f"## `{path}`", "", "````yaml", (ROOT / path).read_text().rstrip(), "````", ""] for path in files]
    return [line for block in blocks for line in block]


def on_config(config: Any) -> Any:
    """Put the pages of the algorithms into the menu."""
    (menu,) = (part["Algorithms"] for part in config.nav if isinstance(part, dict) and "Algorithms" in part)
    menu += [page for name in algorithm_names() if (page := f"algorithms/{name}.md") not in menu]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the algorithms."""
    from mkdocs.structure.files import File

    for name in algorithm_names():
        files.append(File.generated(config, f"algorithms/{name}.md", content=page_of(name)))
    return files


def section_of_readme(title: str, depth: int) -> str:
    """
    :param depth: of folders in which the page is that shows it
    :return: a section, with links that are right there
    """
    _, _, rest = (ROOT / "README.md").read_text().partition(f"\n## {title}\n")
    return rest.partition("\n## ")[0].strip().replace("](docs/", f"]({'../' * depth}")


def on_page_markdown(markdown: str, page: Any = None, **_: Any) -> str:
    """Put in flags and sections."""
    depth = page.file.src_uri.count("/") if page else 1
    markdown = _SECTION.sub(lambda match: section_of_readme(match[1], depth), markdown)
    return _FLAGS.sub(lambda match: flags_of(match[1]), markdown)
