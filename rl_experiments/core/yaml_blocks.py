"""One block of a YAML file of blocks, put in place without a change to any other byte of the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import check_can_write, replacing


def put_block(path: Path, key: str, block: str) -> bool:
    """
    Put a block into a file, in place of the one of the same name or at the end.

    :param path: a mapping of names to blocks, or nothing yet
    :param key: the block's name
    :param block: YAML that holds this block alone, with the comments that it should have
    :return: whether there was one of that name
    :raises ConfigurationError: if the file holds something else, or another block needs the one that would go
    """
    path = path.resolve()  # a link stays one
    check_can_write(path, "The hyperparameter file")
    before = path.read_bytes().decode("utf-8") if path.is_file() else ""
    content = yaml_io.parse(before, str(path))
    if content is not None and not isinstance(content, Mapping):
        raise ConfigurationError(f"{path} holds no mapping of environments to hyperparameters")
    known: Mapping[str, Any] = content or {}
    wanted = {**known, **yaml_io.parse(block, "the block")}
    after = _spliced(before, key, block, str(path)) if key in known else _appended(before, block)
    try:
        is_right = yaml_io.parse(after, str(path)) == wanted
    except ConfigurationError:
        is_right = False
    if not is_right:
        raise ConfigurationError(
            f"The block {key} of {path} cannot be replaced alone: other blocks refer to it, or it is not written on"
            " lines of its own. Expected another file"
        )
    with replacing(path) as temporary:
        temporary.write_bytes(after.encode("utf-8"))
        if path.is_file():
            temporary.chmod(path.stat().st_mode & 0o7777)
    return key in known


def _appended(before: str, block: str) -> str:
    newline = _newline(before)
    if before and not before.endswith("\n"):
        before += newline
    gap = newline if before.strip() else ""
    return before + gap + block.replace("\n", newline)


def _spliced(before: str, key: str, block: str, source: str) -> str:
    """From the line of its name to the last line that is its own: comments above the next name belong to that."""
    node = yaml.compose(before, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise ConfigurationError(f"{source} is written in braces, in which no block can be replaced")
    names = [name for name, _ in node.value]
    place = next(index for index, name in enumerate(names) if name.value == key)
    lines = before.splitlines(keepends=True)
    first = names[place].start_mark.line
    end = names[place + 1].start_mark.line if place + 1 < len(names) else len(lines)
    while end > first + 1 and _is_between(lines[end - 1]):
        end -= 1
    replaced = block.replace("\n", _newline(before))
    return "".join([*lines[:first], replaced, *lines[end:]])


def _is_between(line: str) -> bool:
    return not line.strip() or line.startswith(("#", "---", "..."))


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
