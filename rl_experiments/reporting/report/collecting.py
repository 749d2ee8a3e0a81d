"""The runs below folders, read; and the groups that a report compares."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rl_experiments.algorithms.registry import SBX, names_of_runs
from rl_experiments.core.errors import ConfigurationError, NotFoundError, RLExperimentsError
from rl_experiments.core.names import folder_name
from rl_experiments.core.suggest import hint
from rl_experiments.reporting.report.filters import parse_condition, select
from rl_experiments.reporting.report.reading import RunData, read_run
from rl_experiments.runs import ListedRun, all_runs
from rl_experiments.runs.listing import DAMAGED

_SIGNS = "=<>"


@dataclass(frozen=True)
class Skipped:
    """
    :param path: the folder of a run that is not in the report
    :param reason: why not
    """

    path: str
    reason: str


@dataclass(frozen=True)
class Group:
    """
    :param label: what it is called
    :param runs: those of one curve in each environment
    """

    label: str
    runs: tuple[RunData, ...]


def collect(
    folders: Iterable[str], progress: Callable[[int, int], None] | None = None
) -> tuple[list[RunData], list[Skipped]]:
    """
    :param folders: of runs: a log folder, the folder of an algorithm, or a run
    :param progress: takes how many runs were read, and how many there are
    :return: the runs that could be read, and the others
    :raises NotFoundError: if a folder is not there, or holds no run
    """
    found = {os.path.realpath(listed.path): (listed, folder) for folder in folders for listed in runs_below(folder)}
    runs, skipped = [], []
    for done, (listed, folder) in enumerate(found.values(), 1):
        try:
            if listed.state == DAMAGED:
                raise ConfigurationError(listed.reason or DAMAGED)
            folder_name(listed.environment)  # a record that was changed by hand can hold anything
            runs.append(read_run(listed, folder))
        except (RLExperimentsError, OSError) as error:
            skipped.append(Skipped(listed.path, str(error).replace(f"{listed.path}{os.sep}", "")))
        if progress is not None:
            progress(done, len(found))
    runs.sort(key=lambda run: (run.algorithm, run.environment, run.listed.number, run.source))
    return runs, skipped


def runs_below(folder: str) -> list[ListedRun]:
    """
    :return: all runs of a log folder, of the folder of an algorithm in one, or of a run alone
    :raises NotFoundError: if there is none
    """
    path = Path(os.path.abspath(folder))
    if not path.is_dir():
        all_runs(path)  # says what is there instead
    if found := all_runs(path):
        return found
    for root in (path.parent, path.parent.parent):
        inside = [run for run in all_runs(root) if Path(run.path) == path or path in Path(run.path).parents]
        if inside:
            return inside
    raise NotFoundError(f"There is no run in {folder}. Expected {folder}/<algo>/<env>_<n>")


def by_algorithm(runs: Sequence[RunData]) -> list[Group]:
    """:return: one group for each algorithm and backend, of each folder where there are several"""
    several = len({run.source for run in runs}) > 1
    groups: dict[str, list[RunData]] = {}
    for run in runs:
        name = f"{run.algorithm} {SBX}" if run.record.get("backend") == SBX else run.algorithm
        label = f"{name} ({run.source.rstrip(os.sep)})" if several else name
        groups.setdefault(label, []).append(run)
    return [Group(label, tuple(members)) for label, members in groups.items()]


def compared(runs: Sequence[RunData], wanted: Sequence[str]) -> list[Group]:
    """
    :param wanted: what to compare, each an algorithm, a group, a folder of runs, or conditions such as ``gamma=0.99``
    :return: a group for each, in this order
    :raises RLExperimentsError: if one of them has no run
    """
    known = by_algorithm(runs)
    return [_group(text, runs, known) for text in wanted]


def _group(text: str, runs: Sequence[RunData], known: Sequence[Group]) -> Group:
    named = [run for group in known if group.label == text for run in group.runs]
    if named:
        return Group(text, tuple(named))
    if any(sign in text for sign in _SIGNS):
        return Group(text, tuple(select(runs, [parse_condition(part) for part in text.split()])))
    of_algorithm = [run for run in runs if run.algorithm == text.lower()]
    if of_algorithm:
        return Group(text, tuple(of_algorithm))
    inside = Path(os.path.realpath(text))
    below = [run for run in runs if inside in (path := Path(os.path.realpath(run.path)), *path.parents)]
    if below:
        return Group(text, tuple(below))
    labels = {*(group.label for group in known), *(run.algorithm for run in runs)}
    raise ConfigurationError(f"There is nothing called '{text}' to compare.{hint(text, labels)}")


def folders_of(wanted: Iterable[str]) -> list[str]:
    """:return: those things to compare that are folders, and so are read too; names of algorithms are none"""
    return [text for text in wanted if text.lower() not in names_of_runs() and os.path.isdir(text)]
