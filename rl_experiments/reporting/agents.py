"""The agents under a folder, and what tells that one of them is still the same."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rl_experiments.core.errors import NotFoundError, RLExperimentsError
from rl_experiments.core.files import check_plain_file, sha256_of
from rl_experiments.runs import ListedRun, Run, all_runs


@dataclass(frozen=True)
class FoundAgent:
    """
    :param run: the run that it comes from
    :param environment: the id that it was saved with
    """

    run: Run
    environment: str

    @property
    def name(self) -> str:
        """``<algo>-<env>``, as its folder among the results is called."""
        return f"{self.run.algorithm}-{self.run.env_name}"

    def hashes(self) -> dict[str, str]:
        """:return: the SHA-256 of every file that makes it, by name; of none if one of them cannot be read"""
        run = self.run
        files = (
            run.final_model,
            run.final_statistics,
            run.config_folder / "config.yml",
            run.config_folder / "args.yml",
        )
        try:
            present = [file for file in files if os.path.lexists(file)]
            for file in present:
                check_plain_file(file)
            return {str(file.relative_to(run.path)): sha256_of(file) for file in present}
        except (RLExperimentsError, OSError):
            return {}


def find_agents(folder: str | Path) -> list[FoundAgent]:
    """
    :param folder: of all runs, ``<folder>/<algo>/<env>_<n>``
    :return: the latest run of each algorithm in each environment that has a model, or the latest where none has;
        sorted by algorithm and environment
    :raises NotFoundError: if there is none
    """
    latest: dict[tuple[str, str], ListedRun] = {}
    for listed in all_runs(folder):
        key = (listed.algorithm, listed.environment_name)
        if key not in latest or _rank(listed) > _rank(latest[key]):
            latest[key] = listed
    if not latest:
        raise NotFoundError(f"There is no agent in {folder}. Expected {folder}/<algo>/<env>_<n>{_above(folder)}")
    return [_agent(latest[key]) for key in sorted(latest)]


def _above(folder: str | Path) -> str:
    folder = Path(os.path.abspath(folder))
    inside: Iterable[ListedRun] = all_runs(folder.parent) if folder.parent != folder else ()
    is_algorithm = any(Path(listed.path).parent == folder for listed in inside)
    return f". Did you mean --log-dir {folder.parent}?" if is_algorithm else ""


def _rank(listed: ListedRun) -> tuple[bool, int, int]:
    has_model = _run(listed).has_model()
    return has_model, listed.number, -len(listed.path)


def _run(listed: ListedRun) -> Run:
    return Run(Path(listed.path), listed.algorithm, listed.environment_name)


def _agent(listed: ListedRun) -> FoundAgent:
    run = _run(listed)
    try:
        return FoundAgent(run, run.env_id)
    except (RLExperimentsError, OSError):  # args.yml is broken: playing the agent says how
        return FoundAgent(run, listed.environment)
