"""The small language of values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from rl_experiments.config import grammar
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.symbols import Symbol

VALUES: dict[str, Any] = {
    "1": 1,
    "-1.5e-3": -0.0015,
    "'text'": "text",
    '"it\'s"': "it's",
    "True": True,
    "None": None,
    "[1, 'a', [2]]": [1, "a", [2]],
    "(1,)": (1,),
    "()": (),
    "{'a': {1: 2}}": {"a": {1: 2}},
    "dict(a=1, b=dict(c=[2]))": {"a": 1, "b": {"c": [2]}},
    "dict([('a', 1)])": {"a": 1},
    "tuple([1, 2])": (1, 2),
    "list((1, 2))": [1, 2],
    "2 ** 3 + 4 * 2 - 1": 15,
    "64 // 3": 21,
    "1 / 4": 0.25,
    "float('inf')": math.inf,
    "np.inf": math.inf,
    "int(1e6)": 1_000_000,
    "nn.ReLU": Symbol("nn.ReLU"),
    "HerReplayBuffer": Symbol("HerReplayBuffer"),
    "dict(net_arch=[dict(pi=[256, 256], vf=[256, 256])], activation_fn=nn.ReLU, optimizer_class=RMSpropTFLike)": {
        "net_arch": [{"pi": [256, 256], "vf": [256, 256]}],
        "activation_fn": Symbol("nn.ReLU"),
        "optimizer_class": Symbol("RMSpropTFLike"),
    },
    "dict(norm_obs=True, norm_reward=False)": {"norm_obs": True, "norm_reward": False},
    "  dict(\n  log_std_init=-2,\n  ortho_init=False\n )": {"log_std_init": -2, "ortho_init": False},
}
REFUSED = (
    "__import__('os').system('touch ran')",
    "open('ran', 'w')",
    "eval('1')",
    "exec('1')",
    "print(1)",
    "os.system('touch ran')",
    "nn.ReLU()",
    "lambda: 1",
    "[x for x in [1]]",
    "{x for x in [1]}",
    "{x: 1 for x in [1]}",
    "(x for x in [1])",
    "f'{1}'",
    "[1][0]",
    "'a'.upper()",
    "().__class__",
    "''.__class__.__mro__",
    "dict.__class__()",
    "a := 1",
    "(a := 1)",
    "1 if True else 2",
    "1 < 2",
    "True and False",
    "not_a_name",
    "*[1]",
    "dict(**{'a': 1})",
    "{**{'a': 1}}",
    "[*[1]]",
    "'a' * 1000000000",
    "'a' + 'b'",
    "[1] * 1000000000",
    "9 ** 9 ** 9",
    "10 ** 1000",
    "1 / 0",
    "...",
    "await x",
    "yield",
    "import os",
    "a = 1",
    "1; 2",
    "",
    "(",
    "\x00",
    "dict(1)",
    "dict(a=1)(2)",
    "getattr(nn, 'x')",
    "float('text')",
    "{[]: 1}",
    "(" * 500 + ")" * 500,
    "-" * 5000 + "1",
)


@pytest.mark.parametrize("text", VALUES)
def test_what_users_write_is_understood(text: str) -> None:
    value = grammar.parse(text)
    assert value == VALUES[text]
    assert type(value) is type(VALUES[text])


@pytest.mark.parametrize("text", VALUES)
def test_values_survive_being_written_and_read(text: str) -> None:
    value = VALUES[text]
    if value == math.inf:
        assert grammar.parse(grammar.to_text(value)) == value
    else:
        assert grammar.parse(grammar.to_text(value)) == value


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30])
def test_anything_that_could_run_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError):
        grammar.parse(text)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("MlpPolicy", "MlpPolicy"),
        ("lin_1e-4", "lin_1e-4"),
        ("1e-4", 0.0001),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("none", None),
        ("'None'", "None"),
        ("ALE/Pong-v5", "ALE/Pong-v5"),
        ("nn.ReLU", Symbol("nn.ReLU")),
        ("HerReplayBuffer", Symbol("HerReplayBuffer")),
        ("[1, 2]", [1, 2]),
        (" dict(a=1) ", {"a": 1}),
        ("-5", -5),
        ("np.inf", math.inf),
        ("rgb_array", "rgb_array"),
        ("a:b", "a:b"),
    ],
)
def test_a_bare_word_on_the_command_line_is_text(text: str, value: Any) -> None:
    parsed = grammar.parse_argument(text)
    assert parsed == value
    assert type(parsed) is type(value)


def test_a_pair_is_split_at_its_first_colon() -> None:
    assert grammar.parse_pair("env:a:b") == ("env", "a:b")
    assert grammar.parse_pair(" key : 1") == ("key", 1)


@pytest.mark.parametrize("text", ["key", ":1", "key:", " : ", ""])
def test_what_is_no_pair_is_an_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="key:value"):
        grammar.parse_pair(text)


def test_names_inside_values_are_found_and_replaced() -> None:
    value = {"a": [Symbol("nn.ReLU"), (Symbol("nn.Tanh"), 1)]}
    assert grammar.holds_symbol(value)
    assert not grammar.holds_symbol({"a": [1]})
    assert grammar.replace_symbols(value, lambda symbol: symbol.name) == {"a": ["nn.ReLU", ("nn.Tanh", 1)]}
