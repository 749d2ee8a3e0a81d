"""Where studies are kept: in memory, in a journal file, or in a database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, get_storage

from rl_experiments.core.errors import ConfigurationError, MissingPackageError, NotFoundError
from rl_experiments.core.suggest import hint
from rl_experiments.tuning.journal import WholeRecords

JOURNAL = "journal.log"
"""The storage of a study in its folder, where no other was named."""
_SQLITE_FILE = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>[^?]+)")


def open_storage(name: str | None) -> BaseStorage:
    """
    :param name: the path of a journal file (``*.log``), any URL that Optuna takes, or None for memory
    :raises ConfigurationError: if there is no such kind of storage, or it cannot be reached
    """
    try:
        if name is not None and name.endswith(".log"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(WholeRecords(name))
        sqlite = _SQLITE_FILE.fullmatch(name or "")
        if sqlite is not None:
            Path(sqlite["path"]).parent.mkdir(parents=True, exist_ok=True)
        return get_storage(name)
    except ModuleNotFoundError as error:
        raise MissingPackageError(f"The storage {name}", str(error.name), "postgres") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigurationError(
            f"The storage '{name}' cannot be used: {reason}. Expected a journal file like logs/study.log,"
            " or a database like sqlite:///study.db"
        ) from error


def open_study(storage: BaseStorage, name: str | None, identity: Mapping[str, str]) -> optuna.Study:
    """
    Make a study that maximizes, or go on with one.

    :param identity: what it tunes: values of user attributes
    :raises ConfigurationError: if there is one of that name that tunes something else
    """
    study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True, direction="maximize")
    if study.direction != optuna.study.StudyDirection.MAXIMIZE:
        raise ConfigurationError(f"The study '{name}' minimizes. Expected one that maximizes, or another --study-name")
    for key, value in identity.items():
        check_identity(study, key, value)
        if key not in study.user_attrs:
            study.set_user_attr(key, value)
    return study


def load_study(storage: str, name: str | None) -> optuna.Study:
    """
    :param storage: as in :func:`open_storage`, but it is not made
    :param name: the study; the only one if None
    :raises NotFoundError: if there is none of that name
    """
    sqlite = _SQLITE_FILE.fullmatch(storage)
    path = Path(storage) if storage.endswith(".log") else Path(sqlite["path"]) if sqlite else None
    if path is None and ":" not in storage:
        path = Path(storage)  # of a folder, perhaps
    if path is not None and not path.is_file():
        raise NotFoundError(f"There is no storage {path}.{hint(str(path), _similar(path))}")
    opened = open_storage(storage)
    names = optuna.get_all_study_names(opened)
    if name is None and len(names) == 1:
        name = names[0]
    if name is None:
        raise ConfigurationError(f"{storage} holds {len(names)} studies: name one with --study-name.{hint('', names)}")
    if name not in names:
        raise NotFoundError(f"There is no study '{name}' in {storage}.{hint(name, names)}")
    return optuna.load_study(storage=opened, study_name=name)


def _similar(path: Path) -> list[str]:
    """:return: the files and studies where it should be"""
    if path.name == JOURNAL:
        return [str(file) for file in path.parent.parent.glob(f"*/{JOURNAL}")]
    if not path.suffix:
        return [str(file.parent) for file in path.parent.glob(f"*/{JOURNAL}")]
    return [str(file) for file in path.parent.glob(f"*{path.suffix}")]


def check_identity(study: optuna.Study, key: str, value: str) -> None:
    """
    :raises ConfigurationError: if the study says of itself that it tunes something else
    """
    found: Any = study.user_attrs.get(key, value)
    if found != value:
        raise ConfigurationError(f"The study '{study.study_name}' tunes the {key} {found}, not {value}")
