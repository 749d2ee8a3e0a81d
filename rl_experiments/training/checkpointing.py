"""The callback that writes checkpoints to resume from, and that puts a training back to one."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import TrainFrequencyUnit

from rl_experiments.algorithms.sb3.archive import model_bytes
from rl_experiments.core import pickles
from rl_experiments.core.errors import RLExperimentsError, TrainingError
from rl_experiments.runs import Run, checkpoints
from rl_experiments.runs.checkpoints import Checkpoint
from rl_experiments.training.capturing import TrainingState
from rl_experiments.training.replay_state import ReplayState
from rl_experiments.training.stopping import to_stderr

DEFAULT_SAVE_FREQ = 50_000
MODEL, STATISTICS, STATE, BUFFER = "model.zip", "vecnormalize.pkl", "state.pkl", "replay.pkl"
_SOON, _PATIENCE = 100, 5.0
"""Steps of each environment, and seconds, that a signal may wait for the moment at which a checkpoint is exact."""
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


@dataclass(frozen=True)
class _Captured:
    steps: int
    files: Mapping[str, bytes]
    facts: Mapping[str, Any]


class ResumableCheckpoints(BaseCallback):
    """
    Writes a checkpoint between two rollouts, where nothing of the training's state is on its way.

    :param run: where they go
    :param state: of this training; complete before training starts
    :param schedule: when they are due
    :param seed: of the experiment
    :param start: the checkpoint that this training goes on from, or None
    :param score: the mean return in the last evaluation, or None
    :param on_start: told what cannot be restored exactly, before the first step
    :param on_restore: called when the training is where the checkpoint was
    """

    def __init__(
        self,
        run: Run,
        state: Callable[[], TrainingState],
        schedule: Schedule,
        seed: int,
        start: Checkpoint | None,
        score: Callable[[], float | None],
        on_start: Callable[[list[str]], None],
        on_restore: Callable[[], None],
    ) -> None:
        super().__init__()
        self.run = run
        self._make_state = state
        self._schedule = schedule
        self._seed = seed
        self._start = start
        self._score = score
        self._on_start = on_start
        self._on_restore = on_restore
        self._last_steps = 0
        self._last_time = time.monotonic()
        self._torch_state: torch.Tensor | None = None
        self._in_memory: _Captured | None = None
        self._cost, self._kept_at = 0.0, time.monotonic()
        self._stops_since: float | None = None
        self._stopped = False
        self._told: set[str] = set()

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
        if self._stopped or self._start is not None or self._state.resets or not self._comes_soon:
            return False
        self._stops_since = self._stops_since or time.monotonic()
        return time.monotonic() - self._stops_since < _PATIENCE

    @property
    def _comes_soon(self) -> bool:
        train_freq = getattr(self.model, "train_freq", None)
        if train_freq is not None:
            return bool(train_freq.unit == TrainFrequencyUnit.STEP and train_freq.frequency <= _SOON)
        return bool(getattr(self.model, "n_steps", _SOON + 1) <= _SOON)

    def _on_training_start(self) -> None:
        self._state = self._make_state()
        buffer = getattr(self.model, "replay_buffer", None)
        self._replay = None if buffer is None else ReplayState(buffer)
        self._torch_state = torch.get_rng_state()
        remarks = self._remarks()
        if self._draws_before_rollouts and self._start is not None:
            self._restore(self._start)
        self._on_start(remarks)

    def _on_rollout_start(self) -> None:
        now = time.monotonic()
        if self._start is not None:
            self._restore(self._start)
        elif self._is_due_by_steps():
            self.save(begins_episodes=True)
        elif not self._state.resets and self.model.num_timesteps > self._last_steps:
            seconds = self._schedule.seconds
            if self._stops_since is not None or (seconds is not None and now - self._last_time >= seconds):
                self.save()
                self._stopped = self._stops_since is not None
            elif self._is_worth_keeping(now):
                self._in_memory = self._capture()
                self._kept_at = time.monotonic()
                self._cost = self._kept_at - now

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
        if resets:
            self._state.end_episodes()
        self._write(self._capture())
        if resets:
            self._state.begin_episodes(self._seed + self.model.num_timesteps)

    def save_last(self) -> Checkpoint | None:
        """:return: the latest checkpoint, once the state that is only in memory is written too"""
        if self._in_memory is not None and self._in_memory.steps > self._last_steps:
            self._write(self._in_memory)
        return checkpoints.latest(self.run, to_stderr)

    def _is_worth_keeping(self, now: float) -> bool:
        """Whether a signal would most likely come within a long rollout, and there was time enough since the last."""
        is_long = not self._comes_soon and self._replay is None
        return is_long and now - self._kept_at > self._cost / _MOST_OF_THE_TIME

    def _is_due_by_steps(self) -> bool:
        return self.model.num_timesteps // self._schedule.steps > self._last_steps // self._schedule.steps

    def _capture(self) -> _Captured:
        after = torch.get_rng_state()
        if self._draws_before_rollouts and self._torch_state is not None:
            torch.set_rng_state(self._torch_state)
        files = {MODEL: model_bytes(self.model), STATE: self._state.take()}
        torch.set_rng_state(after)
        normalization = self.model.get_vec_normalize_env()
        if normalization is not None:
            files[STATISTICS] = _statistics(normalization)
        logger = self.model.logger
        facts = {
            "score": self._score(),
            "monitors": {file.name: file.stat().st_size for file in self.run.monitor_files()},
            "log_folder": logger.dir,
        }
        return _Captured(int(self.model.num_timesteps), files, facts)

    def _write(self, captured: _Captured) -> None:
        known: dict[str, str] = {}

        def fill(folder: Path) -> Mapping[str, Any]:
            for name, content in captured.files.items():
                (folder / name).write_bytes(content)
            if self._replay is not None:
                state, linked = self._replay.write(folder, captured.steps // self.model.n_envs)
                (folder / BUFFER).write_bytes(pickles.pickle.dumps(state, protocol=4))
                known.update(linked)
            return captured.facts

        for remark in self._lacking(self._state.missing):
            to_stderr(f"Checkpoint at {captured.steps} steps: {remark}")
        try:
            checkpoint = checkpoints.write(self.run, captured.steps, fill, known)
        except OSError as error:
            to_stderr(self._unwritten(captured, error))
        else:
            if self._replay is not None:
                self._replay.remember(checkpoint)
            checkpoints.prune(self.run)
        self._last_steps, self._last_time = captured.steps, time.monotonic()

    def _unwritten(self, captured: _Captured, error: OSError) -> str:
        text = f"The checkpoint at {captured.steps} steps cannot be written: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            size = sum(map(len, captured.files.values())) + (0 if self._replay is None else self._replay.size)
            free = shutil.disk_usage(self.run.path).free
            text += f". It needs up to {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"
        whole = checkpoints.checkpoints_of(self.run)
        return f"{text}. The one before, {whole[-1]}, stays" if whole else text

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._start = None
        try:
            if self._replay is not None:
                content = pickles.loads(checkpoint.file(BUFFER).read_bytes())
                self._replay.read(checkpoint, content)
            self._state.put(checkpoint.file(MODEL), checkpoint.file(STATE).read_bytes())
        except (OSError, KeyError, IndexError, TypeError, ValueError, pickles.pickle.UnpicklingError) as error:
            raise TrainingError(f"{checkpoint.path} does not fit this training: {error}") from error
        except RLExperimentsError as error:
            raise TrainingError(f"{checkpoint.path} does not fit this training: {error}") from error
        self._last_steps, self._last_time = checkpoint.steps, time.monotonic()
        if self._state.resets:
            self._state.begin_episodes(self._seed + self.model.num_timesteps)
        self._on_restore()

    def _lacking(self, missing: list[str]) -> list[str]:
        """:return: a remark on what was not said before"""
        new = [place for place in missing if place not in self._told]
        self._told.update(new)
        return [f"a resumed run is not exactly the same, for it cannot hold {_some(new)}"] if new else []

    def _remarks(self) -> list[str]:
        """What a person should know who resumes this run one day."""
        environments, others = self._state.probe()
        self._told.update(others)
        if self._replay is not None:
            others += self._replay.missing()
        remarks = []
        if environments:
            remarks.append(
                f"The state of the environment cannot be saved ({_some(environments)}): at each checkpoint its"
                " environments begin new episodes, so that a resumed run is the same as one that was never stopped"
            )
        if others:
            remarks.append(f"A resumed run is not exactly the same: no checkpoint can hold {_some(others)}")
        if self.model.device.type != "cpu":
            remarks.append("A resumed run may differ in its last bits: sums on a GPU have no fixed order")
        if self.locals.get("async_eval") is not None:
            remarks.append(
                "A resumed run is not exactly the same: the environments that score the candidates of ARS begin anew"
            )
        return remarks


def _some(places: list[str]) -> str:
    return ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")


def _statistics(normalization: Any) -> bytes:
    """What ``VecNormalize.save`` writes."""
    content: bytes = pickles.pickle.dumps(normalization)
    return content
