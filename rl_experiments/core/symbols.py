"""
Names that stand for Python classes in YAML, on the command line and in saved runs, and when they may be imported.

A short name (``nn.ReLU``, ``HerReplayBuffer``) or a name inside the libraries that an experiment is made of is known.
Any other
dotted name is imported only where the user named it: on this command line, in an own configuration file, or in an
earlier training
on this machine. A file that was downloaded cannot name code to run.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError, UntrustedError
from rl_experiments.core.files import cache_folder, write_text
from rl_experiments.core.suggest import hint

_SHORT = {
    "HerReplayBuffer": "stable_baselines3.her.her_replay_buffer.HerReplayBuffer",
    "ReplayBuffer": "stable_baselines3.common.buffers.ReplayBuffer",
    "DictReplayBuffer": "stable_baselines3.common.buffers.DictReplayBuffer",
    "NStepReplayBuffer": "stable_baselines3.common.buffers.NStepReplayBuffer",
    "RMSpropTFLike": "stable_baselines3.common.sb2_compat.rmsprop_tf_like.RMSpropTFLike",
    "NatureCNN": "stable_baselines3.common.torch_layers.NatureCNN",
    "FlattenExtractor": "stable_baselines3.common.torch_layers.FlattenExtractor",
    "CombinedExtractor": "stable_baselines3.common.torch_layers.CombinedExtractor",
    "utils.wrappers.DoneOnSuccessWrapper": "rl_experiments.envs.wrappers.TruncatedOnSuccessWrapper",
    "gymnasium.wrappers.resize_observation.ResizeObservation": (
        "rl_experiments.envs.wrappers.YAMLCompatResizeObservation"
    ),
    "gymnasium.wrappers.ResizeObservation": "rl_experiments.envs.wrappers.YAMLCompatResizeObservation",
    # Before gymnasium 1.0 it weighted the colours otherwise.
    "gymnasium.wrappers.gray_scale_observation.GrayScaleObservation": (
        "rl_experiments.envs.adapters.GrayScaleObservation"
    ),
    "gymnasium.wrappers.GrayScaleObservation": "rl_experiments.envs.adapters.GrayScaleObservation",
    "gymnasium.wrappers.frame_stack.FrameStack": "rl_experiments.envs.adapters.FrameStack",
    "gymnasium.wrappers.FrameStack": "rl_experiments.envs.adapters.FrameStack",
    "rl_zoo3.callbacks.RawStatisticsCallback": "rl_experiments.training.zoo_callbacks.RawStatisticsCallback",
    "rl_zoo3.callbacks.SaveVecNormalizeCallback": "rl_experiments.training.zoo_callbacks.SaveVecNormalizeCallback",
}
_PREFIXES = {
    "nn.": "torch.nn.",
    "th.nn.": "torch.nn.",
    "th.optim.": "torch.optim.",
    "optim.": "torch.optim.",
    "sb3.": "stable_baselines3.",
    # Names that moved, or that have an implementation of our own so that nothing of the zoo is imported.
    "rl_zoo3.wrappers.": "rl_experiments.envs.wrappers.",
    "utils.wrappers.": "rl_experiments.envs.wrappers.",
    "gym_minigrid.": "minigrid.",
    # Modules until gymnasium 0.29, whose wrappers still have the same names and arguments.
    **{
        f"gymnasium.wrappers.{module}.": "gymnasium.wrappers."
        for module in (
            *("clip_action", "filter_observation", "flatten_observation", "normalize", "order_enforcing"),
            *("record_episode_statistics", "rescale_action", "time_aware_observation", "time_limit"),
        )
    },
}
_LIBRARIES = (
    "torch.nn.",
    "torch.optim.",
    "stable_baselines3.",
    "sb3_contrib.",
    "gymnasium.",
    "rl_experiments.envs.wrappers.",
    "rl_experiments.envs.adapters.",
    "rl_experiments.training.zoo_callbacks.",
    "ale_py.",
    "minigrid.wrappers.",
    "highway_env.",
    "panda_gym.",
    "gymnasium_robotics.",
)
_FILE_WRITERS = ("Monitor", "RecordVideo", "VecMonitor", "VecVideoRecorder")
"""Classes of the libraries that write files where their arguments say."""


@dataclass(frozen=True)
class Symbol:
    """A name that stands for a class; nothing is imported before it is needed."""

    name: str

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        """The full dotted path."""
        name = self.name
        if name.startswith("gym.wrappers."):
            name = f"gymnasium{name.removeprefix('gym')}"
        if name in _SHORT:
            return _SHORT[name]
        for prefix, replacement in _PREFIXES.items():
            if name.startswith(prefix):
                return replacement + name.removeprefix(prefix)
        return name

    @staticmethod
    def is_known(name: str) -> bool:
        """Whether the name is short, or inside one of the libraries that experiments are made of."""
        return Symbol(name).path.startswith(_LIBRARIES)

    @staticmethod
    def short_names() -> list[str]:
        """:return: the short names, for suggestions"""
        return sorted(name for name in _SHORT if "." not in name)


@dataclass(frozen=True)
class Trust:
    """
    What may be imported beyond the libraries, and whether pickles may run.

    :param any_name: any dotted name, because the user wrote the configuration that holds it
    :param pickles: files may be read in a way that runs code in them: the user said ``--trust``
    :param modules: packages that the user named on this command line
    """

    any_name: bool = False
    pickles: bool = False
    modules: frozenset[str] = field(default_factory=frozenset)

    @staticmethod
    def of(everything: bool = False, modules: Iterable[str] = ()) -> Trust:
        """Build a trust from ``--trust`` and the modules of ``--gym-packages`` or of a ``module:Env-v0`` id."""
        return Trust(everything, everything, frozenset(modules))

    def allows(self, path: str) -> bool:
        """Whether the dotted path may be imported."""
        if self.any_name or self.knows_as_own(path):
            return True
        return Symbol.is_known(path) and path.rpartition(".")[2] not in _FILE_WRITERS

    def knows_as_own(self, path: str) -> bool:
        """Whether the user named the path, or its package, here or in an earlier training."""
        if any(path == module or path.startswith(f"{module}.") for module in self.modules):
            return True
        return path in _used_before()


def import_symbol(name: str | Symbol, trust: Trust, what: str, base: type | None = None) -> Any:
    """
    Import what a name stands for.

    :param name: a short name or dotted path
    :param trust: what may be imported beyond the libraries
    :param what: what it is for, in errors ("env_wrapper")
    :param base: the class that a class of the libraries must derive from
    :raises UntrustedError: if the name may not be imported here
    :raises ConfigurationError: if there is no such thing
    """
    symbol = name if isinstance(name, Symbol) else Symbol(name)
    path = symbol.path
    module_name, _, attribute = path.rpartition(".")
    if not module_name:
        raise ConfigurationError(
            f"{what}: '{symbol}' is no dotted path to a class.{hint(symbol.name, Symbol.short_names())}"
        )
    if not trust.allows(path):
        raise UntrustedError(
            f"{what} '{symbol}' is not imported only because a file names it. If you trust it, name its package"
            f" with --gym-packages {path.split('.')[0]}, or pass --trust"
        )
    try:
        found = getattr(_import_parent(module_name), attribute)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{what} '{symbol}': there is no module '{error.name}'") from None
    except AttributeError:
        names = [key for key, value in vars(_import_parent(module_name)).items() if inspect.isclass(value)]
        raise ConfigurationError(
            f"{what}: there is no '{attribute}' in {module_name}.{hint(attribute, names)}"
        ) from None
    if Symbol.is_known(path):
        if not inspect.isclass(found) or (base is not None and not issubclass(found, base)):
            expected = base.__name__ if base is not None else "class"
            raise ConfigurationError(f"{what}: '{symbol}' is no {expected}")
    elif trust.any_name:
        remember_use(path)
        # A class that a module passes on is saved in a model under the name of the module that defines it.
        remember_use(f"{getattr(found, '__module__', module_name)}.{getattr(found, '__qualname__', attribute)}")
    return found


def _import_parent(dotted: str) -> Any:
    """Import a module, or the class in it that a dotted path goes through."""
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError:
        parent, _, attribute = dotted.rpartition(".")
        if not parent:
            raise
        container = _import_parent(parent)
        if not inspect.isclass(getattr(container, attribute, None)):
            raise
        return getattr(container, attribute)


def _memory_file() -> Path:
    return cache_folder() / "used_names.json"


def _used_before() -> set[str]:
    try:
        names = json.loads(_memory_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def remember_use(path: str) -> None:
    """
    Keep a name that the user's own configuration named, so that enjoy and push need no flag for it later.

    :param path: a dotted path, or ``package.*`` for a package of environments
    """
    names = _used_before()
    if path in names:
        return
    with contextlib.suppress(OSError):  # a read-only home costs a flag later, no more
        write_text(_memory_file(), json.dumps(sorted(names | {path}), indent=1))
