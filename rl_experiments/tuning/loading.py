"""The hyperparameters of a trial, from a study of ours or of the zoo."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from rl_experiments.algorithms import get_algorithm
from rl_experiments.algorithms.sb3 import model_parameters
from rl_experiments.config.hyperparameters import NOISE_KEYS
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.training.settings import Experiment
from rl_experiments.tuning.attributes import ALGORITHM, ENVIRONMENT, HYPERPARAMETERS, from_json
from rl_experiments.tuning.confirming import best_trial
from rl_experiments.tuning.exporting import as_tuned
from rl_experiments.tuning.planning import context_of, untuned_hyperparameters
from rl_experiments.tuning.space import load_space
from rl_experiments.tuning.storage import JOURNAL, check_identity, load_study


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


def from_study(experiment: Experiment, given: Collection[str]) -> tuple[Experiment, tuple[str, dict[str, Any]] | None]:
    """
    :param experiment: a command line; what it says wins over what the study had
    :param given: names of the fields that it says
    :return: the experiment that ``--from-study`` means, and (origin, values) of its trial; the same and what
        ``--trial-id`` names, where it means none
    :raises RLExperimentsError: if there is no such study or trial
    """
    if experiment.from_study is None:
        return experiment, trial_of(experiment)
    if experiment.trial_id is not None or experiment.storage is not None:
        raise ConfigurationError(
            "--from-study STORAGE#TRIAL says all that --storage and --trial-id do: give one of them"
        )
    storage, number = _parted(experiment.from_study)
    study = load_study(storage, experiment.study_name)
    tuned = {"algo": study.user_attrs.get(ALGORITHM), "env": study.user_attrs.get(ENVIRONMENT)}
    names: dict[str, Any] = {
        name: value for name, value in tuned.items() if isinstance(value, str) and name not in given
    }
    experiment = replace(experiment, **names)
    check_identity(study, ALGORITHM, experiment.algo)
    experiment = as_tuned(experiment, study)
    untuned = untuned_hyperparameters(experiment)
    return experiment, load_trial(storage, study.study_name, number, experiment.algo, untuned)


def _parted(text: str) -> tuple[str, int | None]:
    """:return: the storage, and the number of a trial, None for the best"""
    storage, mark, trial = text.rpartition("#")
    if not mark:
        storage, trial = text, "best"
    if Path(storage).is_dir():
        storage = str(Path(storage) / JOURNAL)  # the folder of a study
    if trial == "best":
        return storage, None
    if not trial.isdecimal():
        raise ConfigurationError(f"'{trial}' in --from-study is no trial. Expected STORAGE#3, or STORAGE#best")
    return storage, int(trial)


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
