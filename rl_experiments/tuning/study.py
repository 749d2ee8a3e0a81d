"""Running a study: check, search, confirm, report."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError, TrainingError
from rl_experiments.launching import Launcher, Processes
from rl_experiments.training.backends import load_backend
from rl_experiments.training.preparation import report
from rl_experiments.training.settings import Experiment
from rl_experiments.training.stopping import StopRequest
from rl_experiments.tuning.attributes import ALGORITHM, COMMAND, ENVIRONMENT, SETTINGS, as_json
from rl_experiments.tuning.confirming import Confirmation
from rl_experiments.tuning.exporting import export_best
from rl_experiments.tuning.planning import Plan, make_plan
from rl_experiments.tuning.reporting import Report, summary, write_report
from rl_experiments.tuning.settings import Study
from rl_experiments.tuning.showing import Display
from rl_experiments.tuning.storage import JOURNAL, check_identity, load_study, open_storage, open_study
from rl_experiments.tuning.sweeping import Sweep, calmly

_SEED = "seed"
"""Among the settings of a study."""


@dataclass(frozen=True)
class StudyResult:
    """
    :param study: Optuna's
    :param report: the files about it
    :param signal: what stopped it before its end, or None
    """

    study: optuna.Study
    report: Report
    signal: int | None = None

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return self.signal is not None


def run_study(experiment: Experiment, study: Study, like_the_zoo: bool = False) -> StudyResult:
    """
    Search for hyperparameters.

    :param experiment: what each trial trains, and where the study is kept
    :param like_the_zoo: write table and plots where the zoo does
    :raises RLExperimentsError: if something is wrong with the configuration, or trials fail in a row for one reason
    """
    with calmly(experiment):
        plan = make_plan(experiment, study)
        plan, opened = _open(plan)
        _say(plan, f"{describe(plan)}\nStudy {opened.study_name} in {plan.storage}, its runs in {plan.folder}")
        stopper = StopRequest(waits=True)
        failed = None
        try:
            _search(plan, opened, stopper)
        except KeyboardInterrupt:
            pass
        except RLExperimentsError as error:
            failed = error
        print(summary(opened), flush=True)
        try:
            written = write_report(plan, opened, like_the_zoo)
        except OSError as error:
            failed = failed or TrainingError(f"The report cannot be written: {error}")
            raise failed from error
    for path in written.files:
        _say(plan, f"Written: {path}")
    if failed is not None:
        raise failed
    return StudyResult(opened, written, stopper.signal)


def export_study(experiment: Experiment, file: str | None) -> str:
    """
    :param experiment: which was tuned, and where its study is kept
    :param file: the hyperparameter file to write the best trial into; shown if None
    :return: the block, or what was done with it
    """
    storage = experiment.storage
    if storage is None:
        storage = str(Path(experiment.log_folder) / experiment.algo / str(experiment.study_name) / JOURNAL)
    study = load_study(storage, experiment.study_name)
    check_identity(study, ALGORITHM, experiment.algo)
    check_identity(study, ENVIRONMENT, experiment.env)
    return export_best(experiment, study, file)


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
    each = f"{plan.n_timesteps} steps" + (f" with each of {settings.seeds} seeds" if settings.seeds > 1 else "")
    lines = [
        f"Search space of {plan.algorithm.name} on {plan.experiment.env} ({plan.space.origin})",
        plan.space.describe(),
        f"{trials} of {each}, {plan.n_jobs} at once, each scored {plan.n_evaluations} times in"
        f" {plan.experiment.eval_episodes} episodes; objective {settings.objective}, sampler {settings.sampler}, pruner"
        f" {settings.pruner}, seed {plan.experiment.seed}",
    ]
    if settings.confirm:
        lines.append(f"The best {settings.confirm} are trained again with {settings.confirm_seeds} fresh seeds each")
    return "\n".join([*lines, *(f"Note: {remark}" for remark in plan.remarks)])


def _search(plan: Plan, study: optuna.Study, stopper: StopRequest) -> None:
    def announce(text: str) -> None:
        print("Stopping at the next step. Once more stops at once", file=sys.stderr, flush=True)

    def asked_to_stop() -> bool:
        return stopper.signal is not None

    settings = plan.settings
    display = Display(
        settings.max_total_trials or len(study.get_trials(deepcopy=False)) + settings.n_trials,
        plan.n_jobs,
        plan.n_timesteps,
        plan.experiment.verbose > 0,
    )
    with stopper.listening(announce), display, contextlib.closing(_launcher(plan)) as launcher:
        Sweep(plan, study, launcher, display, asked_to_stop).run()
        if settings.confirm:
            _confirm(plan, study, launcher, display, asked_to_stop)


def _confirm(
    plan: Plan, study: optuna.Study, launcher: Launcher, display: Display, asked_to_stop: Callable[[], bool]
) -> None:
    others = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    if others:
        display.say(
            f"{len(others)} trials still run in other processes: whoever ends last confirms, or this command once more"
        )
        return
    Confirmation(plan, study, launcher, display, asked_to_stop).run()


def _launcher(plan: Plan) -> Launcher:
    if plan.settings.launcher == "ray":
        from rl_experiments.launching.on_ray import RayTasks

        return RayTasks(plan.settings.ray_address, plan.n_jobs if plan.settings.n_jobs > 0 else None)
    load_backend(plan.experiment.algo, plan.experiment.backend)
    return Processes(plan.n_jobs, n_threads=plan.n_threads, forks=plan.forks)


def _open(plan: Plan) -> tuple[Plan, optuna.Study]:
    """Make the study or go on with it, and say in it what it is; one that goes on keeps its seed."""
    experiment = plan.experiment
    identity = {ALGORITHM: experiment.algo, ENVIRONMENT: experiment.env}
    study = open_study(open_storage(plan.storage), plan.study_name, identity)
    settings = _settings_of(plan)
    known = study.user_attrs.get(SETTINGS)
    if isinstance(known, dict):
        if plan.drew_its_seed and _SEED in known:
            plan = plan.with_seed(int(known[_SEED]))
            settings = _settings_of(plan)
        _check_same(plan, known, settings)
    elif COMMAND not in study.user_attrs:
        study.set_user_attr(SETTINGS, settings)
        study.set_user_attr(COMMAND, shlex.join(sys.orig_argv))
        for name, value in sorted(as_json(plan.untuned).items()):
            study.set_user_attr(name, str(value))
    return plan, study


def _settings_of(plan: Plan) -> dict[str, Any]:
    """What all trials of a study have in common; with another of these, scores cannot be compared."""
    experiment, settings = plan.experiment, plan.settings
    return {
        "n_timesteps": plan.n_timesteps,
        "eval_episodes": experiment.eval_episodes,
        "n_evaluations": plan.n_evaluations,
        "objective": settings.objective,
        "seeds": settings.seeds,
        "hyperparams": as_json(experiment.hyperparams or {}),
        "env_kwargs": dict(experiment.env_kwargs or {}),
        "eval_env_kwargs": None if experiment.eval_env_kwargs is None else dict(experiment.eval_env_kwargs),
        "conf_file": experiment.conf_file,
        "gym_packages": list(experiment.gym_packages),
        "backend": experiment.backend,
        _SEED: experiment.seed,
    }


def _check_same(plan: Plan, known: dict[str, Any], settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        if name in (_SEED, "conf_file", "gym_packages"):
            continue
        if name in known and known[name] != value:
            flag = {"n_timesteps": "-n", "hyperparams": "-params"}.get(name, f"--{name.replace('_', '-')}")
            raise ConfigurationError(
                f"The trials of the study '{plan.study_name}' have {flag} {known[name]}, not {value}: their scores"
                " cannot be compared. Expected the same, or another --study-name"
            )


def _say(plan: Plan, text: str) -> None:
    if plan.experiment.verbose > 0:
        print(text, flush=True)
