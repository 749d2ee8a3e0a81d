"""Taking the state out of objects, and putting it into others."""

from __future__ import annotations

import pickle
from collections import deque
from typing import Any

import numpy as np
import pytest

from rl_experiments.core import pickles
from rl_experiments.core.snapshots import Native, Rules, Snapshot, is_plain, put


class Inner:
    def __init__(self, value: Any) -> None:
        self.value = value


class Outer:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Counter:
    """Keeps its state where Python does not see it."""

    __slots__ = ("hidden",)

    def __init__(self, hidden: int) -> None:
        self.hidden = hidden


RULES = Rules(
    natives=(Native(Counter, lambda counter: counter.hidden, lambda counter, value: setattr(counter, "hidden", value)),)
)


def _moved(source: Outer, target: Outer, rules: Rules = RULES) -> Outer:
    snapshot = Snapshot(rules).take("root", source)
    assert snapshot.missing == []
    values = pickles.loads(pickle.dumps(snapshot.values), rules.trust)
    put({"root": target}, values, rules)
    return target


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (1, 2),
        ("a", "b"),
        (None, [1, (2.0, {"x": deque([3], maxlen=2)})]),
        (np.zeros(2), np.ones(3)),
        (np.random.default_rng(1), np.random.default_rng(2)),
        ({"x": 1}, {"y": 2}),
        (np.array([b"a"]), np.array([b"b"])),
    ],
)
def test_plain_values_are_replaced(before: Any, after: Any) -> None:
    found = vars(_moved(Outer(x=after), Outer(x=before)))["x"]
    assert pickle.dumps(found) == pickle.dumps(after)


def test_objects_are_filled_where_they_stand() -> None:
    inner, counter, held = Inner(1), Counter(1), Inner(5)
    target = Outer(inner=inner, counter=counter, parts=[held, 3], named={"one": Inner(7)})
    source = Outer(inner=Inner(2), counter=Counter(9), parts=[Inner(6), 4], named={"one": Inner(8)})
    moved = vars(_moved(source, target))
    assert moved["inner"] is inner
    assert moved["parts"][0] is held
    assert (inner.value, counter.hidden, held.value, moved["parts"][1]) == (2, 9, 6, 4)
    assert moved["named"]["one"].value == 8


def test_what_is_shared_stays_shared() -> None:
    generator = np.random.default_rng(3)
    moved = vars(_moved(Outer(one=generator, two=generator), Outer(one=None, two=None)))
    assert moved["one"] is moved["two"]


def test_arrays_lie_in_memory_as_those_that_they_replace() -> None:
    moved_channels = np.moveaxis(np.zeros((2, 5, 5, 3)), -1, 1)
    target = Outer(x=np.empty_like(moved_channels))
    assert vars(_moved(Outer(x=moved_channels + 1), target))["x"].strides == moved_channels.strides


def test_functions_and_what_is_kept_are_no_state() -> None:
    kept = Inner(1)
    rules = Rules(kept=(Inner,), skipped=frozenset({"skipped"}))
    source = Outer(kept=Inner(2), call=len, skipped=2, cls=Inner)
    moved = vars(_moved(source, Outer(kept=kept, call=max, skipped=1, cls=Outer), rules))
    assert (moved["kept"].value, moved["call"], moved["skipped"], moved["cls"]) == (1, max, 1, Outer)


def test_what_cannot_be_had_is_named() -> None:
    source = Outer(good=1, bad=Counter(1), deep=Inner(iter([1])), mixed=(1, Counter(2)))
    snapshot = Snapshot(Rules()).take("root", source)
    assert snapshot.values == {"root/good": 1}
    assert [place.split(" ")[0] for place in snapshot.missing] == ["root/bad", "root/deep/value", "root/mixed"]


def test_circles_end() -> None:
    source = Outer(value=1)
    vars(source)["itself"] = source
    assert Snapshot(Rules()).take("root", source).values == {"root/value": 1}


@pytest.mark.parametrize(
    ("value", "plain"), [(1, True), ([1, {"a": (2,)}], True), (np.zeros(1), True), ({(1, 2): 3}, False), (len, False)]
)
def test_plain(value: Any, plain: bool) -> None:
    assert is_plain(value) is plain
