"""The callback that writes checkpoints to resume from, and that puts a training back to one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback

from rl_experiments.runs import Run, checkpoints
from rl_experiments.runs.checkpoints import Checkpoint
from rl_experiments.training.capturing import TrainingState
from rl_experiments.training.checkpoint_files import Captured, CheckpointFiles
from rl_experiments.training.stopping import StopRequest, to_stderr

DEFAULT_SAVE_FREQ = 50_000
_PATIENCE = 5.0
"""Seconds that a signal may wait for the moment at which a checkpoint is exact, if it is likely to come by then."""
_MOST_OF_THE_TIME = 0.01
"""Share of the time that may go into states that are only kept in memory."""


@dataclass(frozen=True)
class Schedule:
    """
    :param steps: a checkpoint at the first moment at or after each multiple of so many steps
    :param seconds: and whenever so much time has passed; never if None
    """

    steps: int
    seconds: float | None = None


class ResumableCheckpoints(BaseCallback):
    """
    Writes a checkpoint between two rollouts, where nothing of the training's state is on its way.

    What a rollout begins with is also kept in memory, as often as that costs next to nothing: it is written when a
    signal or an error ends the training in the middle.

    :param run: where they go
    :param state: of this training; complete before training starts
    :param schedule: when they are due
    :param seed: of the experiment
    :param start: the checkpoint that this training goes on from, or None
    :param facts: what the manifest tells of the evaluations
    :param on_start: told what cannot be restored exactly, before the first step
    :param on_restore: called when the training is where the checkpoint was
    :param stop: tells whether a signal has come
    :param before_new_episodes: called before environments whose state cannot be had begin new episodes; returns whether
        they may
    """

    def __init__(
        self,
        run: Run,
        state: Callable[[], TrainingState],
        schedule: Schedule,
        seed: int,
        start: Checkpoint | None,
        facts: Callable[[], Mapping[str, Any]],
        on_start: Callable[[list[str]], None],
        on_restore: Callable[[], None],
        stop: StopRequest,
        before_new_episodes: Callable[[], bool],
    ) -> None:
        super().__init__()
        self.run = run
        self._make_state = state
        self._schedule = schedule
        self._seed = seed
        self._start = start
        self._facts = facts
        self._before_new_episodes = before_new_episodes
        self._on_start = on_start
        self._on_restore = on_restore
        self._stop = stop
        self._last_steps = 0
        self._last_time = time.monotonic()
        self._torch_state: torch.Tensor | None = None
        self._in_memory: Captured | None = None
        self._cost, self._kept_at = 0.0, time.monotonic()
        self._rollout_began = 0.0
        self._rollout_seconds = math.inf
        self._stops_since: float | None = None
        self._stopped = False

    @property
    def waits_for_start(self) -> bool:
        """Whether the checkpoint that the training goes on from is still to be put in place."""
        return self._start is not None

    @property
    def _draws_before_rollouts(self) -> bool:
        """ARS draws its candidates before it tells callbacks that a rollout starts."""
        return hasattr(self.model, "evaluate_candidates")

    def wait(self) -> bool:
        """
        To be asked at each step once the training shall stop.

        :return: whether it goes on for a moment, until a checkpoint is exact
        """
        now = time.monotonic()
        if self._stops_since is None:
            self._stops_since = now
            self._stopped = self._start is not None or self._rollout_began + self._rollout_seconds - now > _PATIENCE
        return not self._stopped and now - self._stops_since < _PATIENCE

    def _on_training_start(self) -> None:
        self._state = self._make_state()
        self._files = CheckpointFiles(self.run, self.model, self._state)
        self._torch_state = torch.get_rng_state()
        remarks = self._files.remarks(with_evaluators=self.locals.get("async_eval") is not None)
        if self._draws_before_rollouts and self._start is not None:
            self._restore(self._start)
        self._on_start(remarks)

    def _on_rollout_start(self) -> None:
        now = time.monotonic()
        if self._rollout_began > 0:
            self._rollout_seconds = now - self._rollout_began
        if self._start is not None:
            self._restore(self._start)
        elif self._is_due_by_steps():
            self.save(begins_episodes=True)
        elif self.model.num_timesteps > self._last_steps:
            if self._stop.signal is not None or self._is_due_by_time(now):
                self.save()
            elif now - self._kept_at > self._cost / _MOST_OF_THE_TIME:
                self._in_memory = self._capture()
                self._kept_at = time.monotonic()
                self._cost = self._kept_at - now
        self._stopped = self._stop.signal is not None
        self._rollout_began = time.monotonic()

    def _on_rollout_end(self) -> None:
        self._torch_state = torch.get_rng_state()

    def _on_step(self) -> bool:
        return True

    def save(self, begins_episodes: bool = False) -> None:
        """
        Write a checkpoint now; a full disk costs no more than this checkpoint.

        :param begins_episodes: environments whose state cannot be had may begin new episodes
        """
        resets = self._state.resets and begins_episodes
        if resets and not self._before_new_episodes():
            return
        if resets:
            self._state.end_episodes()
        self._write(self._capture(resets))
        if resets:
            self._state.begin_episodes(self._seed + self.model.num_timesteps)

    def save_last(self) -> Checkpoint | None:
        """:return: the latest checkpoint, once the state that is only in memory is written too"""
        if self._in_memory is not None and self._in_memory.steps > self._last_steps:
            self._write(self._in_memory)
        return checkpoints.latest(self.run, to_stderr)

    def space(self) -> str:
        """:return: what a checkpoint needs on the disk, and what there is"""
        return self._files.space()

    def _is_due_by_steps(self) -> bool:
        return self.model.num_timesteps // self._schedule.steps > self._last_steps // self._schedule.steps

    def _is_due_by_time(self, now: float) -> bool:
        return self._schedule.seconds is not None and now - self._last_time >= self._schedule.seconds

    def _capture(self, begins_episodes: bool = False) -> Captured:
        after = torch.get_rng_state()
        if self._draws_before_rollouts and self._torch_state is not None:
            torch.set_rng_state(self._torch_state)
        captured = self._files.capture(self._facts(), exact=begins_episodes or not self._state.resets)
        torch.set_rng_state(after)
        return captured

    def _write(self, captured: Captured) -> None:
        self._files.write(captured)
        self._last_steps, self._last_time = captured.steps, time.monotonic()

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._files.restore(checkpoint)
        self._last_steps, self._last_time = checkpoint.steps, time.monotonic()
        checkpoints.begin_from(self.run, checkpoint)
        if self._state.resets:
            self._state.end_episodes()
            self._state.begin_episodes(self._seed + self.model.num_timesteps)
        self.model._num_timesteps_at_start = checkpoint.steps  # of the steps per second in the log
        self._start = None
        self._on_restore()
