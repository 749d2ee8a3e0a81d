"""Runs of ``her``, which was an algorithm around another one in the zoo's first years."""

from __future__ import annotations

from pathlib import Path

from rl_experiments.algorithms.registry import HINDSIGHT, algorithm_names
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.runs.folder import Run


def run_in(folder: Path, algorithm: str, name: str) -> Run:
    """
    :param folder: the run's folder
    :param algorithm: what the folder around it is called
    :param name: the environment id as it appears in file names
    :return: the run, with the algorithm that its model is of
    """
    return Run(folder, true_algorithm(Run(folder, HINDSIGHT, name)) if algorithm == HINDSIGHT else algorithm, name)


def true_algorithm(run: Run) -> str:
    """
    :param run: one in a folder ``her``
    :return: the algorithm that HER was put around, by the model itself, or by its configuration where that is unclear
    :raises ConfigurationError: if neither tells it
    """
    said = [run.hyperparameters.get("model_class"), run.arguments.get("algo")]
    claimed = next((str(name).lower() for name in said if str(name).lower() in algorithm_names()), None)
    possible = _by_model(run)
    if claimed is not None and (not possible or claimed in possible):
        return claimed
    if len(possible) == 1:
        return next(iter(possible))
    raise ConfigurationError(
        f"{run.path} does not tell what HER was put around: move it to the folder of its algorithm (sac, tqc, ...)"
    )


def is_of_hindsight(run: Run) -> bool:
    """Whether it was trained with HER."""
    values = run.hyperparameters
    return "model_class" in values or "HerReplayBuffer" in str(values.get("replay_buffer_class"))


def _by_model(run: Run) -> frozenset[str]:
    models = [path for path in (run.final_model, run.best_model) if path.is_file()]
    if not models:
        return frozenset()
    from rl_experiments.algorithms.sb3.archive import read_data
    from rl_experiments.algorithms.sb3.recognizing import possible_algorithms

    return possible_algorithms(read_data(models[0]))
