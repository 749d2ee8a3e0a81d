"""Running an experiment: check, choose the threads, train, and leave nothing where nothing was trained."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl_experiments.runs import Run
from rl_experiments.training.preparation import prepare, report
from rl_experiments.training.session import Training, TrainingResult
from rl_experiments.training.settings import Experiment
from rl_experiments.training.thread_choice import choose_threads


def run_experiment(experiment: Experiment, trial: tuple[str, Mapping[str, Any]] | None = None) -> TrainingResult:
    """
    Train. See :meth:`Experiment.run`.

    :param trial: (origin, values) of a tuned trial
    """
    prepared = prepare(experiment, trial)
    experiment = prepared.experiment
    if experiment.verbose > 0:
        print(report(prepared))
    choice = choose_threads(prepared)
    if experiment.verbose > 0:
        print(f"Threads: {choice.count} ({choice.reason})")
    choice.apply()
    suffix = f"_{uuid.uuid4()}" if experiment.uuid else ""
    run = Run.create(Path(experiment.log_folder), experiment.algo, experiment.env, suffix)
    training = None
    try:
        training = Training(prepared, run, choice)
        return training.learn()
    except BaseException:
        if training is None or not training.has_begun:
            shutil.rmtree(run.path, ignore_errors=True)
            with contextlib.suppress(OSError):  # there are other runs
                run.path.parent.rmdir()
        raise
    finally:
        if training is not None:
            training.close()
