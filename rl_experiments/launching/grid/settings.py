"""What a grid is made of; importing this module imports neither torch nor an environment."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from rl_experiments.algorithms.registry import algorithm_names
from rl_experiments.config.grammar import to_text
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.names import folder_name
from rl_experiments.core.options import MOST_THREADS, default_of, options_of
from rl_experiments.core.suggest import hint
from rl_experiments.launching.jobs import LAUNCHERS, PROCESSES, RAY
from rl_experiments.training.settings import Experiment

AUTO = "auto"
OF_THE_GRID = ("algo", "env", "seed", "num_threads")
"""Fields of an experiment that the grid sets."""
NOT_OF_A_GRID = ("trained_agent", "optimization_log_path", "storage", "study_name", "trial_id", "progress", "uuid")
"""Fields that make no sense for many runs at once."""
NOT_OF_THE_EXPERIMENT = (
    "device",
    "eval_in_background",
    "log_folder",
    "log_interval",
    "num_threads",
    "progress",
    "tensorboard_log",
    "track",
    "uuid",
    "verbose",
)
"""Fields that leave what is learned as it is: runs that differ in them alone are the same experiment."""
SAME_VECTORS = ("auto", "dummy", "subproc")
"""Values of vec_env with the same bits; the other ones have random numbers of their own."""
_OTHER_FLAGS = {f"--{name.replace('_', '-')}" for name in NOT_OF_THE_EXPERIMENT}
Identity = frozenset[tuple[str, ...]] | None
_MOST_SEEDS = 10_000
_SPAN = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True)
class Cell:
    """
    One run of a grid.

    :param algorithm: its name
    :param environment: its id
    :param seed: of everything random
    """

    algorithm: str
    environment: str
    seed: int

    @property
    def name(self) -> str:
        """For people, and for the name of a log."""
        return f"{self.algorithm} {self.environment} seed {self.seed}"

    @property
    def log_name(self) -> str:
        """Of the file with what its training prints."""
        return f"{self.algorithm}-{folder_name(self.environment)}-seed{self.seed}.log"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """
    :param algos: algorithms
    :param envs: environments
    :param seeds: of each combination
    :param jobs: runs at once, or ``auto``: one for each core, or for ``num_threads`` cores, as far as memory goes
    :param num_threads: torch's number of threads in each run
    :param launcher: ``processes`` of this machine, or tasks of ``ray``
    :param ray_address: of a cluster; one is started on this machine if None
    :param experiment: further fields of :class:`rl_experiments.training.settings.Experiment`, the same in all runs
    """

    kind: ClassVar[str] = "all runs of a grid"
    excluded: ClassVar[tuple[str, ...]] = NOT_OF_A_GRID

    algos: tuple[str, ...]
    envs: tuple[str, ...]
    seeds: tuple[int, ...] = (1,)
    jobs: int | str = AUTO
    num_threads: int = 1
    launcher: str = PROCESSES
    ray_address: str | None = None
    experiment: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """
        :raises ConfigurationError: if a field cannot work
        """
        for name in ("algos", "envs", "seeds"):
            values = getattr(self, name)
            if not values:
                raise ConfigurationError(f"A grid needs --{name}")
            object.__setattr__(self, name, tuple(dict.fromkeys(values)))
        for algorithm in self.algos:
            if algorithm not in algorithm_names():
                raise ConfigurationError(f"There is no algorithm '{algorithm}'.{hint(algorithm, algorithm_names())}")
        for environment in self.envs:
            folder_name(environment)
        if self.jobs != AUTO and not (isinstance(self.jobs, int) and self.jobs >= 1):
            raise ConfigurationError(f"--jobs must be auto or at least 1, but got {self.jobs}")
        if not isinstance(self.num_threads, int) or not 1 <= self.num_threads <= MOST_THREADS:
            raise ConfigurationError(f"--num-threads must be from 1 to {MOST_THREADS}, but got {self.num_threads}")
        self._check_launcher()
        self._check_experiment()

    def _check_launcher(self) -> None:
        if self.launcher not in LAUNCHERS:
            raise ConfigurationError(f"There is no launcher '{self.launcher}'.{hint(str(self.launcher), LAUNCHERS)}")
        if self.ray_address is not None and (self.launcher != RAY or not isinstance(self.ray_address, str)):
            raise ConfigurationError(f"--ray-address {self.ray_address} needs --launcher ray")

    def _check_experiment(self) -> None:
        known = [declared.name for declared in options_of(Experiment)]
        for name in self.experiment:
            if name in OF_THE_GRID or name in self.excluded:
                raise ConfigurationError(f"'{name}' is no setting for {self.kind}")
            if name not in known:
                raise ConfigurationError(f"There is no setting '{name}'.{hint(name, known)}")
        self.experiment_of(self.cells[0])
        self.words_of(self.cells[0])

    @property
    def cells(self) -> list[Cell]:
        """All runs: the first seed of every combination comes before the second of any."""
        return [Cell(algo, env, seed) for seed in self.seeds for algo in self.algos for env in self.envs]

    @property
    def log_folder(self) -> str:
        """Of all runs."""
        return str(self.experiment.get("log_folder", default_of(_option("log_folder"))))

    def experiment_of(self, cell: Cell) -> Experiment:
        """:return: what the run of a cell is made of"""
        return Experiment(
            **{
                **self.experiment,
                "algo": cell.algorithm,
                "env": cell.environment,
                "seed": cell.seed,
                "num_threads": self.num_threads,
            }
        )

    def words_of(self, cell: Cell) -> list[str]:
        """:return: the same as arguments of the command ``train``"""
        words = ["--algo", cell.algorithm, "--env", cell.environment, "--seed", str(cell.seed)]
        words += ["--num-threads", str(self.num_threads)]
        experiment = self.experiment_of(cell)
        for name in self.experiment:
            words += words_for(name, getattr(experiment, name))
        return words

    def claim_of(self, cell: Cell) -> str:
        """:return: name of a lock file: that of a cell of the same experiment, whatever else differs"""
        words = sorted(map(repr, self.identity(cell) or ()))
        return f"{cell.log_name}.{hashlib.sha256(repr(words).encode()).hexdigest()[:8]}.lock"

    def identity(self, cell: Cell) -> Identity:
        """:return: what tells whether a run is that of a cell; see :func:`identity_of`"""
        return identity_of(self.words_of(cell))


class Seeds(Grid):
    """One experiment with several seeds: what makes no sense for many algorithms and environments may for one."""

    kind = "several seeds"
    excluded = ("progress", "optimization_log_path")


def identity_of(words: Sequence[str]) -> Identity:
    """
    :param words: arguments of the command ``train``
    :return: those of them that change what is learned, in no order; None where there is more than flags
    """
    flags: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            flags.append(word.split("=", 1))
        elif flags:
            flags[-1].append(word)
        else:
            return None
    return frozenset(tuple(flag) for flag in flags if flag[0] not in _OTHER_FLAGS and not _is_same_vector(flag))


def _is_same_vector(flag: Sequence[str]) -> bool:
    return flag[0] == "--vec-env" and flag[-1] in SAME_VECTORS


def _option(name: str) -> Any:
    return next(declared for declared in options_of(Experiment) if declared.name == name)


def words_for(name: str, value: Any) -> list[str]:
    """
    :param name: a field of :class:`rl_experiments.training.settings.Experiment`
    :return: how the command ``train`` is told its value; nothing where that is the default
    """
    declared = _option(name)
    flag = f"--{name.replace('_', '-')}"
    if value is None or value == default_of(declared):
        return []
    if declared.metadata["pairs"]:
        return [flag, *(f"{key}:{to_text(item)}" for key, item in value.items())]
    if declared.metadata["many"]:
        return [flag, *map(str, value)]
    if default_of(declared) is False and declared.metadata["parse"] is None:
        return [flag] if value else []
    return [f"{flag}={value}"]


def parse_jobs(text: str) -> int | str:
    """:return: ``auto`` or a number"""
    return AUTO if text.lower() == AUTO else int(text)


def parse_seeds(text: str) -> tuple[int, ...]:
    """
    :param text: one number says how many, from 1; several, with commas or as ``3-7``, say which
    :raises ValueError: if it says neither
    """
    parts = [part for part in re.split(r"[,\s]+", text.strip()) if part]
    try:
        if len(parts) == 1 and "," not in text and not _SPAN.fullmatch(parts[0]):
            seeds: list[int] = list(range(1, min(int(parts[0]), _MOST_SEEDS + 1) + 1))
        else:
            spans = [(part, _SPAN.fullmatch(part)) for part in parts]
            seeds = [
                seed
                for part, span in spans
                for seed in (
                    range(int(span[1]), min(int(span[2]), int(span[1]) + _MOST_SEEDS) + 1) if span else [int(part)]
                )
            ]
    except ValueError:
        seeds = []
    return _checked_seeds(seeds, text)


def _checked_seeds(seeds: Sequence[int], text: str) -> tuple[int, ...]:
    if not seeds or len(seeds) > _MOST_SEEDS or min(seeds) < 0 or max(seeds) >= 2**32:
        raise ValueError(f"expected from 1 to {_MOST_SEEDS} seeds, such as 10, 3,5,7 or 1-5, but got '{text}'")
    return tuple(seeds)


def read_grid(path: str | Path) -> dict[str, Any]:
    """
    :param path: a YAML file with the fields of a :class:`Grid` and of an experiment
    :return: the fields of a :class:`Grid` that it holds
    :raises ConfigurationError: if it holds anything else
    """
    content = yaml_io.read(Path(path))
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{path} holds no grid. Expected a mapping with algos, envs and seeds")
    own = [declared.name for declared in fields(Grid) if declared.name != "experiment"]
    known = [*own, *(declared.name for declared in options_of(Experiment) if declared.name not in OF_THE_GRID)]
    for name in content:
        if name not in known:
            raise ConfigurationError(f"{path}: there is no setting '{name}'.{hint(str(name), known)}")
    grid: dict[str, Any] = {name: content[name] for name in own if name in content}
    for name in ("algos", "envs"):
        if name in grid:
            grid[name] = names_in(grid[name], f"{name} in {path}")
    if "seeds" in grid:
        grid["seeds"] = _seeds_in(grid["seeds"], f"seeds in {path}")
    grid["experiment"] = {name: value for name, value in content.items() if name not in own}
    return grid


def names_in(value: Any, what: str) -> tuple[str, ...]:
    """:return: names from a list, or from a text with commas or spaces between them"""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise ConfigurationError(f"{what} must be names, but got {value!r:.80}")
    return tuple(name for text in texts for name in re.split(r"[,\s]+", text) if name)


def _seeds_in(value: Any, what: str) -> tuple[int, ...]:
    try:
        if isinstance(value, list):
            return _checked_seeds([int(seed) for seed in value if not isinstance(seed, bool)], str(value))
        return parse_seeds(str(value))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{what}: {error}") from None
