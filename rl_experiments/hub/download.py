"""Getting an agent back: from a Hub repository to a run folder."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rl_experiments.algorithms.brax.policy import describes_policy
from rl_experiments.algorithms.sb3.archive import read_data
from rl_experiments.config import grammar
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.files import replacing, write_text
from rl_experiments.core.interruption import ended_by_signals
from rl_experiments.core.names import model_name
from rl_experiments.hub import course_download, identifying, usable
from rl_experiments.hub.identifying import ARGUMENTS, CARD, METRICS
from rl_experiments.hub.placing import Place, put, staging, unpack_metrics
from rl_experiments.hub.remote import DEADLINE, DownloadError, RemoteRepository, parse_repo_id
from rl_experiments.runs import Run

__all__ = ["DEADLINE", "DownloadError", "download_repository", "download_run"]

_CONFIGURATION, _ENV_KWARGS = "config.yml", "env_kwargs.yml"
_TEXTS = (_CONFIGURATION, ARGUMENTS, _ENV_KWARGS)
_LARGEST_TEXT = 1 << 20
_STATISTICS = ("vec_normalize.pkl", "vecnormalize.pkl")
_CHECKPOINT = re.compile(
    r"checkpoints/(?:\d+/)?(?:rl_model_\d+_steps\.zip|rl_model_vecnormalize_\d+_steps\.pkl"
    r"|best_model\.zip|best_model_vecnormalize\.pkl)"
)


def download_run(
    algorithm: str,
    env_id: str,
    log_folder: str | Path,
    *,
    organization: str = "sb3",
    repo_name: str | None = None,
    exp_id: int = 0,
    force: bool = False,
    revision: str | None = None,
    token: str | None = None,
    deadline: float = DEADLINE,
) -> Run:
    """
    Download a repository as :func:`download_repository` does, named as the zoo names them.

    :param algorithm: name in the registry
    :param organization: user or organisation on the Hub
    :param repo_name: the repository's name; if None, ``<algo>-<env>``
    """
    return download_repository(
        f"{organization}/{repo_name or model_name(algorithm, env_id)}",
        log_folder,
        algorithm=algorithm,
        env_id=env_id,
        exp_id=exp_id,
        force=force,
        revision=revision,
        token=token,
        deadline=deadline,
    )


def download_repository(
    repo_id: str,
    log_folder: str | Path,
    *,
    algorithm: str | None = None,
    env_id: str | None = None,
    file_name: str | None = None,
    exp_id: int = 0,
    force: bool = False,
    revision: str | None = None,
    token: str | None = None,
    deadline: float = DEADLINE,
    say: Callable[[str], None] = lambda _: None,
) -> Run:
    """
    Download an agent that the zoo, this package or another tool of SB3 published, as a run that every command can use.

    The model is required, everything else is taken if it is there. Nothing in it is executed. The run appears when all
    of it has arrived as it was published, or not at all.

    :param repo_id: ``<owner>/<name>``, or the address of its page
    :param log_folder: the folder of all runs
    :param algorithm: name in the registry; if None, it is found out
    :param env_id: as Gymnasium knows it; if None, it is found out
    :param file_name: the model's path in the repository; if None, it is found out
    :param exp_id: the run's number; 0 is the next free one, -1 is no run folder
    :param force: write into a run folder that exists, replacing the files that are downloaded
    :param revision: branch, tag or commit
    :param token: a token; if None, the one that is saved on this machine
    :param deadline: seconds after which it is given up
    :param say: takes what the user should know
    :raises DownloadError: if it does not arrive as it was published
    :raises NotFoundError: if the repository has no such model
    :raises ConfigurationError: if the run folder exists, or something has to be given that cannot be found out
    """
    repo_id = parse_repo_id(repo_id)
    with ended_by_signals(), tempfile.TemporaryDirectory(prefix="load_from_hub_") as temporary:
        if algorithm is not None and env_id is not None:
            Place(Path(log_folder), algorithm, env_id, exp_id, force).check()
        repository = RemoteRepository(
            repo_id,
            Path(temporary),
            revision=revision,
            token=token,
            deadline=deadline,
            say=say,
        )
        repository.fetch([*_TEXTS, CARD], largest=_LARGEST_TEXT)
        texts = {name: _checked_text(repository, name) for name in _TEXTS}
        table = course_download.table_file(repository, algorithm, file_name)
        if table is not None:
            return _download_table(
                repository, table, texts, Place(Path(log_folder), "", env_id or "", exp_id, force), say
            )
        model, claims = _choose_model(repository, algorithm, env_id, file_name)
        if env_id is None:
            env_id = usable.known_id(_found_out(claims.environment, repo_id))
        repository.fetch([model, *_STATISTICS, METRICS, *filter(_CHECKPOINT.fullmatch, repository.files)])
        data = _model_data(repository, model)
        algorithm = identifying.choose_algorithm(repository, model, algorithm, claims, data)
        place = Place(Path(log_folder), algorithm, env_id, exp_id, force)
        with staging(place) as staged:
            _stage_files(repository, model, staged)
            notes = _stage_what_is_missing(texts, staged, env_id, data)
            run = put(staged, place)
    for note in (*notes, *usable.warnings(run, env_id)):
        say(note)
    return run


def _download_table(
    repository: RemoteRepository,
    name: str,
    texts: Mapping[str, Mapping[str, Any] | None],
    asked: Place,
    say: Callable[[str], None],
) -> Run:
    """:param asked: where it is to be put, with the environment that the user said, if any"""
    repository.fetch([name, METRICS])
    model = course_download.read_table(repository, name)
    env_id = asked.env_id or model.env_id
    place = replace(asked, algorithm=course_download.ALGORITHM, env_id=env_id)
    with staging(place) as staged:
        notes = course_download.stage_table(repository, texts, staged, env_id, model)
        run = put(staged, place)
    for note in (*notes, *usable.warnings(run, env_id)):
        say(note)
    return run


def _choose_model(
    repository: RemoteRepository, algorithm: str | None, env_id: str | None, file_name: str | None
) -> tuple[str, identifying.Claims]:
    """:return: the model's path in the repository, and what is said of it"""
    claims = identifying.read_claims(repository)
    model = identifying.choose_model(repository, algorithm or claims.algorithm, env_id or claims.environment, file_name)
    claims = identifying.read_claims(repository, model)
    if env_id is not None and file_name is None and model != f"{model_name(algorithm or '', env_id)}.zip":
        identifying.check_environment(repository, model, env_id, claims)
    return model, claims


def _found_out(env_id: str | None, repo_id: str) -> str:
    if env_id is None:
        raise ConfigurationError(f"{repo_id} does not tell its environment: give it with --env")
    return env_id


def _checked_text(repository: RemoteRepository, name: str) -> Mapping[str, Any] | None:
    """
    :return: what a file of YAML holds, None if there is none
    :raises UntrustedError: if it would run code
    """
    source = f"{name} of {repository.repo_id}"
    path = repository.arrived(name)
    if path is None:
        if name in repository.files:
            raise DownloadError(f"{source} has {repository.files[name].size} bytes: no configuration is so large")
        return None
    try:
        content = yaml_io.parse(path.read_text(encoding="utf-8"), source)
    except UnicodeDecodeError:
        raise DownloadError(f"{source} is no text") from None
    if not isinstance(content, Mapping | None):
        raise DownloadError(f"{source} holds no mapping")
    return content or {}


def _model_data(repository: RemoteRepository, name: str) -> dict[str, Any]:
    """
    Look into every zip that arrived as a model.

    :return: what the model holds as ``data``
    :raises DownloadError: if one is no model, or one that was made to fill a disk
    """
    checkpoints = [other for other in repository.files if _CHECKPOINT.fullmatch(other) and other.endswith(".zip")]
    found = {}
    for zipped in (*checkpoints, name):
        path = repository.arrived(zipped)
        if path is None:
            raise DownloadError(f"{zipped} of {repository.repo_id} did not arrive")
        try:
            found = {} if describes_policy(path) else read_data(path)
        except Exception as error:  # each compression has errors of its own
            if not isinstance(error, RLExperimentsError):
                error = DownloadError(f"{path} is no model of Stable-Baselines3: {error}")
            raise DownloadError(str(error).replace(str(path), f"{zipped} of {repository.repo_id}")) from None
    return found


def _stage_files(repository: RemoteRepository, model: str, staged: Run) -> None:
    """Copy what was published, and unpack the metrics."""
    targets = {name: staged.path / Path(name).name for name in repository.files if _CHECKPOINT.fullmatch(name)}
    targets.update({name: staged.config_folder / name for name in _TEXTS})
    targets.update(dict.fromkeys(reversed(_STATISTICS), staged.final_statistics))
    targets[model] = staged.final_model
    for name, target in targets.items():
        source = repository.arrived(name)
        if source is not None:
            with replacing(target) as written:
                shutil.copyfile(source, written)
    metrics = repository.arrived(METRICS)
    if metrics is not None:
        unpack_metrics(metrics, staged.path)


def _stage_what_is_missing(
    texts: Mapping[str, Mapping[str, Any] | None], staged: Run, env_id: str, data: Mapping[str, Any]
) -> list[str]:
    """
    Write what the agent needs to act and was not published.

    :return: what was written, one sentence each
    """
    notes = []
    if texts[ARGUMENTS] is None:
        made = {"algo": staged.algorithm, "env": env_id, "env_kwargs": texts[_ENV_KWARGS] or None}
        write_text(staged.config_folder / ARGUMENTS, yaml_io.dump_like_the_zoo(made))
        notes.append(f"It has no {ARGUMENTS}: wrote one with --algo {staged.algorithm} --env {env_id}")
    if texts[_CONFIGURATION] is None:
        made = usable.least_configuration(env_id, data, staged.final_statistics.is_file())
        write_text(staged.config_folder / _CONFIGURATION, yaml_io.dump_like_the_zoo(made))
        shown = ", ".join(f"{key}: {grammar.to_text(value)}" for key, value in made.items())
        notes.append(f"It has no {_CONFIGURATION}: wrote one with {shown or 'no wrapper and no normalisation'}")
    return notes
