"""
Reading pickles without running them.

A pickle can name any function of any module and call it. What SB3 stores (spaces, NumPy arrays, enums, normalisation
statistics)
needs few names; an unpickler that knows these and no others reads it, old names included.
"""

from __future__ import annotations

import importlib
import inspect
import io
import pickle
import pickletools
import types
from collections import OrderedDict
from typing import IO, Any, ClassVar

import numpy as np

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError, UntrustedError
from rl_experiments.core.pickle_calls import check_call, check_keys, check_result, check_state
from rl_experiments.core.symbols import Trust

_NUMPY_NAMES = {
    ("numpy", name)
    for name in (
        "dtype",
        "ndarray",
        "bool_",
        "float32",
        "float64",
        "int8",
        "int32",
        "int64",
        "uint8",
        "uint32",
        "uint64",
        "bool",
    )
}
_EXACT = _NUMPY_NAMES | {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.random._pickle", "__generator_ctor"),
    ("numpy.random._pickle", "__bit_generator_ctor"),
    ("numpy.random._pickle", "__randomstate_ctor"),
    ("numpy.random", "__RandomState_ctor"),
    ("numpy.random._mt19937", "MT19937"),
    ("numpy.random._pcg64", "PCG64"),
    ("numpy.random._pcg64", "PCG64DXSM"),
    ("numpy.random._philox", "Philox"),
    ("numpy.random._sfc64", "SFC64"),
    ("numpy.random.bit_generator", "SeedSequence"),
    ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
    ("collections", "OrderedDict"),
    ("collections", "deque"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "dict"),
    ("builtins", "list"),
    ("builtins", "tuple"),
    ("builtins", "complex"),
    ("builtins", "slice"),
    ("builtins", "object"),
    ("builtins", "int"),
    ("builtins", "float"),
    ("builtins", "str"),
    ("builtins", "bool"),
    ("copyreg", "_reconstructor"),
    ("_codecs", "encode"),
    ("torch", "Size"),
    ("torch", "device"),
    ("stable_baselines3.common.type_aliases", "TrainFreq"),
    ("stable_baselines3.common.type_aliases", "TrainFrequencyUnit"),
    ("stable_baselines3.common.utils", "FloatSchedule"),
    ("stable_baselines3.common.utils", "ConstantSchedule"),
    ("stable_baselines3.common.utils", "LinearSchedule"),
    ("stable_baselines3.her.goal_selection_strategy", "GoalSelectionStrategy"),
    ("stable_baselines3.common.running_mean_std", "RunningMeanStd"),
    ("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize"),
    ("rl_experiments.config.schedules", "Schedule"),
}
# Classes only, and only of these modules: making one of them opens no file and starts no program.
_CLASS_MODULES = (
    "gymnasium.spaces.",
    "torch.nn.modules.",
    "torch.optim.",
    "stable_baselines3.common.policies",
    "stable_baselines3.common.torch_layers",
    "stable_baselines3.common.buffers",
    "stable_baselines3.common.distributions",
    "stable_baselines3.common.noise",
    "stable_baselines3.common.sb2_compat.rmsprop_tf_like",
    "stable_baselines3.her.her_replay_buffer",
    "rl_experiments.algorithms.sb3.learner.frames",
    "sb3_contrib.common.recurrent.policies",
    "sb3_contrib.common.recurrent.buffers",
    "sb3_contrib.common.maskable.policies",
    "sb3_contrib.common.maskable.buffers",
    "sb3_contrib.common.maskable.distributions",
)
_RENAMED = {
    "gym.spaces": "gymnasium.spaces",
    "numpy.core": "numpy._core",
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
}


def _generator_of_gym(kind: str) -> np.random.Generator:
    """:return: what gym 0.22 to 0.26 had a class of its own for"""
    generators = {"MT19937": np.random.MT19937, "PCG64": np.random.PCG64}
    if kind not in generators:
        raise pickle.UnpicklingError(f"it makes a generator of random numbers of the kind {kind!r:.40}")
    return np.random.Generator(generators[kind]())


_REPLACED = {("gym.utils.seeding", "RandomNumberGenerator._generator_ctor"): _generator_of_gym}
"""What stands for functions of packages that are not needed."""


class ForbiddenName(pickle.UnpicklingError):
    """A pickle names something that it may not."""

    def __init__(self, name: str) -> None:
        super().__init__(f"it names '{name}'")
        self.name = name


class DamagedPickle(pickle.UnpicklingError):
    """Something that is no pickle, or no longer: reading it in another way would not help."""


def loads(content: bytes, trust: Trust | None = None) -> Any:
    """
    Read a pickle, calling nothing outside the list above.

    :param content: the pickle
    :param trust: names of the user's own that may be imported as well
    :raises ForbiddenName: if it names anything else
    :raises DamagedPickle: if it is none, or a damaged one
    :raises pickle.UnpicklingError: if it does what no file of SB3 does
    """
    try:
        return _Unpickler(io.BytesIO(content), trust or Trust()).load()
    except (pickle.UnpicklingError, RLExperimentsError) as error:
        if isinstance(error, pickle.UnpicklingError) and not _is_whole(content):
            raise DamagedPickle(str(error)) from error
        raise
    except Exception as error:  # a crafted pickle can make any allowed name raise anything
        kind = pickle.UnpicklingError if _is_whole(content) else DamagedPickle
        raise kind(f"{type(error).__name__}: {error}") from error


def _is_whole(content: bytes) -> bool:
    """Whether it is a sequence of a pickle's instructions up to its end, whatever they do."""
    try:
        for _ in pickletools.genops(content):
            pass
    except Exception:  # of struct, of decoding, and others
        return False
    return True


def is_named_class(module: str) -> bool:
    """Whether classes of the module may be named by a pickle."""
    return module.startswith(_CLASS_MODULES) or _is_policy_module(module)


def _is_policy_module(module: str) -> bool:
    """``stable_baselines3.dqn.policies``, ``sb3_contrib.tqc.policies`` and their like."""
    parts = module.split(".")
    return len(parts) == 3 and parts[0] in ("stable_baselines3", "sb3_contrib") and parts[2] == "policies"


def _renamed(module: str) -> str:
    for old, new in _RENAMED.items():
        if module == old or module.startswith(f"{old}."):
            return new + module.removeprefix(old)
    return module


class _Unpickler(pickle._Unpickler):
    """Python's own implementation, because the one in C lets a pickle set attributes of the classes that it names."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, stream: IO[bytes], trust: Trust) -> None:
        super().__init__(stream)
        self._trust = trust

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _REPLACED:
            return _REPLACED[module, name]
        module = _renamed(module)
        path = f"{module}.{name}"
        exact = (module, name) in _EXACT
        named_class = "." not in name and is_named_class(module)
        own = not exact and not named_class and self._trust.knows_as_own(path)
        if not (exact or named_class or own):
            raise ForbiddenName(path)
        try:
            found: Any = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            raise ForbiddenName(path) from None
        # A module also holds what it imported: only classes that it defines itself are meant.
        if not exact and not (inspect.isclass(found) and found.__module__ == module):
            raise ForbiddenName(path)
        return found

    def _call(self, opcode: str, operands: int) -> None:
        """Look at a call before it is made: the last operand is a tuple of arguments, the first what is called."""
        stack = self.stack  # type: ignore[attr-defined]
        function, arguments = stack[-operands], stack[1 - operands]
        if opcode == "reduce" or function is np.ndarray:
            check_call(function, arguments, _is_only_made(function))
        getattr(self, f"load_{opcode}")()
        check_result(self.stack[-1])  # type: ignore[attr-defined]

    def _instantiate(self, cls: Any, arguments: Any) -> None:
        check_call(cls, tuple(arguments), _is_only_made(cls) and bool(arguments))
        super()._instantiate(cls, arguments)  # type: ignore[misc]
        check_result(self.stack[-1])  # type: ignore[attr-defined]

    def _build(self) -> None:
        """Set the state of an object, but never change a class or a function of a library."""
        target, state = self.stack[-2:]  # type: ignore[attr-defined]
        if isinstance(target, (type, types.FunctionType)):
            raise ForbiddenName(f"{target.__module__}.{target.__qualname__}")
        check_state(target, state)
        self.load_build()  # type: ignore[attr-defined]

    def _set_item(self) -> None:
        check_keys(self.stack[-2:-1])  # type: ignore[attr-defined]
        self.load_setitem()  # type: ignore[attr-defined]

    def _set_items(self) -> None:
        check_keys(self.stack[::2])  # type: ignore[attr-defined]
        self.load_setitems()  # type: ignore[attr-defined]

    def _make_dict(self) -> None:
        check_keys(self.stack[::2])  # type: ignore[attr-defined]
        self.load_dict()  # type: ignore[attr-defined]

    def _add_items(self) -> None:
        check_keys(self.stack)  # type: ignore[attr-defined]
        self.load_additems()  # type: ignore[attr-defined]

    def _make_frozenset(self) -> None:
        check_keys(self.stack)  # type: ignore[attr-defined]
        self.load_frozenset()  # type: ignore[attr-defined]

    def _byte_array(self) -> None:
        """Python's own makes room for as many bytes as are announced, before it reads them."""
        size = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        self.append(bytearray(self.read(size)))  # type: ignore[attr-defined]

    dispatch[pickle.REDUCE[0]] = lambda self: self._call("reduce", 2)
    dispatch[pickle.NEWOBJ[0]] = lambda self: self._call("newobj", 2)
    dispatch[pickle.NEWOBJ_EX[0]] = lambda self: self._call("newobj_ex", 3)
    dispatch[pickle.BUILD[0]] = _build
    dispatch[pickle.SETITEM[0]] = _set_item
    dispatch[pickle.SETITEMS[0]] = _set_items
    dispatch[pickle.DICT[0]] = _make_dict
    dispatch[pickle.ADDITEMS[0]] = _add_items
    dispatch[pickle.FROZENSET[0]] = _make_frozenset
    dispatch[pickle.BYTEARRAY8[0]] = _byte_array


def _is_only_made(function: Any) -> bool:
    """Whether it is a class of the libraries whose objects pickles hold, and which no pickle needs to call."""
    return inspect.isclass(function) and is_named_class(function.__module__)


def walk(stream: IO[bytes]) -> None:
    """
    Go through a pickle that another reader is to read, without importing or calling what it names.

    :raises pickle.UnpicklingError: if its keys would take arbitrarily long to hash
    """
    _Walker(stream, Trust()).load()


class _Inert:
    """Stands for anything that a pickle names, and takes whatever is done with it."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        """Take an item."""


class _Walker(_Unpickler):
    _HASHING: ClassVar[dict[str, type]] = {"OrderedDict": OrderedDict, "set": set, "frozenset": set, "Counter": set}

    def find_class(self, module: str, name: str) -> Any:
        return self._HASHING.get(name, _Inert)

    def persistent_load(self, pid: Any) -> Any:
        return _Inert()


def loads_trusting(content: bytes, trust: Trust) -> Any:
    """
    Read a pickle without running it, and by running it only where that fails and the user said ``--trust``.

    :raises pickle.UnpicklingError: if it cannot be read so
    """
    try:
        return loads(content, trust)
    except pickle.UnpicklingError:
        if not trust.pickles:
            raise
    try:
        return load_trusted(content)
    except Exception as error:  # old code objects fail in every way
        kind = pickle.UnpicklingError if _is_whole(content) else DamagedPickle
        raise kind(f"{type(error).__name__}: {error}") from error


def load_trusted(content: bytes) -> Any:
    """Read a pickle that may run anything: only for ``--trust``."""
    return pickle.loads(content)  # noqa: S301 (the user asked for it by name)


def refusal(source: str, error: Exception) -> RLExperimentsError:
    """:return: what a user is told of a file that could not be read, or not without running it"""
    reason = " ".join(str(error).split())
    if isinstance(error, DamagedPickle) or not isinstance(error, pickle.UnpicklingError):
        return ConfigurationError(f"{source} is damaged, or no pickle: {reason:.200}")
    return UntrustedError(
        f"{source} cannot be read without running code from it: {reason}. If you trust its origin, pass --trust"
    )
