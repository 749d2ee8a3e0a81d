"""YAML as users and the zoo write it, read without running it."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError, NotFoundError, UntrustedError
from rl_experiments.core.symbols import Symbol


def test_the_ordered_dict_of_the_zoo_is_read() -> None:
    text = "!!python/object/apply:collections.OrderedDict\n- - - batch_size\n    - 64\n  - - policy\n    - MlpPolicy\n"
    value = yaml_io.parse(text, "config.yml")
    assert isinstance(value, OrderedDict)
    assert list(value.items()) == [("batch_size", 64), ("policy", "MlpPolicy")]


def test_an_empty_ordered_dict_is_read() -> None:
    assert yaml_io.parse("!!python/object/apply:collections.OrderedDict []", "x") == {}


def test_tuples_are_read() -> None:
    assert yaml_io.parse("a: !!python/tuple [1, [2]]", "x") == {"a": (1, [2])}


def test_names_of_known_classes_are_read_as_names() -> None:
    assert yaml_io.parse("a: !!python/name:torch.nn.modules.activation.ReLU ''", "x") == {
        "a": Symbol("torch.nn.modules.activation.ReLU")
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("1.0e+6", 1e6),
        ("-2e3", -2000.0),
        ("+1e2", 100.0),
        ("1_000", 1000),
        ("0.5", 0.5),
        ("7", 7),
        ("1e", "1e"),
        ("e5", "e5"),
        ("lin_1e-3", "lin_1e-3"),
        ("v1e5x", "v1e5x"),
    ],
)
def test_numbers_are_what_their_writer_meant(text: str, value: Any) -> None:
    parsed = yaml_io.parse(f"a: {text}", "x")["a"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_anchors_and_merges_work() -> None:
    text = "a: &a\n  x: 1\n  y: 2\nb:\n  <<: *a\n  y: 3\n"
    assert yaml_io.parse(text, "x")["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {file}']",
        "!!python/object/apply:subprocess.check_output [['touch', '{file}']]",
        "!!python/object/new:os.system ['touch {file}']",
        "!!python/object/new:type {{args: ['x', [], {{}}]}}",
        "!!python/object:collections.OrderedDict {{}}",
        "!!python/module:os",
        "!!python/name:os.system ''",
        "!!python/name:builtins.eval ''",
        "!!python/object/apply:builtins.eval [\"open('{file}', 'w')\"]",
        "!!python/object/apply:collections.OrderedDict [[[a, !!python/object/apply:os.system ['touch {file}']]]]",
        "!!python/tuple [!!python/object/apply:os.system ['touch {file}']]",
        "!!python/object/apply:collections.namedtuple ['x', 'y']",
    ],
)
def test_a_tag_that_would_run_code_is_refused_with_file_and_line(tag: str, tmp_path: Path) -> None:
    sentinel, file = tmp_path / "ran", tmp_path / "config.yml"
    file.write_text("first: 1\nsecond: " + tag.format(file=sentinel))
    with pytest.raises(UntrustedError) as caught:
        yaml_io.read(file)
    assert str(file) in str(caught.value)
    assert "line 2" in str(caught.value)
    assert not sentinel.exists()


@pytest.mark.parametrize("text", ["a: [", "a: *b", "a: b: c", "!!unknown 3", "a: !custom 3", "a: \x00", "&a [*a, *c]"])
def test_what_is_no_yaml_is_a_configuration_error_with_the_file(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"name\.yml"):
        yaml_io.parse(text, "name.yml")


def test_a_bomb_of_brackets_is_an_error() -> None:
    with pytest.raises(ConfigurationError):
        yaml_io.parse("[" * 100_000, "x")


def _grows(line: str, alias: str, separator: str) -> str:
    """Each line names the one before nine times: written out, the last is 9**20 values."""
    lines = [line.format(number, separator.join([alias.format(number - 1)] * 9)) for number in range(1, 21)]
    return "\n".join(["a0: &a0 {x: 1}", *lines])


BOMBS = {
    "lists": (_grows("a{0}: &a{0} [{1}]", "*a{0}", ", "), "too large"),
    "merges": (_grows("a{0}: &a{0} {{<<: [{1}]}}", "*a{0}", ", "), "too large"),
    "mappings": (_grows("a{0}: &a{0} {{k: [{1}]}}", "*a{0}", ", "), "too large"),
    "long-text": (f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 100)}]", "too large"),
    "holds-itself": ("a: &a [*a]", "line 1 holds itself"),
    "merges-itself": ("a: &a\n  <<: *a\n  x: 1", "line 1 holds itself"),
    "key-of-itself": ("? &a [*a]\n: 1", "holds itself"),
    "deep-through-aliases": ("a0: &a0 [1]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200)), "deep"),
    "long-number": ("a: 0x" + "f" * 10_000, "10002 digits"),
    "sexagesimal": ("a: 1" + ":1" * 100_000, "digits"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_document_that_would_exhaust_its_reader_is_refused(name: str) -> None:
    text, part = BOMBS[name]
    with pytest.raises(ConfigurationError, match=rf"name\.yml.*{part}"):
        yaml_io.parse(text, "name.yml")


@pytest.mark.parametrize(
    "text", ["!!set [1]", "!!omap 5", "!!timestamp x", "!!bool x", "!!int x", "!!binary é", "a: {<<: 5}", "{[1]: 2}"]
)
def test_a_tag_on_the_wrong_kind_of_value_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"name\.yml"):
        yaml_io.parse(text, "name.yml")


def test_a_file_that_is_too_large_or_none_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "x.yml"
    file.write_text("#" + "x" * (1 << 20))
    with pytest.raises(ConfigurationError, match="At most 1,048,576"):
        yaml_io.read(file)
    with pytest.raises(ConfigurationError, match="is a folder"):
        yaml_io.read(tmp_path)
    os.mkfifo(tmp_path / "pipe.yml")
    with pytest.raises(ConfigurationError, match="a pipe or a device"):
        yaml_io.read(tmp_path / "pipe.yml")


def test_a_malformed_ordered_dict_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="pairs"):
        yaml_io.parse("!!python/object/apply:collections.OrderedDict [5]", "x")


def test_a_missing_file_and_a_binary_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no file"):
        yaml_io.read(tmp_path / "x.yml")
    (tmp_path / "x.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        yaml_io.read(tmp_path / "x.yml")


VALUES = {
    "policy": "MlpPolicy",
    "n_timesteps": 100000.0,
    "train_freq": [1, "episode"],
    "normalize": True,
    "env_wrapper": [{"rl_zoo3.wrappers.FrameSkip": {"skip": 2}}, "a.B"],
    "policy_kwargs": "dict(net_arch=[64, 64], activation_fn=nn.ReLU)",
    "env_kwargs": None,
    "text": "yes",
    "number": "1e-3",
    "unicode": "é",
    "multiline": "a\nb: c",
    "empty": {},
}


@pytest.mark.parametrize("loader", ["unsafe", "ours"])
def test_what_is_written_like_the_zoo_reads_back_equal(loader: str) -> None:
    text = yaml_io.dump_like_the_zoo(VALUES)
    value = yaml.load(text, Loader=yaml.UnsafeLoader) if loader == "unsafe" else yaml_io.parse(text, "x")
    assert isinstance(value, OrderedDict)
    assert list(value) == sorted(VALUES)
    assert dict(value) == VALUES


def test_the_text_is_that_of_the_zoo() -> None:
    zoo = yaml.dump(OrderedDict(sorted({"b": [1], "a": "x"}.items())))
    assert yaml_io.dump_like_the_zoo({"b": [1], "a": "x"}) == zoo


def test_numpy_and_paths_are_written_plainly() -> None:
    value = {"a": np.float64(0.5), "b": np.arange(2), "c": Path("x/y"), "d": (1, 2), "e": {3}, "f": Symbol("nn.ReLU")}
    text = yaml_io.dump(value)
    assert "python" not in text
    assert yaml.safe_load(text) == {"a": 0.5, "b": [0, 1], "c": "x/y", "d": [1, 2], "e": [3], "f": "nn.ReLU"}
