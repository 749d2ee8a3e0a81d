"""Tables that the Deep RL Course's code, or this package, has published: from a dictionary to a run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from rl_experiments.algorithms.tabular.course import FILE, CourseModel, read_course_model
from rl_experiments.algorithms.tabular.table import Table, save_table
from rl_experiments.config import grammar
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.files import replacing, write_text
from rl_experiments.hub.identifying import ARGUMENTS, METRICS
from rl_experiments.hub.placing import unpack_metrics
from rl_experiments.hub.remote import DownloadError, RemoteRepository
from rl_experiments.runs import Run

ALGORITHM = "q_learning"
_CONFIGURATION = "config.yml"
_NUMBERING = "rl_experiments.envs.wrappers.NumberedSpaces"
_LONGEST_SHOWN = 40


def table_file(repository: RemoteRepository, algorithm: str | None, file_name: str | None) -> str | None:
    """
    :param algorithm: that the user said
    :param file_name: that the user chose
    :return: the file with the table, None where the repository holds an agent of another kind
    """
    if algorithm not in (None, ALGORITHM):
        return None
    if file_name is not None:
        return file_name if file_name.endswith((".pkl", ".pickle")) else None
    if FILE in repository.files:
        return FILE
    if algorithm != ALGORITHM:
        return None
    pickles = sorted(name for name in repository.files if name.endswith((".pkl", ".pickle")) and "/" not in name)
    if len(pickles) == 1:
        return pickles[0]
    found = f" It has: {repository.contents() or 'no file'}. Choose with --filename"
    raise ConfigurationError(f"{repository.repo_id} has no {FILE}.{found}")


def read_table(repository: RemoteRepository, name: str) -> CourseModel:
    """
    :return: what a file that has arrived holds; nothing in it is executed
    :raises RLExperimentsError: if it holds no table; the message names the repository
    """
    path = repository.arrived(name)
    if path is None:
        raise DownloadError(f"{name} of {repository.repo_id} did not arrive")
    try:
        return read_course_model(path)
    except RLExperimentsError as error:
        raise type(error)(str(error).replace(str(path), f"{name} of {repository.repo_id}")) from None


def stage_table(
    repository: RemoteRepository,
    texts: Mapping[str, Mapping[str, Any] | None],
    staged: Run,
    env_id: str,
    model: CourseModel,
) -> list[str]:
    """
    Write the run: the table, and the configuration that was published, or one made of the dictionary.

    :param texts: what was published as YAML, by name
    :return: what was written that was not published, one sentence each
    """
    q = model.qtable.reshape(-1, model.qtable.shape[-1])
    facts = {
        "variant": "q_learning",
        "epsilon": float(model.hyperparameters.get("min_epsilon", 0.0)),
        "environment": env_id,
        "episode": model.hyperparameters.get("n_episodes"),
    }
    save_table(Table(np.stack([q, np.zeros_like(q)]), facts), staged.final_model)
    notes = []
    made: dict[str, dict[str, Any]] = {
        ARGUMENTS: {"algo": ALGORITHM, "env": env_id},
        _CONFIGURATION: _configuration(model),
    }
    for name, content in made.items():
        target, source = staged.config_folder / name, repository.arrived(name)
        if texts[name] is not None and source is not None:
            with replacing(target) as written:
                shutil.copyfile(source, written)
            continue
        write_text(target, yaml_io.dump_like_the_zoo(content))
        if name == _CONFIGURATION:
            shown = ", ".join(f"{key}: {_short(grammar.to_text(value))}" for key, value in content.items())
            notes.append(f"It has no {name}: wrote one with {shown}")
        else:
            notes.append(f"It has no {name}: wrote one with --algo {ALGORITHM} --env {env_id}")
    metrics = repository.arrived(METRICS)
    if metrics is not None:
        unpack_metrics(metrics, staged.path)
    return notes


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _configuration(model: CourseModel) -> dict[str, Any]:
    content: dict[str, Any] = dict(model.hyperparameters)
    if model.env_kwargs:
        content["env_kwargs"] = dict(model.env_kwargs)
    if model.qtable.ndim > 2:
        content["env_wrapper"] = [_NUMBERING]
    return content
