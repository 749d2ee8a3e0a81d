"""Checking an experiment, so that it could start."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_experiments.algorithms import Algorithm, get_algorithm
from rl_experiments.algorithms.registry import SBX
from rl_experiments.config import grammar
from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core.devices import check_device
from rl_experiments.core.errors import ConfigurationError, MissingPackageError, NotFoundError
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Trust, remember_use
from rl_experiments.envs import VEC_ENVS
from rl_experiments.training import threads
from rl_experiments.training.checks import check_batch_of_buffer, check_hyperparameters
from rl_experiments.training.configuration import Configuration, describe, merge_hyperparameters
from rl_experiments.training.early_stopping import check_stopping, remarks_on_stopping
from rl_experiments.training.sbx import prepare_sbx
from rl_experiments.training.settings import Experiment
from rl_experiments.training.sizes import check_environments
from rl_experiments.training.trackers import require_tracker

if TYPE_CHECKING:
    from rl_experiments.training.synthetic import SyntheticVecEnv


@dataclass(frozen=True)
class Prepared:
    """
    An experiment that was checked, and could start.

    :param experiment: with its seed drawn
    :param configuration: resolved
    :param synthetic: an environment that costs nothing, with the real one's spaces
    """

    experiment: Experiment
    configuration: Configuration
    synthetic: SyntheticVecEnv

    @property
    def identity(self) -> str:
        """The same for two experiments that should give the same bits."""
        experiment, configuration = self.experiment, self.configuration
        return threads.fingerprint(
            {
                "algorithm": configuration.algorithm.name,
                **({"backend": SBX} if experiment.backend == SBX else {}),
                "environment": experiment.env,
                "hyperparameters": dict(configuration.saved_hyperparameters),
                "evaluation": [
                    experiment.eval_freq,
                    experiment.eval_episodes,
                    experiment.n_eval_envs,
                    experiment.eval_env_kwargs,
                ],
                "seed": experiment.seed,
                "vec_env": "dummy" if experiment.vec_env == "auto" else experiment.vec_env,  # the same bits
                "device": experiment.device,
                "trained_agent": experiment.trained_agent,
                # Runs from before there was a choice stay the same experiments.
                **({} if experiment.precision == "float32" else {"precision": experiment.precision}),
            }
        )


def prepare(
    experiment: Experiment,
    trial: tuple[str, Mapping[str, Any]] | None = None,
    *,
    hyperparameters: Hyperparameters | None = None,
    trust: Trust | None = None,
) -> Prepared:
    """
    Check an experiment without training, and draw its seed if it has none.

    :param trial: (origin, values) of a tuned trial
    :param hyperparameters: those of a run that goes on; if None, they are looked up
    :param trust: what these may name; if None, anything, since they are the user's own
    """
    experiment, algorithm, hyperparameters = check_settings_of(experiment, trial, hyperparameters)
    if algorithm.backend != "sb3":
        _check_precision(experiment, None)
    if algorithm.backend == "tabular":
        from rl_experiments.training.tables.preparation import prepare_table

        return prepare_table(experiment, algorithm, hyperparameters, trust)
    if algorithm.backend == "brax":
        from rl_experiments.training.brax.preparation import prepare_brax

        return prepare_brax(experiment, algorithm, hyperparameters, trust)
    from rl_experiments.training.rehearsal import rehearse
    from rl_experiments.training.resolving import resolve

    # Trials of a study fail one by one, without an end to the study.
    tries = trial is None or _names_a_trial(experiment)
    configuration, synthetic = resolve(
        algorithm,
        hyperparameters,
        env_id=experiment.env,
        seed=experiment.seed,
        n_timesteps=experiment.n_timesteps,
        env_kwargs=experiment.env_kwargs,
        eval_env_kwargs=experiment.eval_env_kwargs,
        gym_packages=tuple(experiment.gym_packages),
        trained_agent=experiment.trained_agent,
        trust_pickles=experiment.trust,
        vec_env=experiment.vec_env,
        tries=tries,
        trust=trust,
    )
    _check_precision(experiment, synthetic.observation_space)
    remarks = remarks_on_stopping(experiment, configuration.n_timesteps)
    configuration = replace(configuration, remarks=(*configuration.remarks, *remarks))
    if tries:
        rehearse(configuration, synthetic)
        if experiment.video_freq > 0:
            from rl_experiments.training.videos import check_drawing

            check_drawing(experiment, configuration)
    for package in (*experiment.gym_packages, experiment.env.rpartition(":")[0]):
        if package:
            remember_use(f"{package}.*")
    return Prepared(experiment, configuration, synthetic)


def _names_a_trial(experiment: Experiment) -> bool:
    return experiment.trial_id is not None or experiment.from_study is not None


def check_settings_of(
    experiment: Experiment,
    trial: tuple[str, Mapping[str, Any]] | None = None,
    hyperparameters: Hyperparameters | None = None,
) -> tuple[Experiment, Algorithm, Hyperparameters]:
    """
    The first part of :func:`prepare`: all that can be checked before an environment is made.

    :return: the experiment with a seed, its algorithm, and its hyperparameters
    :raises RLExperimentsError: for the first thing that is wrong
    """
    if _names_a_trial(experiment) and trial is None:
        raise ConfigurationError(
            "trial_id and from_study name a tuned trial: load it with rl_experiments.tuning.loading, and pass it"
        )
    algorithm = get_algorithm(experiment.algo, experiment.backend)
    if experiment.vec_env not in VEC_ENVS:
        raise ConfigurationError(
            f"vec_env must be one of {', '.join(VEC_ENVS)}, but got {experiment.vec_env!r}."
            f"{hint(experiment.vec_env, VEC_ENVS)}"
        )
    _check_numbers(experiment)
    check_stopping(experiment)
    _check_video_limits(experiment)
    _check_surroundings(experiment)
    if algorithm.backend == SBX:
        prepare_sbx(experiment)
    seed = experiment.seed if experiment.seed >= 0 else int(np.random.SeedSequence().generate_state(1)[0])
    if seed >= 2**32:
        raise ConfigurationError(f"seed must be below 2**32, but got {seed}")
    experiment = replace(experiment, seed=seed)
    if hyperparameters is None:
        hyperparameters = merge_hyperparameters(
            algorithm,
            experiment.env,
            tuple(experiment.gym_packages),
            experiment.conf_file,
            trial,
            experiment.hyperparams or {},
            experiment.env_kwargs,
        )
    if trial is None:  # a search space may well hold batches that are larger than a small buffer
        check_hyperparameters(algorithm, hyperparameters)
        check_batch_of_buffer(algorithm, hyperparameters)
    return experiment, algorithm, hyperparameters


def _check_precision(experiment: Experiment, space: Any) -> None:
    """
    :param space: of observations; None where nothing is learned by SB3's networks
    :raises ConfigurationError: if another precision would change nothing
    """
    if experiment.precision == "float32":
        return
    parts = getattr(space, "spaces", None)
    kinds = list(parts.values()) if isinstance(parts, dict) else [space]
    if not any(getattr(kind, "dtype", None) == np.uint8 and len(kind.shape) == 3 for kind in kinds):
        raise ConfigurationError(
            f"precision {experiment.precision} is for the convolutions of SB3's networks that see pictures, and"
            f" {experiment.algo} on {experiment.env} has none of these. Expected float32"
        )


def report(prepared: Prepared) -> str:
    """:return: the resolved configuration, for people"""
    configuration, experiment = prepared.configuration, prepared.experiment
    recipe, algorithm = configuration.recipe, configuration.algorithm
    lines = [
        f"{algorithm.name} ({algorithm.class_name}) on {experiment.env}, seed {experiment.seed}",
        f"  observations  {prepared.synthetic.observation_space}",
        f"  actions       {prepared.synthetic.action_space}",
        f"  environment   {grammar.to_text(dict(recipe.kwargs))}",
        f"  evaluation    {grammar.to_text(dict(configuration.evaluation_recipe.kwargs))},"
        f" every {experiment.eval_freq} steps, {experiment.eval_episodes} episodes",
        "Hyperparameters",
        describe(configuration),
        *(f"Note: {remark}" for remark in configuration.remarks),
    ]
    return "\n".join(lines)


def _check_numbers(experiment: Experiment) -> None:
    for name in ("eval_episodes", "n_eval_envs"):
        if getattr(experiment, name) < 1:
            raise ConfigurationError(f"{name} must be at least 1, but got {getattr(experiment, name)}")
    if experiment.n_timesteps < -1 or experiment.n_timesteps == 0:
        raise ConfigurationError(
            f"n_timesteps must be at least 1, or -1 for that of the hyperparameters, but got {experiment.n_timesteps}"
        )
    if experiment.save_every is not None and not 0 < experiment.save_every < math.inf:
        raise ConfigurationError(f"save_every must be a number of minutes above 0, but got {experiment.save_every}")
    if isinstance(experiment.num_threads, str) and experiment.num_threads != "auto":
        raise ConfigurationError(f"num_threads must be a number or auto, but got '{experiment.num_threads}'")
    n_envs = experiment.n_eval_envs
    check_environments(f"n_eval_envs {n_envs}", n_envs, experiment.vec_env == "subproc")


def _check_video_limits(experiment: Experiment) -> None:
    keep, freq = experiment.keep_videos, experiment.video_freq
    if keep is not None and keep < 1:
        raise ConfigurationError(f"keep_videos must be at least 1, but got {keep}")
    if keep is not None and freq <= 0:
        raise ConfigurationError(
            f"keep_videos {keep} limits the videos, and video_freq {freq} makes none. Expected --video-freq above 0"
        )


def _check_surroundings(experiment: Experiment) -> None:
    backend = get_algorithm(experiment.algo, experiment.backend).backend
    if backend not in ("brax", SBX):  # JAX has devices of its own
        check_device(experiment.device)
    _check_log_folder(Path(experiment.log_folder))
    if (experiment.tensorboard_log or experiment.track) and backend not in ("tabular", "brax"):
        _require_tensorboard()
    if experiment.track:
        require_tracker(str(experiment.track))


def _check_log_folder(folder: Path) -> None:
    existing = next((part for part in (folder, *folder.absolute().parents) if part.exists()), Path("/"))
    if not existing.is_dir():
        raise NotFoundError(f"The log folder {folder} cannot be made: {existing} is no folder")
    if not os.access(existing, os.W_OK):
        raise ConfigurationError(f"The log folder {folder} cannot be written to")


def _require_tensorboard() -> None:
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise MissingPackageError("A TensorBoard log", "tensorboard", "all") from None
