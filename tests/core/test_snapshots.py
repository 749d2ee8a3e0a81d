"""Taking the state out of objects, and putting it into others."""

from __future__ import annotations

import functools
import itertools
import pickle
import random
from collections import Counter as CounterOfItems
from collections import defaultdict, deque
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rl_experiments.core import pickles
from rl_experiments.core.restoring import put
from rl_experiments.core.snapshots import Native, Rules, Snapshot, is_plain
from rl_experiments.core.symbols import Trust


class Inner:
    def __init__(self, value: Any) -> None:
        self.value = value


class Outer:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Counter:
    """Keeps its state outside of a dictionary."""

    __slots__ = ("hidden",)

    def __init__(self, hidden: int) -> None:
        self.hidden = hidden

    def __call__(self) -> int:
        self.hidden += 1
        return self.hidden


class Colour(Enum):
    RED = 1
    BLUE = 2


RULES = Rules(
    natives=(Native(Counter, lambda counter: counter.hidden, lambda counter, value: setattr(counter, "hidden", value)),)
)


MAKING = Rules(trust=Trust(modules=frozenset({"random.Random"})))


def _moved(source: Outer, target: Outer, rules: Rules = RULES) -> Outer:
    snapshot = Snapshot(rules).take({"root": source})
    assert snapshot.missing == []
    values = pickles.loads(pickle.dumps(snapshot.values), rules.trust)
    assert put({"root": target}, values, rules) == []
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


def test_containers_of_what_is_kept_stay_as_they_are() -> None:
    moved: Any = _moved(Outer(files=[[Path("a")], [Path("b")]]), Outer(files=[]))
    assert moved.files == []


def test_what_cannot_be_had_is_named() -> None:
    numbers, count = np.zeros(4), itertools.count()
    source = Outer(
        good=1,
        bad=itertools.cycle([1]),
        deep=Inner(iter([1])),
        mixed=(1, torch.Generator()),
        call=lambda: next(count),
        system=functools.partial(random.SystemRandom().random),
        numbers=numbers,
        view=numbers[::2],
    )
    missing = [place.split(" ")[0] for place in Snapshot(Rules()).take({"root": source}).missing]
    places = ["bad", "deep/value", "mixed/1", "call/count", "system/func/__self__", "view"]
    assert missing == [f"root/{place}" for place in places]


def _with_calls(seed: int) -> Outer:
    """Where the state is only in what can be called, in different ways."""
    closed, generator, own = random.Random(seed), np.random.default_rng(seed), Counter(seed)

    def default(counts: list[Counter] = [Counter(seed)]) -> int:  # noqa: B006, B008
        return counts[0]()

    calls = {
        "closure": lambda: closed.random(),
        "builtin": random.Random(seed).random,
        "part": functools.partial(generator.normal, 0, 1),
        "method": own.__call__,
        "object": Counter(seed),
        "default": default,
    }
    return Outer(calls=calls, generator=generator, last=[calls["object"]], spare=[Inner(closed) for _ in range(seed)])


def test_what_can_be_called_has_state() -> None:
    first = _with_calls(1)
    second = _moved(first, _with_calls(2), MAKING)

    def play(owner: Any) -> list[Any]:
        named = [(name, call()) for _ in range(3) for name, call in owner.calls.items()]
        return [*named, owner.generator.random(), owner.last[0](), len(owner.spare)]

    assert play(first) == play(second)


def test_which_object_it_is_goes_over_too() -> None:
    def made(current: int) -> Outer:
        nodes = [Inner(1), Inner(2)]
        return Outer(nodes=nodes, current=nodes[current], colour=Colour(current + 1), text=np.array(["a" * current]))

    moved: Any = _moved(made(1), made(0))
    assert moved.current is moved.nodes[1]
    assert moved.colour is Colour.BLUE
    assert moved.text.tolist() == ["a"]


def test_containers_of_other_classes_keep_theirs() -> None:
    before, after = (
        Outer(x=defaultdict(int), y=CounterOfItems()),
        Outer(x=defaultdict(int, a=1), y=CounterOfItems("aab")),
    )
    moved: Any = _moved(after, before)
    assert moved.x["b"] == 0
    assert moved.y == CounterOfItems("aab")


def test_what_is_made_later_is_made_again_or_named() -> None:
    known = Snapshot(MAKING).take({"root": Outer()}).filled
    snapshot = Snapshot(MAKING, known).take({"root": Outer(plain=random.Random(3), late=Inner(len))})
    assert snapshot.missing == ["root/late (Inner)"]
    moved = Outer()
    assert put({"root": moved}, pickles.loads(pickle.dumps(snapshot.values), MAKING.trust), MAKING) == []
    assert vars(moved)["plain"].random() == random.Random(3).random()


def test_state_of_objects_that_are_not_there_is_told() -> None:
    values = Snapshot(Rules()).take({"root": Outer(late=Inner(1), good=2)}).values
    moved = Outer()
    assert put({"root": moved}, values, Rules()) == ["root/late/value"]
    assert vars(moved) == {"good": 2}


def test_circles_end() -> None:
    source = Outer(value=1)
    vars(source)["itself"] = source
    assert Snapshot(Rules()).take({"root": source}).values == {"root/value": 1, "root/itself/=": "root"}


@pytest.mark.parametrize(
    ("value", "plain"), [(1, True), ([1, {"a": (2,)}], True), (np.zeros(1), True), ({(1, 2): 3}, False), (len, False)]
)
def test_plain(value: Any, plain: bool) -> None:
    assert is_plain(value) is plain
