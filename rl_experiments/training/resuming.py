"""Going on with a run that was stopped or killed, as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rl_experiments.config import grammar
from rl_experiments.config.hyperparameters import COMMAND_LINE
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.files import numbered_folders, remove_unfinished
from rl_experiments.core.names import folder_name
from rl_experiments.core.symbols import Trust
from rl_experiments.runs import FAILED, FINISHED, Run, RunRecord, checkpoints, open_run, run_recipe
from rl_experiments.runs.checkpoints import Checkpoint
from rl_experiments.runs.folder import CHECKPOINTS, MODEL
from rl_experiments.runs.lock import holding, is_held
from rl_experiments.training.backends import begin_training
from rl_experiments.training.preparation import Prepared, prepare
from rl_experiments.training.run_files import TrainingResult
from rl_experiments.training.settings import Experiment
from rl_experiments.training.stopping import StopRequest, to_stderr
from rl_experiments.training.threads import ThreadChoice

EPISODES = "n_episodes"
"""The length of a training whose budget is not in steps."""
_LIMITS = ("stop_at_reward", "patience", "max_time")
_FREE = (
    *("log_folder", "verbose", "progress", "log_interval", "gym_packages", "save_every", "keep_last", "trust"),
    *("video_freq", "keep_videos", "eval_in_background"),
    *_LIMITS,
)
"""What may be said anew: it changes nothing of what is learned."""


def resume_run(path: str | Path | None = None, **given: Any) -> TrainingResult:
    """
    Train on from the last checkpoint that is whole, in the same folder; where there is none yet, from the beginning.

    :param path: of the run, or of one of its checkpoints; if None, the latest run of the algorithm and environment that
        was stopped or killed
    :param given: fields of :class:`Experiment` that the user said; all others are those of the run
    :raises RLExperimentsError: if there is none, or if it would become another experiment; the run stays as it is
    """
    with StopRequest().listening(to_stderr) as stop:
        folder = None if path is None else checkpoints.run_folder_of(Path(path))
        run = _latest_run(given) if path is None else open_run(folder or path)
        with holding(run):
            return _resume(run, given, stop, None if path is None or folder is None else Path(path))


def _resume(run: Run, given: Mapping[str, Any], stop: StopRequest, chosen: Path | None) -> TrainingResult:
    content = RunRecord.read(run)
    if "experiment_id" not in content:
        raise ConfigurationError(f"{run.path} has no run.json that tells its experiment: only our own runs are resumed")
    experiment = _experiment_of(run, content, given)
    checkpoint = _last_checkpoint(run) if chosen is None else _chosen_checkpoint(run, chosen)
    steps = 0 if checkpoint is None else checkpoint.steps
    _check_length(run, content, steps, given)
    prepared = _prepare(run, experiment, checkpoint, given)
    choice = ThreadChoice(int(content.get("threads", {}).get("count", 1)), "as the run has")
    choice.apply()
    if experiment.verbose > 0:
        why = " (it has no checkpoint yet)" if checkpoint is None else ""
        print(f"Going on with {run.path} at {steps:,} of {prepared.configuration.n_timesteps:,} steps{why}")
    if checkpoint is not None and not checkpoint.exact:
        to_stderr(
            "The environments begin new episodes here: from now on it is not exactly what it had been without a stop"
        )
    stop.check()
    if checkpoint is not None:
        _check_monitors(run, checkpoint)
    remove_unfinished(run.path)
    training = begin_training(prepared, run, choice, stop, checkpoint, again=True)
    try:
        stop.check()
        return training.learn()
    finally:
        training.close()


def _last_checkpoint(run: Run) -> Checkpoint | None:
    skipped: list[str] = []
    checkpoint = checkpoints.latest(run, skipped.append)
    if checkpoint is None and skipped:
        raise ConfigurationError(
            f"No checkpoint of {run.path} can be used: {'; '.join(skipped)}. Restore their files, or remove"
            f" {CHECKPOINTS}/ to begin again"
        )
    for line in skipped:
        to_stderr(line)
    return checkpoint


def _chosen_checkpoint(run: Run, chosen: Path) -> Checkpoint:
    if not chosen.is_dir():
        there = ", ".join(path.name for path in checkpoints.checkpoints_of(run)) or "none"
        raise NotFoundError(f"There is no checkpoint {chosen}. There are: {there}")
    try:
        checkpoint = checkpoints.read(chosen)
        checkpoint.check()
    except ConfigurationError as error:
        raise ConfigurationError(f"The checkpoint {chosen} cannot be used: {error}") from None
    return checkpoint


def _latest_run(given: Mapping[str, Any]) -> Run:
    default = Experiment()
    algo, env = given.get("algo", default.algo), given.get("env", default.env)
    folder = Path(given.get("log_folder", default.log_folder))
    name = folder_name(env)
    found = numbered_folders(folder / algo, name)
    states = []
    for number in sorted(found, reverse=True):
        run = Run(found[number], algo, name)
        try:
            status = RunRecord.read(run).get("status")
        except ConfigurationError:
            status = None
        if is_held(run):
            states.append(f"{found[number].name} is being trained")
        elif status in (None, FINISHED, FAILED):
            states.append(f"{found[number].name} is {status or 'not ours'}")
        else:
            return run
    there = f" There: {', '.join(states[:5])}" if states else ""
    raise NotFoundError(f"There is no run of {algo} on {env} in {folder} that was stopped or killed.{there}")


def _experiment_of(run: Run, content: Mapping[str, Any], given: Mapping[str, Any]) -> Experiment:
    """The experiment of the run, with what the user may say anew."""
    declared = {field.name for field in fields(Experiment)}
    saved = {name: value for name, value in run.arguments.items() if name in declared}
    try:
        original = Experiment(**{**saved, "hyperparams": None})
        saved_text = {name: getattr(original, name) for name in declared}
    except (TypeError, ConfigurationError) as error:
        raise ConfigurationError(f"{run.config_folder / 'args.yml'} describes no experiment: {error}") from None
    saved_text["hyperparams"] = run.arguments.get("hyperparams")
    _check_same({**saved_text, "seed": content.get("seed", original.seed)}, given, run)
    free = {name: value for name, value in given.items() if name in _FREE or name == "n_timesteps"}
    unused = {"trial_id": None, "storage": None, "conf_file": None, "hyperparams": None}
    return replace(original, **{**unused, **free})


def _check_same(saved: Mapping[str, Any], given: Mapping[str, Any], run: Run) -> None:
    for name, value in given.items():
        if name in _FREE or name == "n_timesteps":
            continue
        before = saved.get(name)
        if name == "num_threads" and value == "auto":
            continue  # as many as the run has
        if name in ("hyperparams", "env_kwargs", "eval_env_kwargs"):
            used = {**run.hyperparameters, **(before or {})} if name == "hyperparams" else before or {}
            for key, item in (value or {}).items():
                if name == "hyperparams" and key == EPISODES and used.get(key) is not None:
                    continue  # more of them extend the run
                if key not in used or _text(used[key]) != _text(item):
                    _refuse(f"{name} {key}", used.get(key), item, run)
        elif value != before and not (isinstance(value, tuple) and list(value) == list(before or ())):
            _refuse(f"--{name.replace('_', '-')}", before, value, run)


def _text(value: Any) -> str:
    """A value as it is written: in the run it may be a text of the grammar, and on the command line what that means."""
    return value if isinstance(value, str) else grammar.to_text(value)


def _refuse(what: str, before: Any, value: Any, run: Run) -> None:
    raise ConfigurationError(
        f"{what} is {value!r}, but the run {run.path} has {before!r}: that would be another experiment."
        " Leave it out, or train without --resume"
    )


def _check_length(run: Run, content: Mapping[str, Any], steps: int, given: Mapping[str, Any]) -> None:
    planned, wanted = int(content.get("n_timesteps", 0)), given.get("n_timesteps")
    if _more_episodes(run, given):
        return
    if wanted is not None and wanted < planned:
        raise ConfigurationError(
            f"-n is {wanted}, but the run {run.path} trains for {planned} steps, and can only be extended"
        )
    stopped_early = bool(content.get("reason"))
    if content.get("status") == FINISHED and wanted in (None, planned):
        if not stopped_early:
            raise ConfigurationError(f"The run {run.path} is finished after {_length(run, planned)} extends it")
        if not any(name in given for name in _LIMITS):
            raise ConfigurationError(
                f"The run {run.path} is finished: {content['reason']}. Another limit in its place lets it go on"
            )
    only_to_be_saved = content.get("status") != FINISHED and steps == planned and not run.final_model.exists()
    if steps >= (wanted or planned) and not only_to_be_saved:
        raise ConfigurationError(
            f"The run {run.path} is at {steps} steps already. Expected -n above that, but got {wanted}"
        )


def _more_episodes(run: Run, given: Mapping[str, Any]) -> bool:
    """Whether a run whose length is a number of episodes gets more of them."""
    planned, wanted = run.hyperparameters.get(EPISODES), (given.get("hyperparams") or {}).get(EPISODES)
    if planned is None or wanted is None or given.get("n_timesteps") is not None:
        return False
    if not isinstance(wanted, (int, float)) or wanted < planned:
        raise ConfigurationError(
            f"{EPISODES} is {wanted}, but the run {run.path} trains for {planned} episodes, and can only be extended"
        )
    return bool(wanted > planned)


def _length(run: Run, planned: int) -> str:
    episodes = run.hyperparameters.get(EPISODES)
    if episodes is None:
        return f"{planned} steps. A larger -n"
    return f"{episodes} episodes. A larger number with -params {EPISODES}:N"


def _prepare(run: Run, experiment: Experiment, checkpoint: Checkpoint | None, given: Mapping[str, Any]) -> Prepared:
    named = tuple(given.get("gym_packages", ()))
    recipe = run_recipe(run, gym_packages=named, trust=experiment.trust)
    if experiment.trained_agent and checkpoint is not None:
        # Its networks are those of the checkpoint, and the file that it began with may be gone.
        experiment = replace(experiment, trained_agent=str(checkpoint.file(MODEL)))
    experiment = replace(experiment, gym_packages=recipe.gym_packages)
    hyperparameters = run.hyperparameters
    if _more_episodes(run, given):
        hyperparameters = hyperparameters.merged({EPISODES: given["hyperparams"][EPISODES]}, COMMAND_LINE)
    return prepare(experiment, hyperparameters=hyperparameters, trust=Trust.of(experiment.trust, named))


def _check_monitors(run: Run, checkpoint: Checkpoint) -> None:
    for file, size in checkpoint.monitors(run).items():
        if not file.is_file() or file.stat().st_size < size:
            raise NotFoundError(f"{file} lacks episodes from before the checkpoint {checkpoint.path}: restore the file")
