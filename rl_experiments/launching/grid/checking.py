"""What of a grid can be refused before anything is trained, and what its trainings will take of the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.isolation import Beat, run_isolated
from rl_experiments.core.memory import free_memory, readable_size
from rl_experiments.core.processes import available_cores
from rl_experiments.launching.grid.settings import AUTO, Cell, Grid
from rl_experiments.training.settings import Experiment, Trial

_DEADLINE = 300.0
_PART_OF_THE_MEMORY = 0.9
Resolved = tuple[Experiment, Trial | None]


class RefusedError(RLExperimentsError):
    """No run could begin; the message is what the command ``train`` would say."""


def check_grid(grid: Grid, cells: Iterable[Cell]) -> dict[Cell, int]:
    """
    Look up the environments and the hyperparameters of all combinations, in a process of its own.

    :param cells: that will be trained
    :return: bytes that each takes, roughly, where that is known
    :raises ConfigurationError: for what fails an algorithm in all its environments, or an environment with all its
        algorithms: the names of both, and settings that no run could have
    """
    firsts = {(cell.algorithm, cell.environment): cell for cell in cells}
    answers: list[tuple[str | None, int]] = run_isolated(lambda beat: _answers(grid, firsts.values(), beat), _DEADLINE)
    found = dict(zip(firsts, answers, strict=True))
    for at in (1, 0):
        for name in dict.fromkeys(pair[at] for pair in found):
            reasons = [reason for pair, (reason, _) in found.items() if pair[at] == name]
            if all(reasons):
                raise ConfigurationError(str(reasons[0]))
    return {cell: found[cell.algorithm, cell.environment][1] for cell in cells}


def _answers(grid: Grid, cells: Iterable[Cell], beat: Beat) -> list[tuple[str | None, int]]:
    found: list[tuple[str | None, int]] = []
    for n_done, cell in enumerate(cells):
        beat(n_done)
        try:
            found.append((None, _memory_of(grid, cell)))
        except RLExperimentsError as error:
            found.append((str(error), 0))
    return found


def _memory_of(grid: Grid, cell: Cell) -> int:
    """
    :raises RLExperimentsError: if it cannot be trained
    """
    from rl_experiments.algorithms.registry import BACKENDS
    from rl_experiments.envs.registry import is_atari
    from rl_experiments.training.preparation import check_settings_of
    from rl_experiments.training.sizes import NUMBERS, PICTURES, memory_of_training

    experiment, algorithm, hyperparameters = check_settings_of(grid.experiment_of(cell))
    if experiment.n_timesteps > 0:
        hyperparameters = hyperparameters.merged({"n_timesteps": experiment.n_timesteps}, "-n")
    pictures = algorithm.backend in BACKENDS and is_atari(experiment.env, tuple(experiment.gym_packages))
    return memory_of_training(algorithm, hyperparameters, PICTURES if pictures else NUMBERS)


def jobs_of(grid: Grid, needs: dict[Cell, int]) -> tuple[int, str | None]:
    """
    :param needs: bytes of each run that is missing
    :return: runs at once; and why they are fewer than there are cores for, None where they are not
    """
    if grid.jobs != AUTO:
        return int(grid.jobs), None
    cores = max(1, available_cores() // grid.num_threads)
    free, most = free_memory(), max(needs.values(), default=0)
    if free is None or most * cores <= free * _PART_OF_THE_MEMORY:
        return cores, None
    jobs = max(1, int(free * _PART_OF_THE_MEMORY // most))
    return jobs, f"{jobs} at once, since one may take {readable_size(most)} of the {readable_size(free)} that are free"


def check_cell(experiment: Experiment, resolve: Callable[[Experiment], Resolved]) -> int:
    """
    Check an experiment as its training would, in a process of its own, so that this one stays small.

    :param resolve: finds the tuned trial that the experiment names
    :return: bytes that it takes
    :raises RefusedError: if it could not begin
    :raises IsolatedError: if checking it crashes
    """

    def check(beat: Beat) -> Mapping[str, Any]:
        from rl_experiments.training.preparation import prepare
        from rl_experiments.training.sizes import memory_of_training

        try:
            prepared = prepare(*resolve(experiment))
        except RLExperimentsError as error:
            return {"refused": str(error), "code": error.exit_code}
        configuration, space = prepared.configuration, prepared.synthetic.observation_space
        return {"bytes": memory_of_training(configuration.algorithm, configuration.hyperparameters, space)}

    answer = run_isolated(check, _DEADLINE)
    if "refused" in answer:
        refused = RefusedError(answer["refused"])
        refused.exit_code = answer["code"]
        raise refused
    return int(answer["bytes"])
