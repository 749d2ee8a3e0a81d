"""The run: the folder that one experiment leaves on disk, and the object that reads and writes it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.files import check_plain_file, claim_numbered_folder, write_text
from rl_experiments.core.names import folder_name
from rl_experiments.core.suggest import hint

FINAL, BEST, LAST_CHECKPOINT = "final", "best", "last-checkpoint"
CHECKPOINTS, MODEL, STATISTICS = "checkpoints", "model.zip", "vecnormalize.pkl"
"""The folder of what training goes on from, and in each checkpoint an agent with the normalisation of its moment."""
_LARGEST_STATISTICS = 256 << 20
_CHECKPOINT = re.compile(r"rl_model_(\d+)_steps\.zip$")


@dataclass(frozen=True)
class SavedModel:
    """
    A model in a run, with the normalisation of its moment.

    :param path: the zip
    :param statistics: the VecNormalize file that belongs to it, or None where the run normalises nothing
    :param label: what it is, for people
    :param steps: of a checkpoint; None for the final and the best model
    """

    path: Path
    statistics: Path | None
    label: str
    steps: int | None = None


@dataclass(frozen=True)
class Run:
    """
    :param path: the folder, ``logs/<algo>/<env>_<n>``
    :param algorithm: name in the registry
    :param env_name: the environment id as it appears in file names
    """

    path: Path
    algorithm: str
    env_name: str

    @staticmethod
    def create(log_folder: Path, algorithm: str, env_id: str, suffix: str = "") -> Run:
        """
        Claim the next number and make the folder.

        :param suffix: appended to the folder's name (``-uuid``)
        """
        name = folder_name(env_id)
        try:
            path = claim_numbered_folder(Path(log_folder) / algorithm, name, suffix)
        except OSError as error:
            raise ConfigurationError(f"The log folder {log_folder} cannot be written to: {error}") from None
        return Run(path, algorithm, name)

    @property
    def config_folder(self) -> Path:
        """Where the configuration and the final normalisation statistics are."""
        return self.path / self.env_name

    @property
    def final_model(self) -> Path:
        """The model at the end of training."""
        return self.path / f"{self.env_name}.zip"

    @property
    def best_model(self) -> Path:
        """The model that scored best in an evaluation during training."""
        return self.path / "best_model.zip"

    @property
    def evaluations_file(self) -> Path:
        """Returns and lengths of all evaluations during training."""
        return self.path / "evaluations.npz"

    @property
    def final_statistics(self) -> Path:
        """Normalisation statistics at the end of training."""
        return self.config_folder / "vecnormalize.pkl"

    @property
    def best_statistics(self) -> Path:
        """Normalisation statistics that belong to the best model."""
        return self.path / "best_model_vecnormalize.pkl"

    @property
    def videos(self) -> Path:
        """Where videos of its agents go."""
        return self.path / "videos"

    def checkpoint(self, steps: int) -> Path:
        """:return: where the model after so many steps is"""
        return self.path / f"rl_model_{steps}_steps.zip"

    def checkpoint_statistics(self, steps: int) -> Path:
        """:return: where the normalisation statistics after so many steps are"""
        return self.path / f"rl_model_vecnormalize_{steps}_steps.pkl"

    def monitor_files(self) -> list[Path]:
        """:return: the episode logs of the training environments, in order"""
        return sorted(self.path.glob("*monitor.csv"), key=lambda path: (len(path.name), path.name))

    def checkpoints(self) -> list[int]:
        """:return: the steps at which there is a checkpoint, ascending"""
        matches = (_CHECKPOINT.match(path.name) for path in self.path.glob("rl_model_*_steps.zip"))
        return sorted(int(match[1]) for match in matches if match)

    def resumable(self) -> dict[int, Path]:
        """:return: the checkpoints that training goes on from, by their steps, ascending, whether whole or not"""
        folder = self.path / CHECKPOINTS
        entries = folder.iterdir() if folder.is_dir() else ()
        found = sorted(entry for entry in entries if entry.name.isdecimal() and entry.is_dir())
        return {int(path.name): path for path in found}

    @cached_property
    def hyperparameters(self) -> Hyperparameters:
        """What ``config.yml`` holds; empty where there is none."""
        file = self.config_folder / "config.yml"
        values = self._mapping(file)
        return Hyperparameters(values, dict.fromkeys(values, str(file)))

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The command-line arguments that ``args.yml`` holds; empty where there is none."""
        return self._mapping(self.config_folder / "args.yml")

    @property
    def env_id(self) -> str:
        """The environment as Gymnasium knows it."""
        saved = self.arguments.get("env")
        try:
            is_this = isinstance(saved, str) and folder_name(saved) == self.env_name
        except ConfigurationError as error:
            raise ConfigurationError(f"env in {self.config_folder / 'args.yml'}: {error}") from None
        return str(saved) if is_this else self.env_name

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """Arguments of the environment's constructor: of the configuration, overridden by those of the command line."""
        configured = self.hyperparameters.parsed("env_kwargs") or {}
        given = self.arguments.get("env_kwargs") or {}
        for name, kwargs in (("config.yml", configured), ("args.yml", given)):
            check_keywords(kwargs, f"env_kwargs in {self.config_folder / name}")
        return {**configured, **given}

    def write_configuration(
        self, hyperparameters: Mapping[str, Any], arguments: Mapping[str, Any], command: str
    ) -> None:
        """Write ``config.yml``, ``args.yml`` and ``command.txt`` as the zoo does."""
        write_text(self.config_folder / "config.yml", yaml_io.dump_like_the_zoo(hyperparameters))
        write_text(self.config_folder / "args.yml", yaml_io.dump_like_the_zoo(arguments))
        write_text(self.config_folder / "command.txt", command)

    def model(self, which: str | int = FINAL) -> SavedModel:
        """
        :param which: ``final``, ``best``, ``last-checkpoint``, or the steps of a checkpoint
        :raises NotFoundError: if it is not there; the message says what is
        :raises RLExperimentsError: if it is no file, or one outside the run
        """
        path, statistics, label = self._files_of(which)
        if not os.path.lexists(path):
            raise NotFoundError(f"There is no {label} in {self.path}. {self._contents()}")
        check_plain_file(path, within=self.path)
        return SavedModel(path, self._statistics(statistics, label), label, self._steps_of(which))

    def models(self) -> list[str | int]:
        """:return: what :meth:`model` takes here: steps of checkpoints, ascending, then the best and the final one"""
        ends = [which for which in (BEST, FINAL) if self.has_model(which)]
        return [*sorted({*self.checkpoints(), *self.resumable()}), *ends]

    def has_model(self, which: str | int | None = FINAL) -> bool:
        """
        :param which: as for :meth:`model`; None for any
        :return: whether it is there
        """
        if which is None:
            return bool(self.models())
        try:
            return os.path.lexists(self._files_of(which)[0])
        except NotFoundError:
            return False

    def _files_of(self, which: str | int) -> tuple[Path, Path, str]:
        """:return: the model, the statistics of its moment, and what to call it"""
        steps = self._steps_of(which)
        if steps is not None:
            whole = None if os.path.lexists(self.checkpoint(steps)) else self.resumable().get(steps)
            if whole is not None:
                return whole / MODEL, whole / STATISTICS, f"checkpoint at {steps} steps"
            return self.checkpoint(steps), self.checkpoint_statistics(steps), f"checkpoint at {steps} steps"
        if which == BEST:
            return self.best_model, self.best_statistics, "best model"
        if which == FINAL:
            return self.final_model, self.final_statistics, "final model"
        raise ConfigurationError(
            f"There is no kind of model '{which}'.{hint(str(which), (FINAL, BEST, LAST_CHECKPOINT))}"
        )

    def _steps_of(self, which: str | int) -> int | None:
        if which != LAST_CHECKPOINT:
            return which if isinstance(which, int) else None
        steps = self.checkpoints() or list(self.resumable())
        if not steps:
            raise NotFoundError(f"There is no checkpoint in {self.path}. {self._contents()}")
        return steps[-1]

    def _statistics(self, own: Path, label: str) -> Path | None:
        """The zoo keeps one file for all models of a run; ours keep their own."""
        whole = own.parent.parent.name == CHECKPOINTS
        for candidate in (own,) if whole else (own, self.final_statistics):
            if os.path.lexists(candidate):
                check_plain_file(candidate, _LARGEST_STATISTICS, within=self.path)
                return candidate
        if self.hyperparameters.normalize is not None:
            raise NotFoundError(f"The {label} in {self.path} was trained with normalisation, but {own} is not there")
        return None

    def _contents(self) -> str:
        models = [name for name in ("best_model.zip", f"{self.env_name}.zip") if (self.path / name).is_file()]
        steps = sorted({*self.checkpoints(), *self.resumable()})
        if steps:
            models.append(f"checkpoints at {', '.join(map(str, steps[-8:]))} steps (--load-last-checkpoint)")
        return f"It has: {', '.join(models)}" if models else "It has no model yet"

    def _mapping(self, file: Path) -> dict[str, Any]:
        if not os.path.lexists(file):
            return {}
        check_plain_file(file, within=self.path)
        content = yaml_io.read(file)
        if content is None:  # as empty as if there were none
            return {}
        if not isinstance(content, Mapping):
            raise ConfigurationError(f"{file} holds no mapping")
        check_keywords(content, str(file))
        return dict(content)


def check_keywords(value: Any, what: str) -> None:
    """
    :param what: the subject of the error
    :raises ConfigurationError: if the value is no mapping of names to values
    """
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{what} must be a mapping, but got {value!r:.80}")
    for key in value:
        if not isinstance(key, str):
            raise ConfigurationError(f"{what} must have names as keys, but got {key!r:.80}")
