"""Running an experiment: check, make, learn, save."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.algorithms import get_algorithm
from rl_experiments.algorithms.sb3 import SB3Agent, build_model, continue_model, model_parameters
from rl_experiments.config import grammar
from rl_experiments.core import pickles
from rl_experiments.core.errors import (
    ConfigurationError,
    MissingPackageError,
    NotFoundError,
    RLExperimentsError,
    TrainingError,
)
from rl_experiments.core.files import replacing
from rl_experiments.core.symbols import remember_use
from rl_experiments.envs import VEC_ENVS, EnvironmentRecipe, has_action_masks, make_envs
from rl_experiments.envs.making import leave_interrupts_to_the_parent
from rl_experiments.runs import FAILED, FINISHED, INTERRUPTED, Run, RunRecord
from rl_experiments.training import threads
from rl_experiments.training.callbacks import (
    PeriodicCheckpoint,
    PeriodicEvaluation,
    Progress,
    StopWhenAsked,
    save_with_statistics,
)
from rl_experiments.training.configuration import (
    EVALUATION_SEED_OFFSET,
    Configuration,
    describe,
    make_callbacks,
    merge_hyperparameters,
    resolve,
    trial_model,
)
from rl_experiments.training.settings import Experiment
from rl_experiments.training.synthetic import SyntheticVecEnv
from rl_experiments.training.tracking import run_name, start_wandb

_RECENT_RUNS = 100


@dataclass(frozen=True)
class Prepared:
    """
    An experiment that was checked, and could start.

    :param experiment: with its seed drawn
    :param configuration: resolved
    :param synthetic: an environment that costs nothing, with the real one's spaces
    """

    experiment: Experiment
    configuration: Configuration
    synthetic: SyntheticVecEnv

    @property
    def identity(self) -> str:
        """The same for two experiments that should give the same bits."""
        experiment, configuration = self.experiment, self.configuration
        return threads.fingerprint(
            {
                "algorithm": configuration.algorithm.name,
                "environment": experiment.env,
                "hyperparameters": dict(configuration.saved_hyperparameters),
                "evaluation": [
                    experiment.eval_freq,
                    experiment.eval_episodes,
                    experiment.n_eval_envs,
                    experiment.eval_env_kwargs,
                ],
                "seed": experiment.seed,
                "vec_env": experiment.vec_env,
                "device": experiment.device,
                "trained_agent": experiment.trained_agent,
            }
        )


@dataclass(frozen=True)
class TrainingResult:
    """
    :param run: the folder
    :param model: the trained SB3 model
    :param status: ``finished`` or ``interrupted``
    :param steps: environment steps that were done
    :param seconds: how long the training took
    :param signal: the signal that ended it, or None
    """

    run: Run
    model: Any
    status: str
    steps: int
    seconds: float
    signal: int | None = None


def prepare(experiment: Experiment, trial: tuple[str, Mapping[str, Any]] | None = None) -> Prepared:
    """
    Check an experiment without training, and draw its seed if it has none.

    :param trial: (origin, values) of a tuned trial
    """
    algorithm = get_algorithm(experiment.algo)
    if experiment.vec_env not in VEC_ENVS:
        raise ConfigurationError(f"vec_env must be one of {', '.join(VEC_ENVS)}, but got {experiment.vec_env!r}")
    for name in ("eval_episodes", "n_eval_envs"):
        if getattr(experiment, name) < 1:
            raise ConfigurationError(f"{name} must be at least 1, but got {getattr(experiment, name)}")
    _check_device(experiment.device)
    _check_log_folder(Path(experiment.log_folder))
    if experiment.tensorboard_log or experiment.track:
        _require_tensorboard()
    seed = experiment.seed if experiment.seed >= 0 else int(np.random.SeedSequence().generate_state(1)[0])
    if seed >= 2**32:
        raise ConfigurationError(f"seed must be below 2**32, but got {seed}")
    experiment = replace(experiment, seed=seed)
    hyperparameters = merge_hyperparameters(
        algorithm,
        experiment.env,
        tuple(experiment.gym_packages),
        experiment.conf_file,
        trial,
        experiment.hyperparams or {},
    )
    configuration, synthetic = resolve(
        algorithm,
        hyperparameters,
        env_id=experiment.env,
        seed=seed,
        n_timesteps=experiment.n_timesteps,
        env_kwargs=experiment.env_kwargs,
        eval_env_kwargs=experiment.eval_env_kwargs,
        gym_packages=tuple(experiment.gym_packages),
        trained_agent=experiment.trained_agent,
    )
    for package in (*experiment.gym_packages, experiment.env.rpartition(":")[0]):
        if package:
            remember_use(f"{package}.*")
    return Prepared(experiment, configuration, synthetic)


def report(prepared: Prepared) -> str:
    """:return: the resolved configuration, for people"""
    configuration, experiment = prepared.configuration, prepared.experiment
    recipe, algorithm = configuration.recipe, configuration.algorithm
    lines = [
        f"{algorithm.name} ({algorithm.class_name}) on {experiment.env}, seed {experiment.seed}",
        f"  observations  {prepared.synthetic.observation_space}",
        f"  actions       {prepared.synthetic.action_space}",
        f"  environment   {grammar.to_text(dict(recipe.kwargs))}",
        f"  evaluation    {grammar.to_text(dict(configuration.evaluation_recipe.kwargs))},"
        f" every {experiment.eval_freq} steps, {experiment.eval_episodes} episodes",
        "Hyperparameters",
        describe(configuration),
        *(f"Note: {remark}" for remark in configuration.remarks),
    ]
    return "\n".join(lines)


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
        training = _Training(prepared, run, choice)
        return training.learn()
    except BaseException:
        if training is None or not training.has_begun:
            shutil.rmtree(run.path, ignore_errors=True)
        raise
    finally:
        if training is not None:
            training.close()


def choose_threads(prepared: Prepared) -> threads.ThreadChoice:
    """
    :return: what the user said, else what this experiment used before, else what was measured for this machine and
        network
    """
    experiment = prepared.experiment
    if isinstance(experiment.num_threads, int) and experiment.num_threads > 0:
        return threads.ThreadChoice(experiment.num_threads, "as given")
    memory = threads.ThreadMemory()
    identity = prepared.identity
    recorded = memory.recall("experiments", identity) or _recorded_threads(experiment, identity)
    if recorded is not None:
        return threads.ThreadChoice(recorded, "as this experiment used before")
    counts = threads.candidate_counts()
    if len(counts) == 1:
        return threads.ThreadChoice(1, "one core")
    key = _network_key(prepared)
    remembered = memory.recall("networks", key)
    if remembered is not None:
        choice = threads.ThreadChoice(remembered, "as measured before for this machine, network and load")
    else:
        measured = _measure_threads(prepared, counts)
        choice = threads.ThreadChoice(threads.choose(measured), "measured", measured)
        memory.remember("networks", key, choice.count)
    memory.remember("experiments", identity, choice.count)
    return choice


def _measure_threads(prepared: Prepared, counts: list[int]) -> dict[int, float]:
    """A scaled-down training with the real network and batch, and the real mixture of acting and learning."""
    configuration = prepared.configuration
    parameters = model_parameters(configuration.algorithm)
    hyperparameters = configuration.hyperparameters

    def setting(name: str, fallback: int) -> int:
        value = hyperparameters.get(name, parameters[name].default if name in parameters else fallback)
        return int(value) if isinstance(value, (int, float)) else fallback

    n_envs = configuration.n_envs
    if configuration.algorithm.off_policy:
        frequency = hyperparameters.algorithm_arguments().get("train_freq", parameters["train_freq"].default)
        number, unit = frequency if isinstance(frequency, tuple) else (frequency, "step")
        steps = int(number) * (50 if unit == "episode" else 1) * n_envs
        model = trial_model(configuration, prepared.synthetic, learning_starts=setting("batch_size", 32))
    elif "n_epochs" in parameters:
        rollout = max(2, min(setting("n_steps", 2048), -(-setting("batch_size", 64) // n_envs)))
        steps = rollout * n_envs
        model = trial_model(configuration, prepared.synthetic, n_steps=rollout)
    else:
        rollout = min(setting("n_steps", 5), 1024)
        steps = rollout * n_envs
        model = trial_model(
            configuration, prepared.synthetic, **({"n_steps": rollout} if "n_steps" in parameters else {})
        )
    return threads.measure(model, counts, steps, **_masking(configuration, prepared.synthetic))


def _network_key(prepared: Prepared) -> str:
    import torch

    from rl_experiments.runs.record import processor_name

    configuration = prepared.configuration
    names = ("policy", "policy_kwargs", "batch_size", "n_steps", "n_epochs", "train_freq", "gradient_steps", "n_envs")
    return threads.fingerprint(
        {
            "processor": processor_name(),
            "cores": threads.available_cores(),
            "free": threads.free_cores(),
            "torch": torch.__version__,
            "device": prepared.experiment.device,
            "algorithm": configuration.algorithm.name,
            "spaces": [str(prepared.synthetic.observation_space), str(prepared.synthetic.action_space)],
            "hyperparameters": {name: configuration.hyperparameters.get(name) for name in names},
        }
    )


def _recorded_threads(experiment: Experiment, identity: str) -> int | None:
    """The count in ``run.json`` of an earlier run of the same experiment in the same log folder."""
    from rl_experiments.core.files import numbered_folders
    from rl_experiments.core.names import folder_name

    name = folder_name(experiment.env)
    folders = numbered_folders(Path(experiment.log_folder) / experiment.algo, name)
    for number in sorted(folders, reverse=True)[:_RECENT_RUNS]:
        try:
            content = RunRecord.read(Run(folders[number], experiment.algo, name))
        except ConfigurationError:
            continue
        count = content.get("threads", {}).get("count") if isinstance(content.get("threads"), dict) else None
        if content.get("experiment_id") == identity and isinstance(count, int):
            return count
    return None


class _Training:
    """One training under way: environments, model and callbacks, and the run that they write to."""

    def __init__(self, prepared: Prepared, run: Run, choice: threads.ThreadChoice) -> None:
        self.experiment = prepared.experiment
        self.configuration = prepared.configuration
        self.run = run
        self.has_begun = False
        self._choice = choice
        self._identity = prepared.identity
        self._environments: list[VecEnv] = []
        self._tracker: Any = None
        self._evaluation: PeriodicEvaluation | None = None
        self._progress: Progress | None = None
        self._record: RunRecord | None = None
        self.stopper = StopWhenAsked()
        try:
            self._start_tracking()
            self.env = self._make_envs(self.configuration.n_envs, training=True)
            self.model = self._make_model()
            self.callbacks = self._make_callbacks()
        except BaseException:
            self.close()
            raise

    def learn(self) -> TrainingResult:
        """Train and save; on an error of the environment or the algorithm, keep the model as a checkpoint."""
        experiment, run = self.experiment, self.run
        self._write_configuration()
        started = time.perf_counter()
        self.has_begun = True
        try:
            with self.stopper.listening(lambda text: print(text, file=sys.stderr, flush=True)):
                self.model.learn(
                    self.configuration.n_timesteps,
                    callback=CallbackList(self.callbacks),
                    **learn_arguments(experiment, self.configuration, self.env, self.model),
                )
        except KeyboardInterrupt:
            self.stopper.signal = self.stopper.signal or signal.SIGINT
        except Exception as error:
            self._fail(error, time.perf_counter() - started)
        seconds = time.perf_counter() - started
        status = FINISHED if self.stopper.signal is None else INTERRUPTED
        self._save()
        self._finish(status, seconds, None if self.stopper.signal is None else signal.Signals(self.stopper.signal).name)
        if experiment.verbose > 0:
            print(f"Saved to {run.path}")
        return TrainingResult(run, self.model, status, self.model.num_timesteps, seconds, self.stopper.signal)

    def close(self) -> None:
        """Release the environments and the tracker."""
        if self._progress is not None:
            self._progress.close()
        for env in self._environments:
            try:
                env.close()
            except (EOFError, BrokenPipeError, ConnectionError):
                continue  # a worker process that is gone needs no closing
        self._environments.clear()
        if self._tracker is not None:
            self._tracker.finish(0 if self.has_begun else 1)
            self._tracker = None

    def _make_envs(self, n_envs: int, training: bool) -> VecEnv:
        configuration, experiment = self.configuration, self.experiment
        env = make_envs(
            configuration.recipe if training else configuration.evaluation_recipe,
            n_envs,
            experiment.seed if training else (experiment.seed + EVALUATION_SEED_OFFSET) % 2**32,
            vec_env=experiment.vec_env,
            monitor_folder=self.run.path if training else None,
            training=training,
        )
        self._environments.append(env)
        return env

    def _make_model(self) -> Any:
        configuration, experiment = self.configuration, self.experiment
        arguments: dict[str, Any] = {
            "seed": experiment.seed,
            "verbose": experiment.verbose,
            "device": experiment.device,
            "tensorboard_log": self._tensorboard_folder(),
            "trust": configuration.trust,
        }
        if not experiment.trained_agent:
            return build_model(configuration.algorithm, configuration.hyperparameters, self.env, **arguments)
        path = Path(experiment.trained_agent)
        model = continue_model(configuration.algorithm, configuration.hyperparameters, self.env, path, **arguments)
        taken = [f"the model {path}"]
        if configuration.recipe.statistics is not None:
            taken.append(f"normalisation {configuration.recipe.statistics}")
        buffer = path.with_name("replay_buffer.pkl")
        if configuration.algorithm.off_policy and buffer.is_file():
            _load_replay_buffer(model, buffer, experiment.truncate_last_trajectory)
            taken.append(f"replay buffer {buffer}")
        print(f"Going on from {', '.join(taken)}")
        return model

    def _tensorboard_folder(self) -> str | None:
        if self._tracker is not None:
            return f"runs/{self._tracker.name}/{self.run.env_name}"
        return (
            str(Path(self.experiment.tensorboard_log) / self.run.env_name) if self.experiment.tensorboard_log else None
        )

    def _make_callbacks(self) -> list[BaseCallback]:
        experiment, configuration = self.experiment, self.configuration
        callbacks = make_callbacks(configuration.hyperparameters, configuration.trust)
        if experiment.progress:
            self._progress = Progress(configuration.n_timesteps)
            callbacks.append(self._progress)
        # Callbacks are called once for a step of all environments.
        if experiment.save_freq > 0:
            freq = max(experiment.save_freq // configuration.n_envs, 1)
            callbacks.append(PeriodicCheckpoint(self.run, freq, experiment.save_replay_buffer, experiment.verbose))
        if experiment.eval_freq > 0:
            agent = SB3Agent(self.model, configuration.algorithm)
            self._evaluation = PeriodicEvaluation(
                agent,
                self._make_envs(experiment.n_eval_envs, training=False),
                self.run,
                max(experiment.eval_freq // configuration.n_envs, 1),
                experiment.eval_episodes,
                not configuration.recipe.acts_stochastically,
                experiment.verbose,
            )
            callbacks.append(self._evaluation)
        return [*callbacks, self.stopper]

    def _write_configuration(self) -> None:
        experiment, configuration = self.experiment, self.configuration
        arguments = experiment.as_arguments()
        if experiment.env_kwargs:
            # The zoo's enjoy lets these replace those of config.yml.
            arguments["env_kwargs"] = dict(configuration.recipe.kwargs)
        arguments["hyperparams"] = _as_text(experiment.hyperparams)
        arguments["num_threads"] = self._choice.count
        command = shlex.join(sys.orig_argv)
        self.run.write_configuration(configuration.saved_hyperparameters, arguments, command)
        self._record = RunRecord.start(
            self.run,
            environment=experiment.env,
            seed=experiment.seed,
            n_timesteps=configuration.n_timesteps,
            command=command,
            experiment_id=self._identity,
            threads=self._choice.as_dict(),
            hyperparameters={
                name: {"value": value, "origin": configuration.hyperparameters.origin(name)}
                for name, value in configuration.saved_hyperparameters.items()
            },
            remarks=list(configuration.remarks),
        )

    def _save(self) -> None:
        save_with_statistics(self.model, self.run.final_model, self.run.final_statistics)
        buffer = getattr(self.model, "replay_buffer", None)
        if self.experiment.save_replay_buffer and buffer is not None:
            with replacing(self.run.path / "replay_buffer.pkl") as temporary:
                self.model.save_replay_buffer(temporary)

    def _fail(self, error: Exception, seconds: float) -> None:
        steps = self.model.num_timesteps
        kept = ""
        if steps > 0:
            path = self.run.checkpoint(steps)
            save_with_statistics(self.model, path, self.run.checkpoint_statistics(steps))
            kept = f" The model of that moment is {path}"
        reason = f"{type(error).__name__}: {error}"
        self._finish(FAILED, seconds, reason)
        if isinstance(error, RLExperimentsError):
            raise error
        raise TrainingError(f"Training failed after {steps} steps: {reason}.{kept}") from error

    def _finish(self, status: str, seconds: float, reason: str | None) -> None:
        assert self._record is not None
        steps = int(self.model.num_timesteps)
        scores: dict[str, Any] = {}
        if self._evaluation is not None and self._evaluation.last is not None:
            scores = {
                "last_mean_reward": self._evaluation.last.mean_reward,
                "best_mean_reward": float(self._evaluation.best_mean_reward),
            }
        self._record.content["timings"].update(
            training_seconds=round(seconds, 3), steps_per_second=round(steps / max(seconds, 1e-9), 2)
        )
        self._record.finish(status, reason, steps=steps, **scores)

    def _start_tracking(self) -> None:
        experiment = self.experiment
        if not experiment.track:
            return
        settings = {
            "project": experiment.wandb_project_name,
            "entity": experiment.wandb_entity,
            "group": experiment.wandb_group,
            "tags": list(experiment.wandb_tags),
        }
        name = run_name(self.run.env_name, experiment.algo, experiment.seed)
        self._tracker = start_wandb(
            name, settings, {**experiment.as_arguments(), "resolved": self.configuration.saved_hyperparameters}
        )


def learn_arguments(experiment: Experiment, configuration: Configuration, env: VecEnv, model: Any) -> dict[str, Any]:
    """:return: what ``model.learn`` takes beside the steps and the callbacks"""
    arguments: dict[str, Any] = {}
    if experiment.log_interval > -1:
        arguments["log_interval"] = experiment.log_interval
    elif experiment.log_interval < -1:
        arguments["log_interval"] = None
    arguments |= _masking(configuration, env)
    if configuration.algorithm.name == "ars" and configuration.hyperparameters.n_envs > 1:
        arguments["async_eval"] = _asynchronous_evaluators(experiment, configuration, model)
    return arguments


def _asynchronous_evaluators(experiment: Experiment, configuration: Configuration, model: Any) -> Any:
    """ARS scores its candidates in processes of their own."""
    from sb3_contrib.common.vec_env import AsyncEval

    recipe, seed = configuration.recipe, experiment.seed
    makers: list[Callable[[], VecEnv]] = [
        functools.partial(_make_in_worker, recipe, seed + 1 + index)
        for index in range(configuration.hyperparameters.n_envs)
    ]
    return AsyncEval(makers, model.policy)


def _make_in_worker(recipe: EnvironmentRecipe, seed: int) -> VecEnv:
    leave_interrupts_to_the_parent()
    return make_envs(recipe, 1, seed, training=True)


def _masking(configuration: Configuration, env: VecEnv) -> dict[str, Any]:
    """MaskablePPO refuses an environment without masks, unless it is told."""
    return {"use_masking": has_action_masks(env)} if configuration.algorithm.masked else {}


def _load_replay_buffer(model: Any, path: Path, truncate_last_trajectory: bool) -> None:
    """As SB3's ``load_replay_buffer``, without running the pickle."""
    from stable_baselines3.common.buffers import ReplayBuffer
    from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

    try:
        buffer = pickles.loads(path.read_bytes())
    except pickles.pickle.UnpicklingError as error:
        raise pickles.refusal(str(path), str(error)) from None
    if not isinstance(buffer, ReplayBuffer):
        raise ConfigurationError(f"{path} holds no replay buffer, but a {type(buffer).__name__}")
    if isinstance(buffer, HerReplayBuffer):
        buffer.set_env(model.get_env())
        if truncate_last_trajectory:
            buffer.truncate_last_trajectory()
    buffer.device = model.device
    model.replay_buffer = buffer


def _as_text(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {name: grammar.to_text(value) if grammar.holds_symbol(value) else value for name, value in values.items()}


def _check_device(device: str) -> None:
    import torch

    if device == "auto":
        return
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigurationError(f"The device '{device}' is not there: {' '.join(str(error).split())[:120]}") from None


def _check_log_folder(folder: Path) -> None:
    existing = next((part for part in (folder, *folder.absolute().parents) if part.exists()), Path("/"))
    if not existing.is_dir():
        raise NotFoundError(f"The log folder {folder} cannot be made: {existing} is no folder")
    if not os.access(existing, os.W_OK):
        raise ConfigurationError(f"The log folder {folder} cannot be written to")


def _require_tensorboard() -> None:
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise MissingPackageError("A TensorBoard log", "tensorboard", "all") from None
