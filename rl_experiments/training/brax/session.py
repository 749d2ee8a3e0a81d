"""One training with Brax's PPO under way."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path
from typing import Any

from rl_experiments.algorithms.brax.networks import blank_parameters, put_right
from rl_experiments.algorithms.brax.policy import Policy, load_policy, save_policy
from rl_experiments.core.accelerated import choose_device
from rl_experiments.core.errors import RLExperimentsError, TrainingError
from rl_experiments.envs.brax.simulation import simulation
from rl_experiments.envs.workers import reason_of
from rl_experiments.evaluation import Evaluation
from rl_experiments.runs import FAILED, FINISHED, INTERRUPTED, Run, RunRecord, checkpoints
from rl_experiments.runs.checkpoints import Checkpoint
from rl_experiments.training.brax.checkpointing import BraxCheckpoints, facts_of, policy_of
from rl_experiments.training.brax.evaluating import BraxEvaluations
from rl_experiments.training.brax.learner import BraxLearner, LearnerState, load_brax
from rl_experiments.training.brax.preparation import PreparedBrax
from rl_experiments.training.brax.waiting import Progress
from rl_experiments.training.due import Due
from rl_experiments.training.early_stopping import StoppingRules
from rl_experiments.training.run_files import (
    TrainingResult,
    continue_configuration,
    resume_command,
    write_configuration,
)
from rl_experiments.training.stopping import StopRequest, to_stderr
from rl_experiments.training.supervision import Supervisor
from rl_experiments.training.threads import ThreadChoice
from rl_experiments.training.trackers import SafeTracker
from rl_experiments.training.tracking import numbers_of, start_tracker

_STOPPING = ("best_mean_reward", "n_without_improvement", "seconds_used")


class BraxTraining:
    """
    One training under way: the learner, its evaluations and checkpoints, and the run that they write to.

    :param prepared: the experiment
    :param run: what it leaves
    :param choice: stands in the run's record; JAX has threads of its own
    :param stop: once it has heard a signal, the training ends with the update
    :param start: the checkpoint of the run that it goes on from, or None
    :param again: whether the run has begun before, and has its record
    :param supervisor: follows it, if anybody does; evaluations come as often as it says
    """

    def __init__(
        self,
        prepared: PreparedBrax,
        run: Run,
        choice: ThreadChoice,
        stop: StopRequest,
        start: Checkpoint | None = None,
        again: bool = False,
        supervisor: Supervisor | None = None,
    ) -> None:
        self.experiment, self.configuration = prepared.experiment, prepared.configuration
        self.run = run
        self._prepared, self._choice, self._stop, self._start, self._again = prepared, choice, stop, start, again
        experiment = self.experiment
        total = self.configuration.n_timesteps
        self._progress = Progress(total, experiment.progress, experiment.verbose > 0)
        self._evaluations = BraxEvaluations(prepared, run, stop)
        self._checkpoints = BraxCheckpoints(run, self._evaluations, experiment.keep_last)
        self._stopping = StoppingRules(experiment.stop_at_reward, experiment.patience, experiment.max_time)
        self._supervisor = supervisor
        self._eval_freq = max(total // supervisor.n_evaluations, 1) if supervisor else experiment.eval_freq
        self._dues = {"evaluation": Due(self._eval_freq), "model": Due(experiment.save_freq)}
        self._learner: BraxLearner | None = None
        self._record: RunRecord | None = None
        self._tracker: SafeTracker | None = None
        self._state: LearnerState | None = None
        self._steps = self._saved_steps = 0
        self._compiling = self._seconds_before = 0.0
        self._began = time.perf_counter()

    @property
    def has_trained(self) -> bool:
        """Whether there is anything to keep."""
        return self._steps > 0

    def learn(self) -> TrainingResult:
        """Train and save; on an error, keep what there is as a checkpoint."""
        self._stop.check()
        self._begin()
        try:
            self._get_ready()
            self._stop.waits = True
            while self._goes_on():
                self._advance()
            if self._stop.signal is None and self._eval_freq > 0:
                self._evaluate_at_the_end()
        except Exception as error:
            self._fail(error)
        finally:
            self._progress.close()
        if not self.has_trained:
            self._stop.check()
        return self._end()

    def close(self) -> None:
        """Release the environment of the evaluations."""
        with contextlib.suppress(Exception, SystemExit):
            self._evaluations.close()
        if self._tracker is not None:
            self._tracker.finish(0 if self.has_trained else 1)
            self._tracker = None

    @property
    def _seconds(self) -> float:
        """Of training, compilation included."""
        return time.perf_counter() - self._began

    def _begin(self) -> None:
        facts = {"eval_seed": list(self._evaluations.seeds), "env_kwargs": dict(self._prepared.env_kwargs)}
        if not self._again:
            self._record = write_configuration(self._prepared, self.run, self._choice, facts)
            self._track()
            return
        self._record = continue_configuration(self._prepared, self.run, self._start.steps if self._start else 0)
        self._record.write()
        timings = self._record.content.get("timings", {})
        self._seconds_before = float(timings.get("training_seconds") or 0.0)
        self._track()

    def _track(self) -> None:
        assert self._record is not None
        saved = self.configuration.saved_hyperparameters
        self._tracker = start_tracker(self.experiment, saved, self.run, self._again, in_tensorboard=False)
        if self._tracker is not None:
            self._record.update(tracker=self._tracker.as_dict())

    def _get_ready(self) -> None:
        """Compile everything that will run, and score the policy that training begins with."""
        load_brax()
        prepared, seed = self._prepared, self.experiment.seed
        device = choose_device(self.experiment.device)
        self._learner = learner = BraxLearner(
            prepared.settings, self.configuration.n_envs, prepared.name, dict(prepared.env_kwargs), device, self._wait
        )
        kwargs = {**prepared.env_kwargs, **self.configuration.evaluation_recipe.kwargs}
        if self._eval_freq > 0:
            self._wait("the environment of the evaluations", lambda: simulation(prepared.name, kwargs))
        if self._start is not None:
            self._checkpoints.check(self._start)
            learner.compile(learner.blank())
            self._restore(self._start)
            self._evaluate_what_a_signal_ended()
        else:
            self._state = learner.begin(seed, self._parameters_to_begin_with())
            self._stop.check()
            self._evaluate_at(0)
            learner.compile(self._state)
        self._stop.check()
        self._stopping.begin()
        self._progress.begin(self._steps)

    def _wait(self, what: str, function: Any) -> Any:
        began = time.perf_counter()
        try:
            return self._progress.wait_for(what, function)
        finally:
            self._compiling += time.perf_counter() - began

    def _parameters_to_begin_with(self) -> Any:
        if not self.experiment.trained_agent:
            return None
        assert self._learner is not None
        blank = blank_parameters(self._learner.networks, self._prepared.synthetic.observation_space.sample())
        return put_right(load_policy(Path(self.experiment.trained_agent)).parameters, blank)

    def _restore(self, checkpoint: Checkpoint) -> None:
        assert self._learner is not None
        self._state, counters = self._checkpoints.restore(checkpoint, self._learner)
        self._steps = self._saved_steps = checkpoint.steps
        for name, value in counters["stopping"].items():
            setattr(self._stopping, name, -float("inf") if value is None else value)
        for name, due in self._dues.items():
            due.last = counters["dues"][name]
        self._evaluations.write()

    def _goes_on(self) -> bool:
        stopping = self._stopping
        return (
            self._stop.signal is None
            and stopping.reason is None
            and (not stopping.has_limits or stopping.goes_on())
            and self._steps < self.configuration.n_timesteps
        )

    def _advance(self) -> None:
        """One update, and what is due after it."""
        assert self._learner is not None
        assert self._state is not None
        settings, total = self._prepared.settings, self.configuration.n_timesteps
        rate = settings.learning_rate
        rate = float(rate(max(1 - self._steps / total, 0.0)) if callable(rate) else rate)
        self._state, metrics = self._learner.update(self._state, rate)
        self._steps += settings.steps_of_an_update
        if self._supervisor is not None:
            self._supervisor.progress(self._steps)
        ended = float(metrics["n_episodes"])
        self._progress.update(self._steps, float(metrics["sum_of_returns"]) / ended if ended else None)
        if self._dues["evaluation"].is_due(self._steps):
            self._evaluate_at(self._steps)
        elif self._dues["model"].is_due(self._steps) or self._is_late():
            self._save(None)
        self._dues["model"].pass_by(self._steps)

    def _is_late(self) -> bool:
        minutes = self.experiment.save_every
        return minutes is not None and time.monotonic() - self._checkpoints.written_at >= 60 * minutes

    def _evaluate_at(self, steps: int) -> None:
        due = self._dues["evaluation"]
        before = due.last
        due.pass_by(steps)
        if self._eval_freq <= 0:
            self._save(None)
            return
        policy = self._policy()
        result = self._evaluations.evaluate(policy)
        if result is None:
            due.last = before
            return
        self._evaluations.add(result, steps)
        self._stopping.hear(result)
        if self._tracker is not None:
            self._tracker.log(numbers_of(result), steps)
        if self._supervisor is not None and steps > 0:
            self._stopping.reason = self._supervisor.evaluated(steps, result) or self._stopping.reason
        if self.experiment.verbose > 0:
            self._progress.say(f"Evaluation: {_score(result)}, {self._progress.line()}")
        if self._evaluations.is_better(result):
            with contextlib.suppress(OSError):
                save_policy(policy, self.run.best_model)
        self._save(result, policy)

    def _evaluate_what_a_signal_ended(self) -> None:
        played = self._evaluations.timesteps[-1:] == [self._steps]
        if self._dues["evaluation"].is_due(self._steps) and not played:
            self._evaluate_at(self._steps)

    def _evaluate_at_the_end(self) -> None:
        if self._evaluations.timesteps[-1:] != [self._steps]:
            self._evaluate_at(self._steps)

    def _policy(self) -> Policy:
        assert self._state is not None
        return policy_of(self._prepared, self._state.parameters, self._steps)

    def _save(self, result: Evaluation | None, policy: Policy | None = None) -> None:
        """A checkpoint, the evaluations and the record; a moment without the disk is no end of a training."""
        assert self._state is not None
        stopping = {name: _plain(getattr(self._stopping, name)) for name in _STOPPING}
        counters = {
            "best_mean_reward": _plain(self._evaluations.best_mean_reward),
            "stopping": stopping,
            "dues": {name: due.last for name, due in self._dues.items()},
        }
        facts = facts_of(result, self._evaluations.seeds, self._seconds + self._seconds_before)
        policy = policy or self._policy()
        if self._checkpoints.write(policy, self._state, self._steps, counters, facts):
            self._saved_steps = self._steps
        with contextlib.suppress(OSError):
            self._evaluations.write()
            assert self._record is not None
            self._record.update(steps=self._steps, **self._evaluations.scores)

    def _end(self) -> TrainingResult:
        number = self._stop.signal
        status = FINISHED if number is None else INTERRUPTED
        reason = self._stopping.reason if number is None else signal.Signals(number).name
        policy, seconds = self._policy(), self._seconds
        try:
            save_policy(policy, self.run.final_model)
            if self._saved_steps != self._steps:
                self._save(None, policy)
            self._finish(status, reason)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._finish(FAILED, reason_of(error))
            raise TrainingError(
                f"Training ended after {self._steps} steps, but {self.run.path} cannot be written: {reason_of(error)}"
            ) from error
        if self.experiment.verbose > 0:
            self._tell(status, reason)
        if number is not None:
            self._tell_how_to_resume()
        return TrainingResult(self.run, policy, status, self._steps, seconds, number, reason)

    def _tell(self, status: str, reason: str | None) -> None:
        why = f"Stopped: {reason}. " if status == FINISHED and reason is not None else ""
        seconds = self._seconds
        print(f"{why}Trained for {self._steps:,} steps in {seconds:.1f} s, {self._compiling:.1f} s of it compiling")
        print(f"Saved to {self.run.path}")

    def _tell_how_to_resume(self) -> None:
        resumable = checkpoints.latest(self.run, to_stderr)
        if resumable is not None:
            print(f"It goes on at {resumable.steps} steps with: {resume_command(self.run.path)}")

    def _fail(self, error: Exception) -> None:
        reason = reason_of(error)
        if not self.has_trained:
            if isinstance(error, RLExperimentsError):
                raise error
            raise TrainingError(f"Training failed before its first step: {reason}") from error
        kept, resumable = "", checkpoints.latest(self.run, to_stderr)
        if resumable is not None:
            kept = f". It goes on at {resumable.steps} steps with: {resume_command(self.run.path)}"
        with contextlib.suppress(OSError):
            self._finish(FAILED, reason)
        raise TrainingError(f"Training failed after {self._steps} steps: {reason}{kept}") from error

    def _finish(self, status: str, reason: str | None) -> None:
        assert self._record is not None
        seconds = self._seconds + self._seconds_before
        self._record.content["timings"].update(
            training_seconds=round(seconds, 3),
            steps_per_second=round(self._steps / max(seconds, 1e-9), 2),
            compiling_seconds=round(self._compiling, 3),
            saving_seconds=round(self._checkpoints.seconds, 3),
        )
        self._record.finish(status, reason, steps=self._steps, **self._evaluations.scores)


def _score(result: Evaluation) -> str:
    return f"return {result.returns.mean():.2f} +/- {result.returns.std():.2f} over {len(result.episodes)} episodes"


def _plain(value: float) -> float | None:
    """JSON has no infinity."""
    return value if abs(value) < float("inf") else None
