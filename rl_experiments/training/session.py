"""One training under way."""

from __future__ import annotations

import contextlib
import errno
import signal
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.algorithms.sb3 import SB3Agent, build_model, continue_model
from rl_experiments.core.errors import RLExperimentsError, TrainingError
from rl_experiments.core.files import replacing
from rl_experiments.envs import make_envs
from rl_experiments.envs.workers import reason_of
from rl_experiments.recording.background import Outcome
from rl_experiments.runs import FAILED, FINISHED, INTERRUPTED, Run, RunRecord, checkpoints
from rl_experiments.runs.checkpoints import Checkpoint
from rl_experiments.training import threads
from rl_experiments.training.buffers import take_replay_buffer
from rl_experiments.training.callbacks import (
    KeepRecord,
    PeriodicCheckpoint,
    Progress,
    RefuseNaN,
    StopWhenAsked,
    save_with_statistics,
)
from rl_experiments.training.capturing import TrainingState
from rl_experiments.training.checkpointing import DEFAULT_SAVE_FREQ, ResumableCheckpoints, Schedule
from rl_experiments.training.configuration import EVALUATION_SEED_OFFSET
from rl_experiments.training.early_stopping_callback import EarlyStopping, StoppedEarly
from rl_experiments.training.evaluation_process import Games
from rl_experiments.training.evaluations_beside import EvaluationsBeside
from rl_experiments.training.learning import (
    Evaluators,
    continue_iterations,
    continue_log,
    learn_arguments,
)
from rl_experiments.training.periodic_evaluation import PeriodicEvaluation
from rl_experiments.training.preparation import Prepared
from rl_experiments.training.resolving import make_callbacks
from rl_experiments.training.run_files import (
    TrainingResult,
    continue_configuration,
    resume_command,
    write_configuration,
)
from rl_experiments.training.settings import WANDB
from rl_experiments.training.stopping import StopRequest, to_stderr
from rl_experiments.training.supervision import Supervisor
from rl_experiments.training.supervision_callback import Supervision
from rl_experiments.training.trackers import SafeTracker
from rl_experiments.training.tracking import TRACKER_TAG, show_in_tensorboard, start_tracker
from rl_experiments.training.tracking_callback import TrackingCallback
from rl_experiments.training.videos import PeriodicVideo, TrainingVideos

_OURS = __name__.partition(".")[0]


class Training:
    """
    One training under way: environments, model and callbacks, and the run that they write to.

    :param start: the checkpoint of the run that it goes on from, or None
    :param again: whether the run has begun before, and has its record
    :param supervisor: follows it, if anybody does; evaluations come as often as it says
    """

    def __init__(
        self,
        prepared: Prepared,
        run: Run,
        choice: threads.ThreadChoice,
        stop: StopRequest,
        start: Checkpoint | None = None,
        again: bool = False,
        supervisor: Supervisor | None = None,
    ) -> None:
        self.experiment = prepared.experiment
        self.configuration = prepared.configuration
        self.run = run
        self._learning = False
        self._choice = choice
        self._prepared = prepared
        self._environments: list[VecEnv] = []
        self._evaluators: Evaluators | None = None
        self._tracker: SafeTracker | None = None
        self._evaluation: PeriodicEvaluation | None = None
        self._supervisor = supervisor
        self._supervision: Supervision | None = None
        self._progress: Progress | None = None
        self._videos: TrainingVideos | None = None
        self._record: RunRecord | None = None
        self._stop = stop
        self._early_stopping = EarlyStopping(by_raising=self._ignores_callbacks)
        self._set_limits()
        self._start = start
        self._again = again
        self._seconds_before = 0.0
        try:
            self._start_videos()
            self._start_tracking()
            self.env = self._make_envs(self.configuration.n_envs, training=True)
            self.model = self._make_model()
            self.callbacks = self._make_callbacks()
        except BaseException:
            self.close()
            raise

    @property
    def has_trained(self) -> bool:
        """Whether there is anything to keep."""
        return self._learning and self.model.num_timesteps > 0 and not self._checkpoints.waits_for_start

    @property
    def _ignores_callbacks(self) -> bool:
        return self.configuration.algorithm.name == "ars"

    def learn(self) -> TrainingResult:
        """Train and save; on an error of the environment or the algorithm, keep the model as a checkpoint."""
        if self._again:
            self._continue_configuration(0 if self._start is None else self._start.steps)
        else:
            self._record = write_configuration(self._prepared, self.run, self._choice)
        if self._tracker is not None and self._record is not None:
            self._record.update(tracker=self._tracker.as_dict())
        if self._start is not None:
            continue_log(self.model, self.run, self._start)
        arguments = learn_arguments(self.experiment, self.configuration, self.env, self.model)
        if self._start is not None:
            continue_iterations(self.model, arguments, self._start.steps)
        self._evaluators = arguments.get("async_eval")
        self.model.num_timesteps = 0
        self._learning = True
        started = time.perf_counter()
        try:
            try:
                with contextlib.suppress(StoppedEarly):
                    self.model.learn(self.configuration.n_timesteps, callback=CallbackList(self.callbacks), **arguments)
            finally:
                # What follows is saving, which a signal must not end.
                self._stop.waits = self.has_trained
            if self._evaluation is not None:
                self._evaluation.settle()
        except KeyboardInterrupt:
            if not self.has_trained:
                raise
            self._stop.signal = self._stop.signal or signal.SIGINT
            to_stderr(f"{signal.Signals(self._stop.signal).name}: stopped, saving")
        except BaseException as error:
            if self._stop.signal is None or not self.has_trained:
                self._fail(error, time.perf_counter() - started)
        return self._end(time.perf_counter() - started)

    def _end(self, seconds: float) -> TrainingResult:
        number = self._stop.signal
        if self._evaluation is not None:
            self._evaluation.close()
        status = FINISHED if number is None else INTERRUPTED
        reason = self._reason() if number is None else signal.Signals(number).name
        steps = self.model.num_timesteps
        try:
            self._save()
            resumable = None if number is None else self._checkpoints.save_last()
            self._finish(status, seconds, reason)
        except OSError as error:
            self._record_failure(error, seconds)
            last = checkpoints.latest(self.run, to_stderr)
            raise TrainingError(
                f"Training ended after {steps} steps, but {self.run.path} cannot be written: {reason_of(error)}"
                f"{self._space(error)}{'' if last is None else f'. {self._how_to_go_on(last)}'}"
            ) from error
        if self.experiment.verbose > 0:
            if number is None and reason is not None:
                print(f"Stopped after {steps} steps: {reason}")
            print(f"Saved to {self.run.path}")
        if resumable is not None:
            print(self._how_to_go_on(resumable))
        elif number is not None:
            print(f"It has no checkpoint yet, and begins again with: {resume_command(self.run.path)}")
        if self._videos is not None:
            self._videos.finish()
        return TrainingResult(self.run, self.model, status, steps, seconds, self._stop.signal, reason)

    def _reason(self) -> str | None:
        """:return: why it ended before its budget was spent"""
        return self._early_stopping.reason or (None if self._supervision is None else self._supervision.reason)

    def close(self) -> None:
        """Release the environments and the tracker."""
        if self._progress is not None:
            self._progress.close()
        if self._videos is not None:
            self._videos.close()
        closing = [] if self._evaluation is None else [self._evaluation.close]
        closing += [env.close for env in self._environments]
        if self._evaluators is not None:
            closing.append(self._evaluators.close)
        for close in closing:
            with contextlib.suppress(Exception, SystemExit):  # nothing of the environment's is needed any more
                close()
        self._environments.clear()
        if self._tracker is not None:
            self._tracker.finish(0 if self.has_trained else 1)
            self._tracker = None

    def _make_envs(self, n_envs: int, training: bool) -> VecEnv:
        configuration, experiment = self.configuration, self.experiment
        recipe = configuration.recipe if training else configuration.evaluation_recipe
        if self._start is not None:
            recipe = replace(recipe, monitor_kwargs={**recipe.monitor_kwargs, "override_existing": False})
        env = make_envs(
            recipe,
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
        if self._start is not None:
            return model
        taken = [f"the model {path}"]
        if configuration.recipe.statistics is not None:
            taken.append(f"normalisation {configuration.recipe.statistics}")
        if configuration.algorithm.off_policy:
            buffer = take_replay_buffer(model, path, experiment.truncate_last_trajectory, configuration.trust)
            taken += [] if buffer is None else [buffer]
        print(f"Going on from {', '.join(taken)}")
        return model

    def _tensorboard_folder(self) -> str | None:
        if self._tracker is not None and self._tracker.kind == WANDB:
            return f"runs/{self._tracker.name}/{self.run.env_name}"
        return (
            str(Path(self.experiment.tensorboard_log) / self.run.env_name) if self.experiment.tensorboard_log else None
        )

    def _make_callbacks(self) -> list[BaseCallback]:
        experiment, configuration = self.experiment, self.configuration
        callbacks = make_callbacks(configuration.hyperparameters, configuration.trust)
        # Callbacks are called once for a step of all environments; those that score ARS's candidates count too.
        steps_per_call = configuration.hyperparameters.n_envs
        if experiment.save_freq > 0:
            freq = max(experiment.save_freq // steps_per_call, 1)
            callbacks.append(
                PeriodicCheckpoint(
                    self.run, freq, experiment.save_replay_buffer, experiment.verbose, experiment.keep_last
                )
            )
        eval_freq = self._eval_freq()
        if eval_freq > 0:
            self._evaluation = self._make_evaluation(max(eval_freq // steps_per_call, 1), callbacks)
            callbacks.append(self._evaluation)
        if self._early_stopping.has_limits:
            callbacks.append(self._early_stopping)
        self._checkpoints = self._make_checkpoints(callbacks)
        around: list[BaseCallback] = [RefuseNaN()]
        if experiment.progress:
            self._progress = Progress(configuration.n_timesteps)
            around.append(self._progress)
        if self._tracker is not None:
            around.append(TrackingCallback(self._tracker))
        if self._videos is not None:
            period = max(experiment.video_freq // steps_per_call, 1) * steps_per_call
            around.append(PeriodicVideo(self._videos, period, save_with_statistics))
        stopper = StopWhenAsked(self._stop, self._ignores_callbacks, self._checkpoints.wait)
        record = KeepRecord(self._keep_record, self._evaluation)
        if self._supervisor is not None and self._evaluation is not None:
            self._supervision = Supervision(self._supervisor, self._evaluation, self._ignores_callbacks)
        supervision = [] if self._supervision is None else [self._supervision]
        return [*around, *callbacks, record, *supervision, stopper, self._checkpoints]

    def _make_evaluation(self, freq: int, callbacks: list[BaseCallback]) -> PeriodicEvaluation:
        experiment, configuration = self.experiment, self.configuration
        games = Games(
            SB3Agent(self.model, configuration.algorithm),
            self._make_envs(experiment.n_eval_envs, training=False),
            experiment.eval_episodes,
            not configuration.recipe.acts_stochastically,
            experiment.seed,
            configuration.trust,
        )
        beside = EvaluationsBeside(
            games, experiment.eval_in_background, self._choice.count, self._waits_for_evaluations(callbacks)
        )
        return PeriodicEvaluation(
            games, beside, self.run, freq, experiment.verbose, on_evaluation=self._early_stopping.hear, stop=self._stop
        )

    def _waits_for_evaluations(self, callbacks: list[BaseCallback]) -> str | None:
        """:return: who has to know the result of an evaluation before the training goes on"""
        experiment = self.experiment
        if experiment.stop_at_reward is not None or experiment.patience is not None:
            return "its end depends on them (--stop-at-reward, --patience)"
        if self._supervisor is not None:
            return "who tunes may end it after each"
        others = [type(callback) for callback in callbacks if type(callback).__module__.partition(".")[0] != _OURS]
        return f"the callback {others[0].__qualname__} may look at them" if others else None

    def _eval_freq(self) -> int:
        if self._supervisor is None:
            return self.experiment.eval_freq
        return max(self.configuration.n_timesteps // self._supervisor.n_evaluations, 1)

    def _make_checkpoints(self, callbacks: list[BaseCallback]) -> ResumableCheckpoints:
        """Callbacks that only look have no state that a checkpoint would hold."""
        experiment, evaluation = self.experiment, self._evaluation
        minutes = experiment.save_every
        return ResumableCheckpoints(
            self.run,
            lambda: TrainingState(
                self.model, self.env, None if evaluation is None else evaluation.games.env, callbacks
            ),
            Schedule(
                experiment.save_freq if experiment.save_freq > 0 else DEFAULT_SAVE_FREQ,
                None if minutes is None else minutes * 60,
            ),
            experiment.seed,
            self._start,
            lambda: {"score": None} if evaluation is None else evaluation.facts,
            self._tell,
            self._on_restore,
            self._stop,
            lambda: evaluation is None or evaluation.renew(),
        )

    def _set_limits(self) -> None:
        """They may be other ones than those of the checkpoint."""
        experiment = self.experiment
        self._early_stopping.limit(experiment.stop_at_reward, experiment.patience, experiment.max_time)

    def _tell(self, remarks: list[str]) -> None:
        """Say what a resumed run will be like, and keep it in the run's record."""
        assert self._record is not None
        known = self._record.content.setdefault("remarks", [])
        for remark in remarks:
            if self.experiment.verbose > 0:
                print(f"Note: {remark}")
            if remark not in known:
                known.append(remark)
        if remarks and self._start is None:
            self._record.write()

    def _on_restore(self) -> None:
        """From here on the run is what the checkpoint says, and goes on."""
        assert self._record is not None
        self._record.write()
        self._set_limits()
        if self._evaluation is not None:
            self._evaluation.rewrite()
        if self._progress is not None:
            self._progress.begin(self.model.num_timesteps)

    def _keep_record(self) -> None:
        assert self._record is not None
        self._record.update(steps=int(self.model.num_timesteps), **self._facts())

    def _facts(self) -> dict[str, Any]:
        """What of the run's record changes while it trains."""
        return self._scores() if self._videos is None else {**self._scores(), "videos": self._videos.written}

    def _scores(self) -> dict[str, float | None]:
        return {} if self._evaluation is None else self._evaluation.scores

    def _continue_configuration(self, done: int) -> None:
        """The record is written when the training is where the checkpoint was: until then, the run is as it was."""
        self._record = continue_configuration(self._prepared, self.run, done)
        self._seconds_before = float(self._record.content.get("timings", {}).get("training_seconds") or 0.0)
        if self._videos is not None:
            self._videos.remember(self._record.content.get("videos") or [])
        if self._start is None:
            self._on_restore()

    def _save(self) -> None:
        save_with_statistics(self.model, self.run.final_model, self.run.final_statistics)
        buffer = getattr(self.model, "replay_buffer", None)
        if self.experiment.save_replay_buffer and buffer is not None:
            with replacing(self.run.path / "replay_buffer.pkl") as temporary:
                self.model.save_replay_buffer(temporary)

    def _fail(self, error: BaseException, seconds: float) -> None:
        if self._evaluators is not None and isinstance(error, (EOFError, ConnectionError)):
            error = self._evaluators.failure()
        steps, reason = self.model.num_timesteps, reason_of(error)
        if self._evaluation is not None:
            with contextlib.suppress(Exception):  # one error is enough
                self._evaluation.settle()
            self._evaluation.close()
        if not self.has_trained:
            if isinstance(error, RLExperimentsError):
                raise error
            raise TrainingError(f"Training failed before its first step: {reason}") from error
        path = self.run.checkpoint(steps)
        try:
            save_with_statistics(self.model, path, self.run.checkpoint_statistics(steps))
            kept = f"The model of that moment is {path}"
        except Exception as unsaved:
            kept = f"The model of that moment cannot be saved: {reason_of(unsaved)}"
        resumable = self._checkpoints.save_last()
        if resumable is not None:
            kept += f". {self._how_to_go_on(resumable)}"
        self._record_failure(error, seconds)
        raise TrainingError(f"Training failed after {steps} steps: {reason}{self._space(error)}. {kept}") from error

    def _space(self, error: BaseException) -> str:
        """:return: what a full disk lacks"""
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        return f". {self._checkpoints.space()}" if is_full else ""

    def _how_to_go_on(self, resumable: Checkpoint) -> str:
        text = f"It goes on at {resumable.steps} steps with: {resume_command(self.run.path)}"
        newer = checkpoints.newer_than(self.run, resumable)
        if newer is None:
            return text if resumable.exact else f"{text} (with new episodes in its environments)"
        return (
            f"{text} (as if it had not been stopped), or at {newer.steps} steps, with new episodes in its environments,"
            f" with: {resume_command(newer.path)}"
        )

    def _record_failure(self, error: BaseException, seconds: float) -> None:
        """On a full disk the record may have to stay as it is."""
        reason = reason_of(error)
        # They hold a half-written file open, and with it the space that the record needs.
        traceback.clear_frames(error.__traceback__)
        with contextlib.suppress(OSError):
            self._finish(FAILED, seconds, reason)

    def _finish(self, status: str, seconds: float, reason: str | None) -> None:
        assert self._record is not None
        steps = int(self.model.num_timesteps)
        seconds += self._seconds_before
        self._record.content["timings"].update(
            training_seconds=round(seconds, 3), steps_per_second=round(steps / max(seconds, 1e-9), 2)
        )
        self._record.finish(status, reason, steps=steps, **self._facts())

    def _start_videos(self) -> None:
        """First of all: the process that records shall have nothing of the training's."""
        experiment = self.experiment
        if experiment.video_freq <= 0:
            return
        shown = bool(experiment.tensorboard_log or experiment.track)
        self._videos = TrainingVideos(experiment, self.configuration, self.run, self._stop, previews=shown)
        self._videos.on_video = [self._show, lambda _: self._keep_record()]

    def _show(self, outcome: Outcome) -> None:
        """A video that was made, in the trackers that are on."""
        if outcome.preview is not None:
            show_in_tensorboard(self.model.logger, outcome.preview, outcome.order.steps)
        if self._tracker is not None and outcome.video is not None:
            self._tracker.log_video(TRACKER_TAG, outcome.video, outcome.order.steps)

    def _start_tracking(self) -> None:
        configuration = self.configuration
        self._tracker = start_tracker(self.experiment, configuration.saved_hyperparameters, self.run, self._again)
