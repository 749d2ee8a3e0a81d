"""The best trial of a study as a block of a hyperparameter file, with where it comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from rl_experiments.algorithms import get_algorithm
from rl_experiments.algorithms.registry import SB3
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import NotFoundError
from rl_experiments.core.yaml_blocks import put_block
from rl_experiments.runs.record import now, versions
from rl_experiments.training.configuration import merge_hyperparameters
from rl_experiments.training.settings import Experiment
from rl_experiments.tuning.attributes import HYPERPARAMETERS, SCORES, SEEDS, SETTINGS, as_json, confirmations, from_json
from rl_experiments.tuning.confirming import best_trial

_VERSIONS = ("rl_experiments", "stable_baselines3", "sb3_contrib", "torch", "gymnasium", "python")


def as_tuned(experiment: Experiment, study: optuna.Study) -> Experiment:
    """
    :param experiment: a command line; what it says wins
    :return: with what the trials of a study had in common beside the sampled values
    """
    settings = study.user_attrs.get(SETTINGS)
    if not isinstance(settings, dict):
        return experiment
    given = dict(experiment.hyperparams or {})
    values: dict[str, Any] = {"hyperparams": {**from_json(settings.get("hyperparams") or {}), **given} or None}
    if experiment.n_timesteps <= 0 and settings.get("n_timesteps"):
        values["n_timesteps"] = int(settings["n_timesteps"])
    for name in ("env_kwargs", "eval_env_kwargs", "conf_file"):
        values[name] = getattr(experiment, name) or settings.get(name) or None
    if experiment.backend == SB3:
        values["backend"] = settings.get("backend") or SB3
    values["gym_packages"] = tuple(experiment.gym_packages) or tuple(settings.get("gym_packages") or ())
    return replace(experiment, **values)


def export_best(experiment: Experiment, study: optuna.Study, file: str | None) -> str:
    """
    :param experiment: which the study tunes
    :param file: the hyperparameter file to write into, or None
    :return: the block, or what was done with it
    :raises NotFoundError: if no trial came to its end
    """
    best = best_trial(study)
    if best is None or HYPERPARAMETERS not in best.user_attrs:
        raise NotFoundError(f"No trial of the study '{study.study_name}' came to its end: there is nothing to export")
    block = best_block(as_tuned(experiment, study), study, best)
    if not file:
        return block.rstrip("\n")
    replaced = put_block(Path(file), experiment.env, block)
    what = "replaced in" if replaced else "added to"
    return f"Trial {best.number}: the block {experiment.env} was {what} {file}"


def best_block(experiment: Experiment, study: optuna.Study, best: FrozenTrial) -> str:
    """:return: YAML with what a trial was trained with, for ``-c``; the budget is that of the trials"""
    algorithm = get_algorithm(experiment.algo, experiment.backend)
    values = from_json(best.user_attrs[HYPERPARAMETERS])
    merged = merge_hyperparameters(
        algorithm,
        experiment.env,
        tuple(experiment.gym_packages),
        experiment.conf_file,
        (f"trial {best.number}", values),
        experiment.hyperparams or {},
        experiment.env_kwargs,
    )
    block = as_json(merged)
    settings = study.user_attrs.get(SETTINGS)
    steps = settings.get("n_timesteps") if isinstance(settings, dict) else None
    steps = steps or (experiment.n_timesteps if experiment.n_timesteps > 0 else None)
    if steps is not None:
        block.pop("n_episodes", None)
        block = {"n_timesteps": steps, **{name: value for name, value in block.items() if name != "n_timesteps"}}
    kwargs = {**(merged.parsed("env_kwargs") or {}), **(experiment.env_kwargs or {})}
    if kwargs:
        block["env_kwargs"] = kwargs
    origin = merged.block.origin if merged.block is not None else "nothing"
    first, _, rest = yaml_io.dump({experiment.env: block}).partition("\n")
    comments = "".join(f"  # {line}\n" for line in _provenance(experiment, study, best, origin))
    return f"{first}\n{comments}{rest}"


def _provenance(experiment: Experiment, study: optuna.Study, best: FrozenTrial, origin: str) -> list[str]:
    settings = study.user_attrs.get(SETTINGS)
    how = ""
    if isinstance(settings, dict):
        how = (
            f" ({settings['objective']} of {settings['n_evaluations']} evaluations of {settings['eval_episodes']}"
            f" episodes, {settings['n_timesteps']} steps)"
        )
    seeds = best.user_attrs.get(SEEDS, [])
    lines = [
        f"{experiment.algo} on {experiment.env}: trial {best.number} of the study {study.study_name}, over {origin}.",
        f"Score {float(best.value or 0.0):.6g}{how}: {_by_seed(seeds, best.user_attrs.get(SCORES, [best.value]))}.",
    ]
    confirmation = confirmations(study).get(best.number)
    if confirmation is not None and confirmation.get("score") is not None:
        scores = confirmation["scores"]
        lines.append(f"Confirmed {confirmation['score']:.6g}: {_by_seed(list(scores), list(scores.values()))}.")
    else:
        lines.append("Not confirmed with other seeds.")
    found = versions()
    shown = ", ".join(f"{name} {found[name]}" for name in _VERSIONS if name in found)
    return [*lines, f"{now()[:10]}, {shown}."]


def _by_seed(seeds: list[Any], scores: list[Any]) -> str:
    return (
        ", ".join(f"seed {seed}: {score:.6g}" for seed, score in zip(seeds, scores, strict=False)) or "no seeds known"
    )
