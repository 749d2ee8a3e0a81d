"""What a model's ``learn`` needs beside the model."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sb3_contrib.common.vec_env import AsyncEval, async_eval
from stable_baselines3.common.logger import TensorBoardOutputFormat, configure
from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.envs import EnvironmentRecipe, has_action_masks, make_envs
from rl_experiments.envs.workers import (
    WorkerError,
    WorkerReports,
    end_processes,
    leave_signals_to_the_parent,
    quiet_loops,
    report_failures,
    reporting,
    start_server,
)
from rl_experiments.runs import Run
from rl_experiments.runs.checkpoints import Checkpoint
from rl_experiments.training.configuration import Configuration
from rl_experiments.training.settings import Experiment
from rl_experiments.training.stopping import to_stderr


def learn_arguments(experiment: Experiment, configuration: Configuration, env: VecEnv, model: Any) -> dict[str, Any]:
    """:return: what ``model.learn`` takes beside the steps and the callbacks"""
    arguments: dict[str, Any] = {}
    if experiment.log_interval > -1:
        arguments["log_interval"] = experiment.log_interval
    elif experiment.log_interval < -1:
        arguments["log_interval"] = None
    arguments |= masking(configuration, env)
    if configuration.algorithm.name == "ars" and configuration.hyperparameters.n_envs > 1:
        arguments["async_eval"] = Evaluators(experiment, configuration, model.policy)
    return arguments


def log_folder(model: Any, run: Run) -> str | None:
    """:return: where the model writes its TensorBoard log, seen from the run's folder"""
    folder = model.logger.dir
    return None if folder is None else os.path.relpath(folder, run.path)


def continue_log(model: Any, run: Run, checkpoint: Checkpoint) -> None:
    """
    Let a model that is resumed write where it wrote before.

    :param checkpoint: events after it no longer count
    """
    saved = checkpoint.facts.get("log_folder")
    if model.tensorboard_log is None or not isinstance(saved, str):
        return
    folder = os.path.normpath(run.path / saved)
    if not os.path.isdir(folder):
        to_stderr(f"The TensorBoard log {folder} is not there: a new one begins below {model.tensorboard_log}")
        return
    from torch.utils.tensorboard import SummaryWriter

    # What was held back then for an evaluation is written again.
    purged = checkpoint.scored_at or checkpoint.steps + 1
    logger = configure(folder, ["stdout", "tensorboard"] if model.verbose >= 1 else ["tensorboard"])
    for output in logger.output_formats:
        if isinstance(output, TensorBoardOutputFormat):
            output.writer.close()
            output.writer = SummaryWriter(log_dir=folder, purge_step=purged)
    model.set_logger(logger)


def continue_iterations(model: Any, arguments: dict[str, Any], steps: int) -> None:
    """
    Let an on-policy model that is resumed count its iterations on, and write its log at the same ones as before.

    :param arguments: of its ``learn``; changed
    :param steps: that were done before
    """
    if not hasattr(model, "rollout_buffer"):
        return
    done, dump = steps // (model.n_steps * model.n_envs), model.dump_logs
    interval = arguments.get("log_interval", inspect.signature(model.learn).parameters["log_interval"].default)

    def dump_logs(iteration: int = 0) -> None:
        if interval is not None and (done + iteration) % interval == 0:
            dump(done + iteration)

    model.dump_logs, arguments["log_interval"] = dump_logs, 1


class Evaluators(AsyncEval):
    """
    ARS scores its candidates in processes of their own.

    :param experiment: whose environment and seed they have
    :param configuration: resolved
    :param policy: that of the model
    """

    def __init__(self, experiment: Experiment, configuration: Configuration, policy: Any) -> None:
        self._reports = WorkerReports()
        start_server()
        makers: list[Callable[[], VecEnv]] = [
            functools.partial(
                _make_in_worker, configuration.recipe, (experiment.seed + 1 + index) % 2**32, self._reports.file(index)
            )
            for index in range(configuration.hyperparameters.n_envs)
        ]
        with quiet_loops(async_eval):
            super().__init__(makers, policy)

    def failure(self) -> WorkerError:
        """:return: why a worker no longer answers"""
        return self._reports.failure(self.processes)

    def close(self) -> None:
        """End the workers, those that no longer answer too."""
        if self.closed:
            return
        for remote in self.remotes:
            with contextlib.suppress(OSError):
                remote.send(("close", None))
        end_processes(self.processes, 0 if self.waiting else 1)
        self._reports.close()
        self.waiting, self.closed = False, True


def _make_in_worker(recipe: EnvironmentRecipe, seed: int, file: Path) -> VecEnv:
    leave_signals_to_the_parent()
    outermost = functools.partial(report_failures, file=file)
    env: VecEnv = reporting(file, make_envs, recipe, 1, seed, training=True, outermost=outermost)
    return env


def masking(configuration: Configuration, env: VecEnv) -> dict[str, Any]:
    """MaskablePPO refuses an environment without masks, unless it is told."""
    return {"use_masking": has_action_masks(env)} if configuration.algorithm.masked else {}
