"""What a training leaves: its result, and the files that say what its run is."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.config import grammar
from rl_experiments.config.schedules import as_written
from rl_experiments.runs import Run, RunRecord
from rl_experiments.training.preparation import Prepared
from rl_experiments.training.threads import ThreadChoice


@dataclass(frozen=True)
class TrainingResult:
    """
    :param run: the folder
    :param model: the trained SB3 model
    :param status: ``finished`` or ``interrupted``
    :param steps: environment steps that were done
    :param seconds: how long the training took
    :param signal: the signal that ended it, or None
    :param reason: why it ended before its budget was spent, or None
    """

    run: Run
    model: Any
    status: str
    steps: int
    seconds: float
    signal: int | None = None
    reason: str | None = None


def write_configuration(
    prepared: Prepared, run: Run, choice: ThreadChoice, facts: Mapping[str, Any] | None = None
) -> RunRecord:
    """
    Write the files that say what a run is.

    :param facts: what else the record tells
    :return: the record of the run, which begins now
    """
    experiment, configuration = prepared.experiment, prepared.configuration
    arguments = experiment.as_arguments()
    if experiment.env_kwargs:
        # The zoo's enjoy lets these replace those of config.yml.
        arguments["env_kwargs"] = dict(configuration.recipe.kwargs)
    arguments["hyperparams"] = _as_text(experiment.hyperparams)
    arguments["num_threads"] = choice.count
    command = shlex.join(sys.orig_argv)
    run.write_configuration(configuration.saved_hyperparameters, arguments, command)
    return RunRecord.start(
        run,
        environment=experiment.env,
        backend=configuration.algorithm.backend,
        seed=experiment.seed,
        n_timesteps=configuration.n_timesteps,
        command=command,
        experiment_id=prepared.identity,
        threads=choice.as_dict(),
        precision=experiment.precision,
        hyperparameters={
            name: {"value": value, "origin": configuration.hyperparameters.origin(name)}
            for name, value in configuration.saved_hyperparameters.items()
        },
        remarks=list(configuration.remarks),
        **(facts or {}),
    )


def continue_configuration(prepared: Prepared, run: Run, done: int) -> RunRecord:
    """
    Write how long a run is by now into the files that say what it is.

    :param done: steps that it goes on from
    :return: the record of the run, which is not written yet
    """
    steps = prepared.configuration.n_timesteps
    record = RunRecord(run, RunRecord.read(run))
    record.resume(done, shlex.join(sys.orig_argv), steps)
    episodes = prepared.configuration.hyperparameters.get("n_episodes")
    by_steps = prepared.experiment.n_timesteps > 0
    if by_steps or episodes != run.hyperparameters.get("n_episodes"):
        hyperparameters = {**run.hyperparameters, **({"n_timesteps": steps} if by_steps else {"n_episodes": episodes})}
        if by_steps:
            hyperparameters.pop("n_episodes", None)  # steps have taken their place
        arguments = {**run.arguments, **({"n_timesteps": steps} if by_steps else {})}
        command = (run.config_folder / "command.txt").read_text(encoding="utf-8")
        run.write_configuration(hyperparameters, arguments, command)
    return record


def resume_command(path: Path) -> str:
    """:return: the command that goes on with a run, or from one of its checkpoints"""
    return f"python -m rl_experiments.train --resume {shlex.quote(str(path))}"


def _as_text(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {
        name: grammar.to_text(value) if grammar.holds_symbol(value) else as_written(value)
        for name, value in values.items()
    }
