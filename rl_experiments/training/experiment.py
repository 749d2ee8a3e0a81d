"""Running an experiment: check, choose the threads, train, and leave nothing where nothing was trained."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl_experiments.runs import Run
from rl_experiments.runs.lock import holding
from rl_experiments.training.backends import begin_training
from rl_experiments.training.preparation import Prepared, prepare, report
from rl_experiments.training.run_files import TrainingResult
from rl_experiments.training.settings import Experiment
from rl_experiments.training.stopping import StopRequest, to_stderr
from rl_experiments.training.supervision import Supervisor
from rl_experiments.training.thread_choice import choose_threads
from rl_experiments.training.threads import ThreadChoice


def run_experiment(
    experiment: Experiment,
    trial: tuple[str, Mapping[str, Any]] | None = None,
    supervisor: Supervisor | None = None,
) -> TrainingResult:
    """
    Train. See :meth:`Experiment.run`.

    :param trial: (origin, values) of a tuned trial
    :param supervisor: follows the training, if anybody does
    :raises Interrupted: if a signal comes before anything was trained
    """
    with StopRequest().listening(to_stderr) as stop:
        prepared = prepare(experiment, trial)
        experiment = prepared.experiment
        if experiment.verbose > 0:
            print(report(prepared))
        choice = choose_threads(prepared)
        if experiment.verbose > 0:
            print(f"Threads: {choice.count} ({choice.reason})")
        choice.apply()
        stop.check()
        return _train(prepared, choice, stop, supervisor)


def _train(
    prepared: Prepared, choice: ThreadChoice, stop: StopRequest, supervisor: Supervisor | None
) -> TrainingResult:
    experiment = prepared.experiment
    log_folder = Path(experiment.log_folder)
    missing = [folder for folder in (log_folder, *log_folder.parents) if not folder.exists()]
    run = training = None
    with contextlib.ExitStack() as held:
        try:
            with stop.deferred():
                suffix = f"_{uuid.uuid4()}" if experiment.uuid else ""
                run = Run.create(log_folder, experiment.algo, experiment.env, suffix)
            held.enter_context(holding(run))
            training = begin_training(prepared, run, choice, stop, supervisor=supervisor)
            stop.check()
            return training.learn()
        finally:
            if training is not None:
                training.close()
            if run is not None and (training is None or not training.has_trained):
                shutil.rmtree(run.path, ignore_errors=True)
                for folder in (run.path.parent, *missing):
                    with contextlib.suppress(OSError):  # there are other runs
                        folder.rmdir()
