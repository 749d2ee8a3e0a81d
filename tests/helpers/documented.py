"""Commands that the manual and the README show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from tests.conftest import ROOT
from tests.helpers.scripts import load_script

_CALL = re.compile(r"^(?:python -m rl_experiments\.|rl-experiments )([\w-]+)(.*)$")
_FENCE = re.compile(r"^```+(\w*)[^\n]*\n(.*?)^```+\s*$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Shown:
    """
    :param command: as ``rl-experiments`` calls it
    :param words: behind it
    :param where: the first page that shows it
    """

    command: str
    words: tuple[str, ...]
    where: str

    def value(self, *flags: str) -> str | None:
        """:return: the word behind the first of these flags that is there"""
        for flag, word in zip(self.words, self.words[1:], strict=False):
            if flag in flags:
                return word
        return None

    def __str__(self) -> str:
        return shlex.join([self.command, *self.words])


@cache
def maker() -> ModuleType:
    """:return: the hook of MkDocs"""
    return load_script("make_docs")


def pages() -> dict[str, str]:
    """:return: all pages in Markdown by name, those of the algorithms too"""
    written = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))}
    made = {f"docs/algorithms/{name}.md": maker().page_of(name) for name in maker().algorithm_names()}
    return {"README.md": (ROOT / "README.md").read_text(), **written, **made}


def blocks(text: str, language: str) -> list[str]:
    """:return: the fenced blocks of a page in a language"""
    return [content for found, content in _FENCE.findall(text) if found == language]


def shown_commands() -> list[Shown]:
    """:return: each command once, in the order of the pages"""
    found: dict[tuple[str, ...], Shown] = {}
    for where, text in pages().items():
        for line in _lines(text):
            if (call := _CALL.match(line.strip())) is not None:
                command = call[1].replace("-", "_")
                words = tuple(shlex.split(call[2], comments=True))
                found.setdefault((command, *words), Shown(command, words, where))
    return list(found.values())


def _lines(text: str) -> Iterator[str]:
    """Of blocks for the shell; of what stands within a sentence, only whole commands."""
    for block in blocks(text, "bash"):
        yield from block.replace("\\\n", " ").splitlines()
    for span in _INLINE.findall(_FENCE.sub("", text)):
        if "..." not in span and " -" in span.removeprefix("python -m"):
            yield span


def put_files_of(page: str, folder: Path) -> None:
    """Write the files that a page shows in Python, each of which begins with its name in a comment."""
    for block in blocks((ROOT / page).read_text(), "python"):
        name, _, content = block.partition("\n")
        target = folder / name.removeprefix("# ")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
