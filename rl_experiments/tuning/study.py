"""Running a study: check, search, report."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import optuna

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.names import folder_name
from rl_experiments.training.preparation import report
from rl_experiments.training.settings import Experiment
from rl_experiments.training.stopping import StopRequest
from rl_experiments.tuning.planning import Plan, make_plan
from rl_experiments.tuning.reporting import Report, summary, write_report
from rl_experiments.tuning.settings import Study
from rl_experiments.tuning.storage import ALGORITHM, ENVIRONMENT, open_storage, open_study
from rl_experiments.tuning.sweeping import Turn, calmly, sweep
from rl_experiments.tuning.trials import as_json
from rl_experiments.tuning.workers import sweep_in_processes

_COMMAND = "command"


@dataclass(frozen=True)
class StudyResult:
    """
    :param study: Optuna's
    :param report: the files about it
    :param interrupted: whether it was stopped before its end
    """

    study: optuna.Study
    report: Report
    interrupted: bool = False


def run_study(experiment: Experiment, study: Study) -> StudyResult:
    """
    Search for hyperparameters.

    :param experiment: what each trial trains, and where the study is kept
    :raises RLExperimentsError: if something is wrong with the configuration, or trials fail in a row for one reason
    """
    plan = _with_storage(make_plan(experiment, study))
    with calmly(experiment):
        opened = _open(plan)
        _say(plan, f"{describe(plan)}\nStudy {opened.study_name} in {plan.experiment.storage or 'memory'}")
        interrupted = failed = None
        try:
            _search(plan, opened)
        except KeyboardInterrupt as error:
            interrupted = error
        except RLExperimentsError as error:
            failed = error
        print(summary(opened), flush=True)
        written = write_report(plan, opened)
    for path in (written.table, written.best, *written.plots):
        if path is not None:
            _say(plan, f"Written: {path}")
    if failed is not None:
        raise failed
    return StudyResult(opened, written, interrupted is not None)


def describe_study(experiment: Experiment, study: Study) -> str:
    """
    Check a study without a trial.

    :return: the resolved configuration and the search space, as ``train -optimize --dry-run`` prints them
    """
    plan = make_plan(experiment, study)
    example = f"What comes from {plan.space.origin} is an example: each trial samples its own"
    return f"{report(plan.example)}\n{example}\n{describe(plan)}"


def describe(plan: Plan) -> str:
    """:return: the search, for people"""
    settings = plan.settings
    trials = f"{settings.n_trials} trials"
    if settings.max_total_trials is not None:
        trials = f"up to {settings.max_total_trials} trials in all"
    return "\n".join(
        [
            f"Search space of {plan.algorithm.name} on {plan.experiment.env} ({plan.space.origin})",
            plan.space.describe(),
            f"{trials} of {plan.n_timesteps} steps, {plan.n_jobs} at once, each scored {plan.n_evaluations} times in"
            f" {plan.experiment.eval_episodes} episodes; sampler {settings.sampler}, pruner {settings.pruner},"
            f" seed {plan.experiment.seed}",
            *(f"Note: {remark}" for remark in plan.remarks),
        ]
    )


def _search(plan: Plan, study: optuna.Study) -> None:
    stopper = StopRequest(waits=True)

    def asked_to_stop() -> bool:
        return stopper.signal is not None

    def announce(text: str) -> None:
        print("Stopping at the next step. Once more stops at once", file=sys.stderr, flush=True)

    with stopper.listening(announce):
        if plan.n_jobs > 1:
            sweep_in_processes(plan, study, asked_to_stop)
        else:
            left = iter(range(plan.settings.n_trials))
            turn = Turn(contextlib.nullcontext(), lambda: next(left, None) is not None, asked_to_stop)
            sweep(plan, study, turn)


def _with_storage(plan: Plan) -> Plan:
    """Several processes need a storage: without one they get a journal file, named as the study."""
    experiment = plan.experiment
    if plan.n_jobs == 1:
        return plan
    if experiment.storage is None:
        name = experiment.study_name or f"study_{folder_name(experiment.env)}_{int(time.time())}"
        path = Path(experiment.log_folder) / experiment.algo / f"{name}.log"
        return replace(plan, experiment=replace(experiment, storage=str(path), study_name=name))
    if ":memory:" in experiment.storage or experiment.storage == "sqlite://":
        raise ConfigurationError(
            f"{plan.n_jobs} processes cannot share the storage {experiment.storage}. Expected a journal file like"
            " logs/study.log, or a database"
        )
    return plan


def _open(plan: Plan) -> optuna.Study:
    """Make the study or go on with it, and say in it what it is."""
    experiment = plan.experiment
    identity = {ALGORITHM: experiment.algo, ENVIRONMENT: experiment.env}
    study = open_study(open_storage(experiment.storage), experiment.study_name, identity)
    if _COMMAND not in study.user_attrs:
        study.set_user_attr(_COMMAND, shlex.join(sys.orig_argv))
        for name, value in sorted(as_json(plan.untuned).items()):
            study.set_user_attr(name, str(value))
    return study


def _say(plan: Plan, text: str) -> None:
    if plan.experiment.verbose > 0:
        print(text, flush=True)
