"""Finding the run that a command line means."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from rl_experiments.algorithms.registry import HINDSIGHT, algorithm_names
from rl_experiments.core.errors import NotFoundError
from rl_experiments.core.files import numbered_folders
from rl_experiments.core.names import folder_name
from rl_experiments.core.suggest import hint
from rl_experiments.runs.folder import FINAL, Run
from rl_experiments.runs.hindsight import is_of_hindsight, run_in

LATEST, NO_FOLDER = 0, -1


def find_run(
    log_folder: str | Path, algorithm: str, env_id: str, exp_id: int = LATEST, which: str | int | None = FINAL
) -> Run:
    """
    :param log_folder: the folder of all runs
    :param exp_id: the run's number; 0 is the latest that has the model asked for, -1 means that the models lie in
        ``<folder>/<algo>``
    :param which: the model that the run should have (see :meth:`rl_experiments.runs.Run.model`); None for any
    :raises NotFoundError: if there is no such run; the message says what there is
    """
    folder = Path(log_folder)
    name = folder_name(env_id)
    parent = folder / algorithm
    if exp_id == NO_FOLDER:
        if not parent.is_dir():
            raise NotFoundError(f"There is no folder {parent}.{_elsewhere(folder, algorithm, name)}")
        return run_in(parent, algorithm, name)
    groups = _groups_of(folder, algorithm, env_id)
    runs = next(groups, None)
    if runs is None:
        raise NotFoundError(
            f"There is no run of {algorithm} on {env_id} in {folder}.{_elsewhere(folder, algorithm, name)}"
        )
    if exp_id != LATEST:
        numbers: set[int] = set()
        for group in itertools.chain([runs], groups):
            if exp_id in group:
                return group[exp_id]
            numbers.update(group)
        there = ", ".join(map(str, sorted(numbers)))
        raise NotFoundError(f"There is no run {exp_id} of {algorithm} on {env_id} in {folder}. There are: {there}")
    with_model = [number for number in sorted(runs) if runs[number].has_model(which)]
    return runs[with_model[-1] if with_model else max(runs)]


def _groups_of(folder: Path, algorithm: str, env_id: str) -> Iterator[dict[int, Run]]:
    """:return: the runs of an environment by number: those under its own name, then under its others"""
    for parent, is_meant in _parents(folder, algorithm):
        for name in (folder_name(env_id), *_other_names(parent, env_id)):
            found = numbered_folders(parent, name).items()
            runs = {number: run_in(path, parent.name, name) for number, path in found}
            meant = {number: run for number, run in runs.items() if is_meant(run)}
            if meant:
                yield meant


def _parents(folder: Path, algorithm: str) -> Iterator[tuple[Path, Callable[[Run], bool]]]:
    """Where runs of an algorithm lie, and which of those there are meant; ``her`` was around another algorithm."""
    yield folder / algorithm, lambda run: True
    if algorithm == HINDSIGHT:
        for name in algorithm_names():
            yield folder / name, is_of_hindsight
    else:
        yield folder / HINDSIGHT, lambda run: run.algorithm == algorithm


def _other_names(parent: Path, env_id: str) -> list[str]:
    """:return: names of runs there whose environment is played as ``env_id`` is today, the latest version first"""
    if not parent.is_dir():
        return []
    from rl_experiments.envs.adaptations import today

    names = {entry.name.rpartition("_")[0] for entry in os.scandir(parent) if entry.is_dir()}
    played = today(env_id)
    return sorted((name for name in names if name != folder_name(env_id) and today(name) == played), reverse=True)


def _elsewhere(folder: Path, algorithm: str, name: str) -> str:
    """What the user may have meant: another environment, another algorithm, another folder."""
    for other in dict.fromkeys([folder, Path("logs"), Path("rl-trained-agents")]):
        if numbered_folders(other / algorithm, name):
            return f" There is one in {other}: add -f {other}"
        algorithms = [entry.name for entry in os.scandir(other) if entry.is_dir()] if other.is_dir() else []
        for candidate in algorithms:
            if numbered_folders(other / candidate, name):
                return f" There is one of {candidate}: --algo {candidate} -f {other}"
    parent = folder / algorithm
    if not parent.is_dir():
        return "" if folder.is_dir() else f" The folder {folder} does not exist."
    return hint(name, {entry.name.rpartition("_")[0] or entry.name for entry in os.scandir(parent) if entry.is_dir()})
