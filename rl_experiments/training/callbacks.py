"""What happens beside the learning: models that are kept, the record, progress, and stopping when asked to."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from rl_experiments.algorithms.sb3 import save_model
from rl_experiments.core.errors import TrainingError
from rl_experiments.core.files import replacing
from rl_experiments.core.progress import progress_bar
from rl_experiments.evaluation import Evaluation
from rl_experiments.runs import Run
from rl_experiments.training.stopping import StopRequest

if TYPE_CHECKING:
    from rl_experiments.training.periodic_evaluation import PeriodicEvaluation


def save_with_statistics(model: Any, path: Path, statistics: Path) -> list[Path]:
    """
    Write a model and, where it has one, the normalisation of this moment.

    :return: the files, the model first
    """
    normalization = model.get_vec_normalize_env()
    if normalization is not None:
        with replacing(statistics) as temporary:
            normalization.save(str(temporary))
    save_model(model, path)
    return [path] if normalization is None else [path, statistics]


class PeriodicCheckpoint(BaseCallback):
    """
    Keeps the model every so often, under the zoo's name, with the normalisation of that moment.

    :param run: where it goes
    :param freq: every so many calls
    :param with_replay_buffer: save the replay buffer too, where there is one
    :param keep_last: how many of those that it wrote itself stay; all if None
    """

    def __init__(
        self,
        run: Run,
        freq: int,
        with_replay_buffer: bool = False,
        verbose: int = 1,
        keep_last: int | None = None,
    ) -> None:
        super().__init__(verbose)
        self.run = run
        self.freq = freq
        self.with_replay_buffer = with_replay_buffer
        self.keep_last = keep_last
        self.written: list[list[str]] = []

    def _on_step(self) -> bool:
        if self.n_calls % self.freq == 0:
            self.written.append([file.name for file in self._save()])
            if self.keep_last is not None:
                self._remove(self.keep_last)
        return True

    def _save(self) -> list[Path]:
        """:return: the files of the checkpoint, the model first"""
        steps = self.num_timesteps
        files = save_with_statistics(self.model, self.run.checkpoint(steps), self.run.checkpoint_statistics(steps))
        if self.with_replay_buffer and getattr(self.model, "replay_buffer", None) is not None:
            files.append(self.run.path / f"rl_model_replay_buffer_{steps}_steps.pkl")
            with replacing(files[-1]) as temporary:
                self.model.save_replay_buffer(temporary)  # type: ignore[attr-defined]
        if self.verbose > 1:
            print(f"Saving model checkpoint to {files[0]}")
        return files

    def _remove(self, keep_last: int) -> None:
        """The model goes first: alone, it would be taken for one with the normalisation at the end."""
        while len(self.written) > keep_last:
            for name in self.written.pop(0):
                with contextlib.suppress(OSError):
                    (self.run.path / name).unlink()


class KeepRecord(BaseCallback):
    """
    Keeps the run's record true while it trains: after each evaluation, and once a minute between them.

    :param write: writes the record
    :param evaluation: what evaluates, if anything does
    :param seconds: between two records at most
    """

    def __init__(
        self, write: Callable[[], None], evaluation: PeriodicEvaluation | None = None, seconds: float = 60.0
    ) -> None:
        super().__init__()
        self.write = write
        self.evaluation = evaluation
        self.seconds = seconds
        self._written = 0.0
        self._seen: Evaluation | None = None

    def _on_training_start(self) -> None:
        self._written = time.monotonic()

    def _on_step(self) -> bool:
        newest = None if self.evaluation is None else self.evaluation.last
        if newest is not self._seen or time.monotonic() - self._written >= self.seconds:
            with contextlib.suppress(OSError):  # a moment without the disk is no end of a training
                self.write()
            self._seen, self._written = newest, time.monotonic()
        return True


class RefuseNaN(BaseCallback):
    """Ends the training with an error where the environment gives no numbers: the network would become NaN too."""

    def _on_step(self) -> bool:
        # Sums are a fast first look, at each of millions of steps.
        rewards = self.locals.get("rewards")
        if rewards is not None and not math.isfinite(rewards.sum()) and not np.isfinite(rewards).all():
            raise TrainingError(f"the environment gave the reward {rewards[~np.isfinite(rewards)][0]}")
        observations = self.locals.get("new_obs")
        for part in observations.values() if isinstance(observations, dict) else (observations,):
            if part is not None and part.dtype.kind == "f" and math.isnan(part.sum()) and np.isnan(part).any():
                raise TrainingError("the environment gave an observation with NaN")
        return True


class Progress(BaseCallback):
    """
    A bar over the steps, if the output is a terminal.

    :param total: steps to train for
    """

    def __init__(self, total: int) -> None:
        super().__init__()
        self._bar = progress_bar(total, "training", "step")

    def _on_step(self) -> bool:
        self._bar.update(self.num_timesteps - self._bar.n)
        return True

    def begin(self, steps: int) -> None:
        """Begin at a later step than the first."""
        self._bar.initial = steps
        self._bar.reset()
        self._bar.update(steps - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


class StopWhenAsked(BaseCallback):
    """
    Ends the training at the next step once a signal has come.

    :param stop: what hears the signals
    :param by_raising: the algorithm ignores what callbacks return (ARS): a signal is raised where it stands
    :param waits: asked at each step once a signal has come: whether the training goes on for a moment
    """

    def __init__(self, stop: StopRequest, by_raising: bool = False, waits: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self.stop = stop
        self.by_raising = by_raising
        self.waits = waits

    def _on_step(self) -> bool:
        self.stop.waits = not self.by_raising
        if self.by_raising:
            self.stop.check()
        return self.stop.signal is None or self.waits()
