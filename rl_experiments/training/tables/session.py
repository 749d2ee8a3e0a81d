"""One training of a table under way."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_experiments.algorithms.tabular.compiled import CompiledLearner
from rl_experiments.algorithms.tabular.learning import Learner
from rl_experiments.algorithms.tabular.planning import Model
from rl_experiments.algorithms.tabular.table import Table, load_table, save_table
from rl_experiments.core.errors import MissingPackageError, RLExperimentsError, TrainingError
from rl_experiments.core.progress import progress_bar
from rl_experiments.envs.workers import reason_of
from rl_experiments.evaluation import Evaluation
from rl_experiments.runs import FAILED, FINISHED, INTERRUPTED, Run, RunRecord, checkpoints
from rl_experiments.runs.checkpoints import Checkpoint
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
from rl_experiments.training.tables.checkpointing import TableCheckpoints
from rl_experiments.training.tables.episodes import EpisodeLog
from rl_experiments.training.tables.evaluating import TableEvaluations
from rl_experiments.training.tables.learners import make_learner
from rl_experiments.training.tables.milestones import Milestones
from rl_experiments.training.tables.preparation import PreparedTable
from rl_experiments.training.threads import ThreadChoice
from rl_experiments.training.trackers import SafeTracker
from rl_experiments.training.tracking import TRACKER_TAG, numbers_of, start_tracker

if TYPE_CHECKING:
    from rl_experiments.recording.background import Outcome as RecordingOutcome
    from rl_experiments.training.videos import TrainingVideos

_BETWEEN_WRITES = 1.0
"""Seconds between two times that files are written: an evaluation over a table takes less than the disk."""


class TableTraining:
    """
    One training under way: the learner, its evaluations and checkpoints, and the run that they write to.

    :param prepared: the experiment
    :param run: what it leaves
    :param choice: stands in the run's record; a table needs one thread
    :param stop: once it has heard a signal, the training ends with the episode
    :param start: the checkpoint of the run that it goes on from, or None
    :param again: whether the run has begun before, and has its record
    :param supervisor: follows it, if anybody does; evaluations come as often as it says
    """

    def __init__(
        self,
        prepared: PreparedTable,
        run: Run,
        choice: ThreadChoice,
        stop: StopRequest,
        start: Checkpoint | None = None,
        again: bool = False,
        supervisor: Supervisor | None = None,
    ) -> None:
        self.experiment, self.configuration = prepared.experiment, prepared.configuration
        self.run = run
        self._prepared = self._as_begun(prepared) if again else prepared
        self._choice, self._stop, self._start, self._again = choice, stop, start, again
        self._settings = prepared.settings
        self._videos = self._start_videos()
        self._learner = self._make_learner()
        self._evaluations = TableEvaluations(self._prepared, run, stop)
        experiment = self.experiment
        self._video_due = Due(experiment.video_freq)
        self._stopping = StoppingRules(experiment.stop_at_reward, experiment.patience, experiment.max_time)
        self._dues = {"evaluation": Due(0 if supervisor else experiment.eval_freq), "model": Due(experiment.save_freq)}
        self._checkpoints = TableCheckpoints(
            run,
            self._learner,
            self._evaluations,
            self._stopping,
            self._dues,
            self._facts(),
            None if experiment.save_every is None else 60 * experiment.save_every,
        )
        steps = self.configuration.n_timesteps
        self._milestones = None if supervisor is None else Milestones(supervisor, prepared.budget, steps)
        self._models: list[Path] = []
        self._best: Table | None = None
        self._log: EpisodeLog | None = None
        self._record: RunRecord | None = None
        self._tracker: SafeTracker | None = None
        self._written_at = 0.0
        self._seconds_before = 0.0

    @property
    def has_trained(self) -> bool:
        """Whether there is anything to keep."""
        return self._learner.steps > 0

    def learn(self) -> TrainingResult:
        """Train and save; on an error of the environment, keep the table as a checkpoint."""
        self._begin()
        started = time.perf_counter()
        bar = progress_bar(self.configuration.n_timesteps, "training", "step", self.experiment.progress)
        try:
            self._stop.waits = True
            while self._goes_on():
                self._advance()
                bar.update(self._learner.steps - bar.n)
            if self._stop.signal is None and self.experiment.eval_freq > 0:
                self._evaluate_at_the_end()
        except Exception as error:
            self._fail(error, time.perf_counter() - started)
        finally:
            bar.close()
        if not self.has_trained:
            self._stop.check()
        return self._end(time.perf_counter() - started)

    def close(self) -> None:
        """Release the environments and the log."""
        for part in (self._learner, self._evaluations, self._log, self._videos):
            if part is not None:
                with contextlib.suppress(Exception, SystemExit):
                    part.close()
        if self._tracker is not None:
            self._tracker.finish(0 if self.has_trained else 1)
            self._tracker = None

    def _make_learner(self) -> Learner:
        path = self.experiment.trained_agent
        values = load_table(Path(path)).values if path and self._start is None else None
        return make_learner(self._prepared, lambda: self._stop.signal is not None or self._checkpoints.is_due, values)

    def _as_begun(self, prepared: PreparedTable) -> PreparedTable:
        """A run goes on as it began, since the two learners draw other random numbers."""
        if RunRecord.read(self.run).get("learner") != CompiledLearner.name:
            return replace(prepared, compiled=False)
        if not prepared.compiled:
            raise MissingPackageError(f"The run {self.run.path}, which was trained compiled,", "numba", "tabular")
        return prepared

    def _facts(self) -> dict[str, Any]:
        settings = self._settings
        return {"variant": settings.variant, "epsilon": settings.min_epsilon, "environment": self.experiment.env}

    def _begin(self) -> None:
        self._stop.check()
        facts = {"learner": self._learner.name, "n_episodes": self._prepared.budget.episodes}
        if self._again:
            self._go_on(facts)
        else:
            self._record = write_configuration(self._prepared, self.run, self._choice, facts)
        self._track()
        self._log = EpisodeLog(self.run.path / "0.monitor.csv", self.experiment.env, self._start is not None)
        self._stopping.begin()
        self._written_at = time.monotonic()

    def _track(self) -> None:
        assert self._record is not None
        saved = self.configuration.saved_hyperparameters
        self._tracker = start_tracker(self.experiment, saved, self.run, self._again, in_tensorboard=False)
        if self._tracker is not None:
            self._record.update(tracker=self._tracker.as_dict())

    def _go_on(self, facts: dict[str, Any]) -> None:
        """From the checkpoint, or from the beginning where the run has none yet."""
        if self._start is not None:
            self._checkpoints.restore(self._start)
        self._record = continue_configuration(self._prepared, self.run, self._learner.steps)
        self._record.content.update(facts)
        self._record.write()
        self._video_due.last = self._learner.steps
        if self._videos is not None:
            self._videos.remember(self._record.content.get("videos") or [])
        self._seconds_before = float(self._record.content.get("timings", {}).get("training_seconds") or 0.0)
        self._evaluations.write()

    def _goes_on(self) -> bool:
        stopping = self._stopping
        return (
            self._stop.signal is None
            and self._reason is None
            and (not stopping.has_limits or stopping.goes_on())
            and not self._prepared.budget.is_spent(self._learner.episode, self._learner.steps)
        )

    @property
    def _reason(self) -> str | None:
        """Why it ends before its budget is spent."""
        return self._stopping.reason or (None if self._milestones is None else self._milestones.reason)

    def _advance(self) -> None:
        """To the next evaluation or model, or until a checkpoint is due."""
        assert self._log is not None
        if not self._dues["evaluation"].is_due(self._learner.steps):  # it is, where a signal had ended the evaluation
            self._log.add(self._learner.advance(self._next_stop()))
        steps = self._learner.steps
        if self._dues["evaluation"].is_due(steps):
            self._evaluate()
        if self._milestones is not None and self._milestones.is_due(self._learner.episode, steps):
            self._evaluate()
        if self._dues["model"].is_due(steps):
            self._dues["model"].last = steps
            self._save_model()
            self._write_checkpoint()
        elif self._checkpoints.is_due:
            self._write_checkpoint()
        if self._videos is not None:
            self._record_video(self._videos, steps)

    def _next_stop(self) -> int:
        """:return: steps at which something is due next"""
        following = [due.next for due in (*self._dues.values(), self._video_due) if due.next is not None]
        if self._milestones is not None:
            following.append(self._learner.steps + self._milestones.moment)
        return min(following, default=sys.maxsize)

    def _start_videos(self) -> TrainingVideos | None:
        experiment, seeds = self.experiment, self._settings.eval_seed
        if experiment.video_freq <= 0:
            return None
        from rl_experiments.training.videos import TrainingVideos

        seed = seeds[0] if seeds else None
        videos = TrainingVideos(experiment, self.configuration, self.run, self._stop, seed)
        videos.on_video += [lambda _: self._write_results(), self._show]
        return videos

    def _show(self, outcome: RecordingOutcome) -> None:
        if self._tracker is not None and outcome.video is not None:
            self._tracker.log_video(TRACKER_TAG, outcome.video, outcome.order.steps)

    def _record_video(self, videos: TrainingVideos, steps: int) -> None:
        if self._video_due.is_due(steps):
            self._video_due.last = steps
            videos.order(steps, lambda model, _: save_table(self._table(), model))
        videos.look()

    def _table(self) -> Table:
        state = self._learner.state()
        facts = {**self._facts(), "episode": state.episode, "steps": state.steps}
        return Table(state.values, {**facts, "epsilon": self._settings.epsilon(state.episode)})

    def _evaluate(self) -> None:
        table, steps = self._table(), self._learner.steps
        result = self._evaluations.evaluate(table, steps)
        if result is None:
            return
        self._dues["evaluation"].last = steps
        self._stopping.hear(result)
        if self._tracker is not None:
            self._tracker.log(numbers_of(result, self._learner.episode), steps)
        if self._milestones is not None:
            self._milestones.hear(steps, result)
        if self.experiment.verbose > 0 and not self._prepared.compiled:
            print(f"Eval num_timesteps={steps}, {_score(result)}")
        if self._evaluations.is_better(result):
            self._best = table
        if time.monotonic() - self._written_at >= _BETWEEN_WRITES:
            self._write_results()

    def _evaluate_at_the_end(self) -> None:
        if not self._evaluations.timesteps or self._evaluations.timesteps[-1] != self._learner.steps:
            self._evaluate()

    def _write_results(self) -> None:
        """The best table, the evaluations and the record; a moment without the disk is no end of a training."""
        with contextlib.suppress(OSError):
            if self._best is not None:
                save_table(self._best, self.run.best_model)
                self._best = None
            self._evaluations.write()
            assert self._record is not None
            self._record.update(steps=self._learner.steps, episodes=self._learner.episode, **self._facts_of_now())
        self._written_at = time.monotonic()

    def _facts_of_now(self) -> dict[str, Any]:
        """What of the run's record changes while it trains."""
        scores = self._evaluations.scores
        return dict(scores) if self._videos is None else {**scores, "videos": self._videos.written}

    def _write_checkpoint(self) -> None:
        assert self._log is not None
        self._write_results()
        self._checkpoints.write(self._log.size)

    def _save_model(self) -> None:
        path = self.run.checkpoint(self._learner.steps)
        save_table(self._table(), path)
        self._models.append(path)
        keep = self.experiment.keep_last
        while keep is not None and len(self._models) > keep:
            self._models.pop(0).unlink(missing_ok=True)

    def _end(self, seconds: float) -> TrainingResult:
        number = self._stop.signal
        status = FINISHED if number is None else INTERRUPTED
        reason = self._reason if number is None else signal.Signals(number).name
        table, steps = self._table(), self._learner.steps
        try:
            save_table(table, self.run.final_model)
            self._write_checkpoint()
            self._finish(status, seconds, reason, self._compared(table) if number is None else {})
        except OSError as error:
            with contextlib.suppress(OSError):
                self._finish(FAILED, seconds, reason_of(error), {})
            raise TrainingError(
                f"Training ended after {steps} steps, but {self.run.path} cannot be written: {reason_of(error)}"
            ) from error
        if self.experiment.verbose > 0:
            self._tell(status, reason)
        if number is not None:
            self._tell_how_to_resume()
        if self._videos is not None:
            self._videos.finish()
        return TrainingResult(self.run, table, status, steps, seconds, number, reason)

    def _compared(self, table: Table) -> dict[str, Any]:
        """What was learned beside the optimum, both exact, where the environment exposes its transitions."""
        if self._prepared.transitions is None:
            return {}
        model, longest = Model(self._prepared.transitions), self._settings.max_steps
        optimum = model.optimum(longest)
        found: dict[str, Any] = {
            "optimal_return": optimum.value,
            "expected_return": model.expected_return(table.greedy(), longest),
        }
        if self._evaluations.evaluations:
            played = self._evaluations.play(_table_of(optimum.actions, table))
            if len(played.episodes) == self._evaluations.n_episodes:  # fewer after a signal
                found["optimal_score"] = [played.mean_reward, played.std_reward]
        return found

    def _tell(self, status: str, reason: str | None) -> None:
        assert self._record is not None
        content = self._record.content
        learned = f"{self._learner.episode:,} episodes, {self._learner.steps:,} steps"
        if status == FINISHED and reason is not None:
            print(f"Stopped after {learned}: {reason}")
        else:
            print(f"Trained for {learned}")
        if status == FINISHED and self._evaluations.evaluations:
            print(f"Score: {_score(self._evaluations.evaluations[-1])}")
            if "optimal_score" in content:
                mean, std = content["optimal_score"]
                print(f"Value iteration in the same episodes: {mean:.2f} +/- {std:.2f}, mean - std {mean - std:.3f}")
        if "optimal_return" in content:
            print(
                f"Expected return of the greedy policy, exactly: {content['expected_return']:.4f};"
                f" of the best policy that value iteration finds: {content['optimal_return']:.4f}"
            )
        print(f"Saved to {self.run.path}")

    def _tell_how_to_resume(self) -> None:
        resumable = checkpoints.latest(self.run, to_stderr)
        if resumable is not None:
            print(f"It goes on at {resumable.steps} steps with: {resume_command(self.run.path)}")

    def _fail(self, error: Exception, seconds: float) -> None:
        steps, reason = self._learner.steps, reason_of(error)
        if not self.has_trained:
            if isinstance(error, RLExperimentsError):
                raise error
            raise TrainingError(f"Training failed before its first step: {reason}") from error
        kept = ""
        with contextlib.suppress(OSError):
            self._write_checkpoint()
            kept = f". It goes on at {steps} steps with: {resume_command(self.run.path)}"
        with contextlib.suppress(OSError):
            self._finish(FAILED, seconds, reason, {})
        raise TrainingError(f"Training failed after {steps} steps: {reason}{kept}") from error

    def _finish(self, status: str, seconds: float, reason: str | None, found: dict[str, Any]) -> None:
        assert self._record is not None
        seconds += self._seconds_before
        steps = self._learner.steps
        self._record.content["timings"].update(
            training_seconds=round(seconds, 3), steps_per_second=round(steps / max(seconds, 1e-9), 2)
        )
        scores = {**self._facts_of_now(), **found}
        self._record.finish(status, reason, steps=steps, episodes=self._learner.episode, **scores)


def _table_of(actions: Any, like: Table) -> Table:
    values = like.values * 0
    values[0, range(len(actions)), actions] = 1.0
    return Table(values)


def _score(result: Evaluation) -> str:
    mean, std = result.returns.mean(), result.returns.std()
    return f"{mean:.2f} +/- {std:.2f} over {len(result.episodes)} episodes, mean - std {mean - std:.3f}"
