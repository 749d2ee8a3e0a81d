"""One block of a file is replaced; every other byte stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.yaml_blocks import put_block

FILE = """# About the file.

default: &base   # an anchor
  policy: MlpPolicy

# Why A is so.
A-v1:
  <<: *base
  n_steps: 8     # old

  # a thought about gamma
  gamma: 0.9

# Why B is so.
B-v1: {n_steps: 4}
# The end.
"""
BLOCK = "A-v1:\n  # new\n  n_steps: 16\n"


def test_a_block_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text(FILE)
    path.chmod(0o640)
    assert put_block(path, "A-v1", BLOCK)
    before, _, after = FILE.partition("A-v1:\n")
    assert path.read_text() == before + BLOCK + "\n# Why B is so.\n" + after.partition("# Why B is so.\n")[2]
    assert path.stat().st_mode & 0o777 == 0o640
    assert put_block(path, "A-v1", BLOCK)  # once more changes nothing
    assert yaml_io.read(path)["A-v1"] == {"n_steps": 16}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_new_block_at_the_end(tmp_path: Path, newline: str, end: str) -> None:
    path = tmp_path / "a.yml"
    before = ("B-v1:\n  n_steps: 4" + end).replace("\n", newline)
    path.write_bytes(before.encode())
    assert not put_block(path, "A-v1", BLOCK)
    after = path.read_bytes().decode()
    assert after.startswith(before)
    assert after.endswith(BLOCK.replace("\n", newline))
    assert set(yaml_io.read(path)) == {"A-v1", "B-v1"}


def test_a_file_that_is_not_there_and_the_last_block_through_a_link(tmp_path: Path) -> None:
    path, link = tmp_path / "new.yml", tmp_path / "link.yml"
    assert not put_block(path, "A-v1", BLOCK)
    assert path.read_text() == BLOCK
    link.symlink_to(path)
    assert put_block(link, "A-v1", "A-v1:\n  n_steps: 1\n")
    assert (link.is_symlink(), yaml_io.read(path)) == (True, {"A-v1": {"n_steps": 1}})


@pytest.mark.parametrize(
    ("content", "key", "message"),
    [
        (FILE, "default", "other blocks refer to it"),
        ("{A-v1: {n_steps: 1}, B-v1: {}}\n", "A-v1", "written in braces"),
        ("- A-v1\n", "A-v1", "holds no mapping"),
        ("A-v1: [\n", "A-v1", "no valid YAML"),
    ],
)
def test_what_cannot_be_replaced_alone_stays(content: str, key: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        put_block(path, key, BLOCK.replace("A-v1", key))
    assert path.read_text() == content
