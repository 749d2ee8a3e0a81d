"""Finding out what a repository holds: which file is the model, of which algorithm, for which environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from rl_experiments.algorithms.registry import HINDSIGHT, algorithm_names, get_algorithm
from rl_experiments.algorithms.sb3.recognizing import possible_algorithms
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError, NotFoundError, UntrustedError
from rl_experiments.core.names import folder_name, model_name
from rl_experiments.core.suggest import nearest
from rl_experiments.hub.remote import RemoteRepository

ARGUMENTS, CARD, METRICS = "args.yml", "README.md", "train_eval_metrics.zip"
_ENV_ID = re.compile(r"(?:[A-Za-z_][\w.]*:)?(?:[\w.-]+/)?[A-Za-z][\w.-]*")
_VERSION = re.compile(r"-v\d+$")
_FRONT_MATTER = re.compile(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)
_OWN_FOLDERS = ("checkpoints", "logs")
"""Folders whose zips are not the agent's last model."""


@dataclass(frozen=True)
class Claims:
    """
    What a repository says that its agent is; the first of each is the most reliable.

    :param algorithms: names in the registry
    :param environments: ids
    """

    algorithms: tuple[str, ...]
    environments: tuple[str, ...]

    @property
    def algorithm(self) -> str | None:
        """The most reliable."""
        return self.algorithms[0] if self.algorithms else None

    @property
    def environment(self) -> str | None:
        """The most reliable."""
        return self.environments[0] if self.environments else None


def read_claims(repository: RemoteRepository, model: str | None = None) -> Claims:
    """
    :param repository: with its arguments and its card fetched, as far as it has them
    :param model: the model's file, if it is known
    :return: what ``args.yml``, the card, the model's name and the repository's name say, in this order
    """
    algorithms, environments = [], []
    for algorithm, env_id in _said(repository, model):
        if algorithm is not None:
            algorithms.append(algorithm)
        if env_id is not None and _is_env_id(env_id):
            environments.append(env_id)
    return Claims(tuple(dict.fromkeys(algorithms)), tuple(dict.fromkeys(environments)))


def choose_model(
    repository: RemoteRepository, algorithm: str | None, env_id: str | None, file_name: str | None = None
) -> str:
    """
    :param file_name: the file that the user chose
    :return: the model's path in the repository
    :raises NotFoundError: if there is none, or if it could be several; the message has the nearest name
    """
    models = _models(repository.files)
    expected = f"{model_name(algorithm, env_id)}.zip" if algorithm and env_id else None
    wanted = file_name or expected
    if file_name is not None:
        if file_name in repository.files:
            return file_name
    else:
        by_name = (expected, f"{repository.repo_id.partition('/')[2]}.zip")
        for name in by_name:
            if name in models:
                return str(name)
        if len(models) == 1:
            return models[0]
    if not models:
        found = repository.contents() or "no file"
        raise NotFoundError(f"{repository.repo_id} has no {wanted or 'model (a zip file)'}. It has: {found}")
    choice = nearest(wanted or repository.repo_id.partition("/")[2], models) or models[0]
    several = f"no {wanted}" if wanted else "several models"
    raise NotFoundError(
        f"{repository.repo_id} has {several}. It has: {', '.join(models[:20])}. Did you mean --filename {choice}?"
    )


def check_environment(repository: RemoteRepository, model: str, env_id: str, claims: Claims) -> None:
    """
    Refuse a model of another name than asked for that says it is for another environment. Versions may differ.

    :raises NotFoundError: if it is for another environment
    """
    others = [other for other in claims.environments if _base(other) != _base(env_id)]
    if others and len(others) == len(claims.environments):
        raise NotFoundError(
            f"{repository.repo_id} has no model for {env_id}: {model} is for {others[0]}. "
            f"Give --env {others[0]}, or --filename {model} if it is the right one"
        )


def choose_algorithm(
    repository: RemoteRepository, model: str, given: str | None, claims: Claims, data: Mapping[str, Any]
) -> str:
    """
    :param given: what the user says
    :param data: what the model holds
    :return: the algorithm, by the model itself where it can be told
    :raises ConfigurationError: if the user says another than the model, or if it cannot be found out
    """
    possible = possible_algorithms(data)
    if given is not None and given != HINDSIGHT:
        of_sb3 = get_algorithm(given).class_path.startswith(("stable_baselines3.", "sb3_contrib."))
        if possible and given not in possible and of_sb3:
            names = " or ".join(sorted(possible))
            raise ConfigurationError(
                f"{model} of {repository.repo_id} is a model of {names}, not of {given}: --algo {names}"
            )
        return given
    for claimed in claims.algorithms:
        if not possible or claimed in possible:
            return claimed
    if len(possible) == 1:
        return next(iter(possible))
    either = f" ({' or '.join(sorted(possible))})" if possible else ""
    raise ConfigurationError(
        f"{repository.repo_id} does not tell the algorithm of {model}{either}: give it with --algo"
    )


def _said(repository: RemoteRepository, model: str | None) -> Iterator[tuple[str | None, str | None]]:
    """Algorithm and environment, as each part of the repository has them."""
    arguments = _mapping(repository.text(ARGUMENTS), ARGUMENTS)
    yield _known_algorithm(arguments.get("algo")), _text(arguments.get("env"))
    card = _front_matter(repository.text(CARD))
    for entry in _dicts(card.get("model-index")):
        yield _known_algorithm(entry.get("name")), None
        for result in _dicts(entry.get("results")):
            for dataset in _dicts([result.get("dataset")]):
                yield None, _text(dataset.get("name"))
                yield None, _text(dataset.get("type"))
    tags = card.get("tags")
    for tag in tags if isinstance(tags, list) else ():
        yield _known_algorithm(tag), _text(tag) if _VERSION.search(str(tag)) else None
    for name in (PurePosixPath(model).stem if model else "", repository.repo_id.partition("/")[2]):
        yield _from_name(name)


def _mapping(text: str | None, name: str) -> Mapping[str, Any]:
    content = yaml_io.parse(text, name) if text is not None else None
    return content if isinstance(content, Mapping) else {}


def _front_matter(card: str | None) -> Mapping[str, Any]:
    """A card is written by hand as often as not: what cannot be read says nothing."""
    match = _FRONT_MATTER.match(card or "")
    try:
        return _mapping(match[1], CARD) if match else {}
    except (ConfigurationError, UntrustedError):
        return {}


def _dicts(value: Any) -> Iterable[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _known_algorithm(text: Any) -> str | None:
    """:return: the algorithm of this name, or whose class has this name"""
    if not isinstance(text, str):
        return None
    for name in algorithm_names():
        if text.lower() in (name, get_algorithm(name).class_name.lower()):
            return name
    return None


def _from_name(text: str) -> tuple[str | None, str | None]:
    """Algorithm and environment of ``<algo>-<env>`` and its like; names without an algorithm could mean anything."""
    for name in sorted((*algorithm_names(), HINDSIGHT), key=len, reverse=True):
        match = re.match(rf"{re.escape(name)}[-_](.*)", text, re.IGNORECASE)
        if match:
            return None if name == HINDSIGHT else name, match[1] if _VERSION.search(match[1]) else None
    return _known_algorithm(text), None


def _is_env_id(text: str) -> bool:
    if len(text) > 100 or ".." in text or not _ENV_ID.fullmatch(text):
        return False
    try:
        return bool(folder_name(text))
    except ConfigurationError:
        return False


def _base(env_id: str) -> str:
    return _VERSION.sub("", folder_name(env_id))


def _models(files: Iterable[str]) -> list[str]:
    """The zips that could be the model: those at the top, or where there is none those in folders."""
    zips = sorted(name for name in files if name.lower().endswith(".zip") and PurePosixPath(name).name != METRICS)
    at_the_top = [name for name in zips if "/" not in name]
    return at_the_top or [name for name in zips if name.partition("/")[0] not in _OWN_FOLDERS]
