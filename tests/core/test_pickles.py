"""Pickles are read without running them."""

from __future__ import annotations

import builtins
import codecs
import collections
import copyreg
import datetime
import functools
import io
import operator
import os
import pathlib
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule
from stable_baselines3.her.goal_selection_strategy import GoalSelectionStrategy

from rl_experiments.config.schedules import Schedule
from rl_experiments.core import pickles
from rl_experiments.core.symbols import Trust


class _Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def _named(module: str, name: str, *arguments: str) -> bytes:
    """A hand-written pickle that calls MODULE.NAME(arguments)."""
    stream = io.BytesIO()
    stream.write(b"\x80\x04")
    for text in (module, name):
        stream.write(b"X" + len(text.encode()).to_bytes(4, "little") + text.encode())
    stream.write(b"\x93(")
    for argument in arguments:
        stream.write(b"X" + len(argument.encode()).to_bytes(4, "little") + argument.encode())
    stream.write(b"tR.")
    return stream.getvalue()


def _touch(sentinel: Path) -> str:
    return f"touch {sentinel}"


MALICIOUS: dict[str, Callable[[Path], bytes]] = {
    "os.system": lambda file: pickle.dumps(_Calls(os.system, _touch(file))),
    "os.system-protocol-0": lambda file: pickle.dumps(_Calls(os.system, _touch(file)), protocol=0),
    "subprocess.Popen": lambda file: pickle.dumps(_Calls(subprocess.Popen, ["touch", str(file)])),
    "eval": lambda file: pickle.dumps(_Calls(builtins.eval, f"open({str(file)!r}, 'w')")),
    "exec": lambda file: pickle.dumps(_Calls(builtins.exec, f"open({str(file)!r}, 'w')")),
    "getattr": lambda file: _named("builtins", "getattr", "x", "y"),
    "import": lambda file: pickle.dumps(_Calls(builtins.__import__, "os")),
    "open": lambda file: pickle.dumps(_Calls(builtins.open, str(file), "w")),
    "pathlib": lambda file: pickle.dumps(_Calls(pathlib.Path.touch, file)),
    "functools.partial": lambda file: pickle.dumps(functools.partial(os.system, _touch(file))),
    "operator.methodcaller": lambda file: pickle.dumps(operator.methodcaller("touch")),
    "dotted-module-and-name": lambda file: _named("module", "os.system", _touch(file)),
    "dotted-name-of-an-allowed-module": lambda file: _named("numpy", "core.multiarray.os.system", _touch(file)),
    "module-inside-an-allowed-module": lambda file: _named("torch.nn.modules.module", "torch", "x"),
    "name-imported-by-an-allowed-module": lambda file: _named("torch.nn.modules.utils", "collections.os", "x"),
    "function-of-an-allowed-module": lambda file: _named("stable_baselines3.common.policies", "warnings", "x"),
    "dotted-class-of-an-allowed-module": lambda file: _named("stable_baselines3.common.buffers", "np.load", "x"),
    "numpy-runstring": lambda file: _named("numpy.testing._private.utils", "runstring", f"open({str(file)!r},'w')"),
    "numpy-f2py": lambda file: _named("numpy.f2py.capi_maps", "getinit", "x"),
    "numpy.load": lambda file: _named("numpy", "load", str(file)),
    "torch.load": lambda file: _named("torch", "load", str(file)),
    "torch-storage": lambda file: _named("torch.storage", "_load_from_bytes", "x"),
    "torch-hub": lambda file: _named("torch.hub", "load", "x", "y"),
    "cloudpickle-function": lambda file: cloudpickle.dumps(lambda: os.system(_touch(file))),
    "code": lambda file: _named("types", "CodeType", "x"),
    "importlib": lambda file: _named("importlib", "import_module", "antigravity"),
    "pickle-in-a-pickle": lambda file: pickle.dumps(_Calls(pickle.loads, pickle.dumps(_Calls(os.system, "x")))),
    "old-name-of-builtins": lambda file: _named("__builtin__", "eval", f"open({str(file)!r}, 'w')"),
    "model-of-sb3": lambda file: _named("stable_baselines3.ppo.ppo", "PPO", "MlpPolicy", "CartPole-v1"),
    "monitor-that-writes": lambda file: _named("stable_baselines3.common.monitor", "ResultsWriter", str(file)),
    "video-recorder": lambda file: _named("gymnasium.wrappers.rendering", "RecordVideo", str(file)),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_a_pickle_that_names_anything_else_is_refused(name: str, tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"
    content = MALICIOUS[name](sentinel)
    with pytest.raises(pickles.ForbiddenName):
        pickles.loads(content)
    assert not sentinel.exists()


def test_the_first_malicious_pickle_would_really_run(tmp_path: Path) -> None:
    pickles.load_trusted(MALICIOUS["os.system"](tmp_path / "ran"))
    assert (tmp_path / "ran").exists()


def test_the_refusal_names_what_stood_in_the_way() -> None:
    with pytest.raises(pickles.ForbiddenName, match=r"system'"):
        pickles.loads(pickle.dumps(_Calls(os.system, "true")))


HARMLESS = {
    "box": spaces.Box(-1, np.array([1.0, 2.0], np.float32), dtype=np.float32),
    "images": spaces.Box(0, 255, (84, 84, 1), np.uint8),
    "discrete": spaces.Discrete(5, start=2),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(4),
    "dict": spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(0, 1, (2,))}),
    "tuple": spaces.Tuple((spaces.Discrete(2), spaces.MultiBinary(2))),
    "train-freq": TrainFreq(4, TrainFrequencyUnit.STEP),
    "goal-selection": GoalSelectionStrategy.FUTURE,
    "array": np.arange(6.0).reshape(2, 3),
    "array-of-mappings": np.array([[{}, {"is_success": True}]]),
    "scalar": np.float32(3),
    "dtype": np.dtype("float64"),
    "ordered-dict": collections.OrderedDict(a=1),
    "deque": collections.deque([1, 2], maxlen=5),
    "sets": {1, 2},
    "bytes": b"abc",
    "optimizer-class": {"optimizer_class": torch.optim.Adam, "optimizer_kwargs": {"eps": 1e-5}},
    "optimizer-of-sb3": {"optimizer_class": RMSpropTFLike},
    "activation": {"activation_fn": torch.nn.ReLU, "net_arch": {"pi": [4]}},
    "device": torch.device("cpu"),
}
OBJECTS = {
    "noise": NormalActionNoise(np.zeros(2), np.ones(2)),
    "correlated-noise": OrnsteinUhlenbeckActionNoise(np.zeros(2), np.ones(2)),
    "constant": FloatSchedule(0.5),
    "constant-schedule": ConstantSchedule(0.5),
    "linear-schedule": LinearSchedule(1.0, 0.0, 1.0),
    "our-schedule": Schedule("cos", 1.0, 0.1),
    "statistics": RunningMeanStd(shape=(3,)),
}


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
@pytest.mark.parametrize("name", HARMLESS)
def test_what_sb3_stores_is_read(name: str, dumps: Callable[[Any], bytes]) -> None:
    value = HARMLESS[name]
    loaded = pickles.loads(dumps(value))
    assert type(loaded) is type(value)
    assert repr(loaded) == repr(value)


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_of_sb3_are_read(name: str) -> None:
    loaded = pickles.loads(cloudpickle.dumps(OBJECTS[name]))
    assert type(loaded) is type(OBJECTS[name])
    assert str(vars(loaded)) == str(vars(OBJECTS[name]))


def test_a_generator_goes_on_where_it_was() -> None:
    generator = np.random.default_rng(3)
    generator.random(5)
    assert pickles.loads(pickle.dumps(generator)).random() == generator.random()


@pytest.mark.parametrize("module", ["gym.spaces.box", "gymnasium.spaces.box"])
def test_spaces_of_the_old_package_are_read(module: str) -> None:
    content = pickle.dumps(HARMLESS["box"], protocol=0).replace(b"gymnasium.spaces.box", module.encode())
    assert pickles.loads(content) == HARMLESS["box"]


def test_arrays_of_the_old_numpy_are_read() -> None:
    content = pickle.dumps(np.arange(3), protocol=2).replace(b"numpy._core", b"numpy.core")
    np.testing.assert_array_equal(pickles.loads(content), np.arange(3))


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x80\x04", b"\x80\x04N", pickle.dumps(1)[:-1], b"\xff" * 50])
def test_what_is_no_pickle_is_an_unpickling_error(content: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        pickles.loads(content)


@pytest.mark.parametrize(
    "target", ["stable_baselines3.common.noise NormalActionNoise", "numpy._core.numeric _frombuffer"]
)
def test_a_pickle_changes_no_class_and_no_function(target: str) -> None:
    """The opcode that sets an object's state would set attributes of a class that is on the stack."""
    name = target.replace(" ", "\n").encode()
    content = b"\x80\x04c" + name + b"\n(N}X\x05\x00\x00\x00resetcbuiltins\ndict\nstb."
    before = NormalActionNoise.reset
    with pytest.raises(pickles.ForbiddenName):
        pickles.loads(content)
    assert NormalActionNoise.reset is before


def test_arguments_that_make_an_allowed_name_fail_are_an_unpickling_error() -> None:
    with pytest.raises(pickle.UnpicklingError):
        pickles.loads(_named("gymnasium.spaces.box", "Box", "x"))


def test_a_class_that_the_user_named_is_read_and_no_other() -> None:
    content = pickle.dumps(datetime.date(2020, 1, 2))
    assert pickles.loads(content, Trust.of(modules=["datetime"])) == datetime.date(2020, 1, 2)
    with pytest.raises(pickles.ForbiddenName):
        pickles.loads(content, Trust.of(modules=["date"]))


def test_naming_a_module_allows_classes_only(tmp_path: Path) -> None:
    trust = Trust.of(modules=["subprocess"])
    with pytest.raises(pickles.ForbiddenName):
        pickles.loads(_named("subprocess", "call", _touch(tmp_path / "ran")), trust)


def _tower(height: int) -> tuple[Any, ...]:
    """A tuple that takes 2**height steps to hash."""
    value: tuple[Any, ...] = (1, 2)
    for _ in range(height):
        value = (value, value)
    return value


class _Key:
    """Pickles as a mapping, or as a set, with something else as key."""

    def __init__(self, kind: type, key: Any) -> None:
        self.reduced = (kind, ([[key, 1]] if kind in (dict, collections.OrderedDict) else [key],))

    def __reduce__(self) -> Any:
        return self.reduced


def _array(state: tuple[Any, ...]) -> bytes:
    return pickle.dumps(_Stated(np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state))


class _Stated:
    def __init__(self, function: Any, arguments: tuple[Any, ...], state: Any) -> None:
        self.reduced = (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


RECORDS = np.dtype([("a", "O")])
EXHAUSTING: dict[str, Callable[[], bytes]] = {
    "large-layer": lambda: pickle.dumps(_Calls(torch.nn.Linear, 10**6, 10**6)),
    "large-space": lambda: pickle.dumps(_Calls(spaces.Box, 0, 1, (10**6, 10**6))),
    "large-buffer": lambda: _named("stable_baselines3.common.buffers", "ReplayBuffer", "x"),
    "large-layer-of-another": lambda: pickle.dumps(_Calls(copyreg._reconstructor, spaces.Box, torch.nn.PReLU, 10**12)),
    "large-layer-as-generator": lambda: pickle.dumps(
        _Calls(np.random._pickle.__generator_ctor, 10**12, torch.nn.PReLU)
    ),
    "large-array": lambda: pickle.dumps(_Calls(np.ndarray, (10**12,))),
    "large-empty-array": lambda: pickle.dumps(_Calls(np._core.multiarray._reconstruct, np.ndarray, (10**12,), b"b")),
    "array-with-less-content": lambda: _array((1, (10**12,), np.dtype("f8"), False, b"12345678")),
    "array-of-fewer-objects": lambda: _array((1, (1000,), np.dtype("O"), False, [1])),
    "array-of-pointers": lambda: _array((1, (1,), np.dtype("O"), False, b"12345678")),
    "pointers-that-are-denied": lambda: pickle.dumps(
        _Stated(np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0))
    ),
    "array-of-records": lambda: pickle.dumps(np.zeros(2, RECORDS)),
    "array-of-nothing": lambda: _array((1, (10**12,), np.dtype("V0"), False, b"")),
    "bytes-that-are-announced": lambda: b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"x.",
    "key-that-takes-long": lambda: pickle.dumps(_Key(dict, _tower(3))),
    "key-of-an-ordered-dict": lambda: pickle.dumps(_Key(collections.OrderedDict, _tower(3))),
    "member-of-a-set": lambda: pickle.dumps(_Key(set, _tower(3))),
    "literal-key": lambda: pickle.dumps({_tower(3): 1}),
    "literal-set": lambda: pickle.dumps({_tower(3)}),
    "slow-encoding": lambda: pickle.dumps(_Calls(codecs.encode, "é" * 10, "punycode")),
    "generator-out-of-its-words": lambda: pickle.dumps(
        _Stated(
            np.random._pickle.__bit_generator_ctor,
            ("MT19937",),
            {"bit_generator": "MT19937", "state": {"key": np.zeros(624, np.uint32), "pos": 10**6}},
        )
    ),
}


@pytest.mark.parametrize("name", EXHAUSTING)
def test_a_pickle_that_would_exhaust_or_break_its_reader_is_refused(name: str) -> None:
    with pytest.raises(pickle.UnpicklingError):
        pickles.loads(EXHAUSTING[name]())


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.PCG64, np.random.Philox, np.random.SFC64])
def test_every_generator_is_read(kind: Any) -> None:
    generator = np.random.Generator(kind(3))
    assert pickles.loads(pickle.dumps(generator)).random() == generator.random()


def test_an_old_generator_is_read() -> None:
    generator = np.random.RandomState(3)
    assert pickles.loads(pickle.dumps(generator)).rand() == generator.rand()
