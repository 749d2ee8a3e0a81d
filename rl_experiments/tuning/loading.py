"""The hyperparameters of a trial, from a study of ours or of the zoo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial

from rl_experiments.algorithms import get_algorithm
from rl_experiments.algorithms.sb3 import model_parameters
from rl_experiments.config.hyperparameters import NOISE_KEYS
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.training.settings import Experiment
from rl_experiments.tuning.attributes import ALGORITHM, HYPERPARAMETERS, from_json
from rl_experiments.tuning.confirming import best_trial
from rl_experiments.tuning.planning import context_of, untuned_hyperparameters
from rl_experiments.tuning.space import load_space
from rl_experiments.tuning.storage import check_identity, load_study


def load_trial(
    storage: str,
    study_name: str | None,
    trial_id: int | None,
    algo: str,
    hyperparameters: Mapping[str, Any] | None = None,
) -> tuple[str, dict[str, Any]]:
    """
    :param storage: a journal file (``*.log``) or any URL that Optuna takes
    :param study_name: the only study if None
    :param trial_id: the trial's number, 0 for the first; the best one if None
    :param algo: the algorithm that it tuned
    :param hyperparameters: those that were not tuned; a trial of the zoo may depend on them
    :return: (origin, values): where they come from, and what the trial was trained with
    :raises NotFoundError: if there is no such trial
    :raises ConfigurationError: if it tuned something else
    """
    study = load_study(storage, study_name)
    check_identity(study, ALGORITHM, algo)
    trials = study.get_trials(deepcopy=False)
    if trial_id is None:
        trial = best_trial(study)
        if trial is None:
            raise NotFoundError(f"No trial of the study '{study.study_name}' came to its end")
    elif 0 <= trial_id < len(trials):
        trial = trials[trial_id]
    else:
        found = f"it has 0 to {len(trials) - 1}" if trials else "it has none"
        raise NotFoundError(f"There is no trial {trial_id} in the study '{study.study_name}': {found}")
    origin = f"trial {trial.number} of {study.study_name}"
    if HYPERPARAMETERS in trial.user_attrs:
        return origin, from_json(trial.user_attrs[HYPERPARAMETERS])
    return origin, _replayed(trial, algo, hyperparameters or {}, origin)


def trial_of(experiment: Experiment) -> tuple[str, dict[str, Any]] | None:
    """
    :return: (origin, values) of the trial that ``--trial-id`` names, None where it names none
    :raises ConfigurationError: if it names one without ``--storage``
    """
    if experiment.trial_id is None:
        return None
    if experiment.storage is None:
        raise ConfigurationError("--trial-id needs --storage, where the trial's study is, and --study-name")
    untuned = untuned_hyperparameters(experiment)
    return load_trial(experiment.storage, experiment.study_name, experiment.trial_id, experiment.algo, untuned)


def _replayed(trial: FrozenTrial, algo: str, hyperparameters: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """The zoo keeps only what Optuna sampled; our search space has the same names."""
    if not trial.params:
        raise ConfigurationError(f"The {origin} holds no hyperparameters ({trial.state.name.lower()})")
    algorithm = get_algorithm(algo)
    valid = [*model_parameters(algorithm), *NOISE_KEYS]
    try:
        return load_space(algo).replay(trial.params, context_of(algorithm, hyperparameters), valid)
    except ConfigurationError as error:
        raise ConfigurationError(f"The {origin} cannot be read: {error}") from None
