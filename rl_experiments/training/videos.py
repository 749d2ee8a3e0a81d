"""Videos of evaluation episodes while a training goes on: what ``--video-freq`` asks for."""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.evaluation.evaluating import LONGEST_EPISODE
from rl_experiments.recording import try_frame
from rl_experiments.recording.background import BackgroundRecorder, EpisodeFilm, Order, Outcome, wait_for
from rl_experiments.runs import Run
from rl_experiments.runs.loading import load_acting
from rl_experiments.training.configuration import EVALUATION_SEED_OFFSET, Configuration
from rl_experiments.training.settings import Experiment
from rl_experiments.training.stopping import StopRequest, to_stderr

MOST_WAITING = 4
"""Videos that may be asked for while one is made."""
_PATIENCE_WHEN_FULL = 2.0
"""Seconds that a training waits for the video that is being made, once, when too many wait for it."""
_PATIENCE_AT_THE_END, _PATIENCE_WHEN_STOPPED, _PATIENCE_WITH_A_CUT = 120.0, 0.0, 10.0
_BETWEEN_LOOKS = 0.2
_PENDING = ".training"
_NAME = re.compile(r"training-\d+-steps\.\w+")

Tell = Callable[[Outcome], None]


def check_drawing(experiment: Experiment, configuration: Configuration) -> None:
    """
    Draw one picture before time is spent on the training.

    :raises ConfigurationError: if that fails
    """
    reason = try_frame(configuration.evaluation_recipe)
    if reason is not None:
        raise ConfigurationError(
            f"--video-freq {experiment.video_freq}: no picture of {experiment.env} can be drawn: {reason}. Leave it out"
            " to train without videos"
        )


class TrainingVideos:
    """
    The videos of one training, made beside it.

    Whatever becomes of them, the training goes on: what fails is one line.

    :param experiment: that trains
    :param configuration: of it
    :param run: whose folder ``videos`` they go to
    :param seed: of the episodes; if None, that of the experiment's evaluations
    :param previews: whether a small GIF is made of each, for trackers
    """

    def __init__(
        self,
        experiment: Experiment,
        configuration: Configuration,
        run: Run,
        stop: StopRequest,
        seed: int | None = None,
        previews: bool = False,
    ) -> None:
        self.folder = run.videos
        self._keep = experiment.keep_videos
        self._verbose = experiment.verbose
        self._stop = stop
        self._previews = previews
        self._pending = self.folder / _PENDING
        shutil.rmtree(self._pending, ignore_errors=True)  # of a process that was killed
        self.written: list[str] = []
        """Names of the files that this run wrote and that are still there, the oldest first."""
        self.on_video: list[Tell] = []
        self._told: list[str] = []
        self._closed = False
        self._looked = 0.0
        self._waited_for: Order | None = None
        algorithm, recipe = configuration.algorithm, configuration.evaluation_recipe
        self._recorder = BackgroundRecorder(
            EpisodeFilm(
                functools.partial(load_acting, algorithm=algorithm, device="cpu", trust=recipe.trust),
                recipe,
                (experiment.seed + EVALUATION_SEED_OFFSET) % 2**32 if seed is None else seed,
                LONGEST_EPISODE,
                not recipe.acts_stochastically,
            )
        )

    def order(self, steps: int, save: Callable[[Path, Path], Any]) -> None:
        """
        Have a video made of the agent as it is now.

        :param steps: of the training so far
        :param save: writes the agent to the first path and its normalisation, if it has one, to the second
        """
        if not self._has_room():
            to_stderr(f"No video at {steps} steps: {MOST_WAITING} others wait for the one that is being made")
            return
        stem = f"training-{steps}-steps"
        model, statistics = self._pending / f"{stem}.zip", self._pending / f"{stem}.pkl"
        try:
            self._pending.mkdir(parents=True, exist_ok=True)
            save(model, statistics)
        except (OSError, RLExperimentsError) as error:
            to_stderr(f"No video at {steps} steps: the agent cannot be handed over: {error}")
            return
        self._recorder.order(
            Order(
                steps,
                model,
                statistics if statistics.exists() else None,
                self._pending / f"{stem}.mp4",
                self._pending / f"{stem}-small.gif" if self._previews else None,
                self._cut,
            )
        )

    def look(self) -> None:
        """Take what was made meanwhile; called at each step, it costs next to nothing."""
        now = time.monotonic()
        if now - self._looked >= _BETWEEN_LOOKS:
            self._looked = now
            self._take(self._recorder.finished())

    def finish(self) -> None:
        """Wait a while for what was asked for; when a signal comes, or it takes too long, end it where it is."""
        waiting = self._recorder.waiting
        if waiting and self._stop.signal is None and self._verbose > 0:
            steps = ", ".join(str(order.steps) for order in waiting)
            print(f"Waiting for the video at {steps} steps, {_PATIENCE_AT_THE_END:g} seconds at most", flush=True)
        until = time.monotonic() + (_PATIENCE_AT_THE_END if self._stop.signal is None else _PATIENCE_WHEN_STOPPED)
        self._take(wait_for(self._recorder, until, lambda: self._stop.signal is None))
        if self._recorder.waiting:
            with contextlib.suppress(OSError):
                self._cut.touch()
            self._take(wait_for(self._recorder, time.monotonic() + _PATIENCE_WITH_A_CUT, lambda: True))
        for order in self._recorder.waiting:
            to_stderr(f"No video at {order.steps} steps: it was not done in time")
        self.close()

    def close(self) -> None:
        """End the process that records, and remove what it leaves."""
        if self._closed:
            return
        self._closed = True
        self._take(self._recorder.finished())
        self._recorder.close()
        shutil.rmtree(self._pending, ignore_errors=True)
        with contextlib.suppress(OSError):  # there are videos
            self.folder.rmdir()

    def remember(self, names: Iterable[object]) -> None:
        """
        :param names: of videos that the run wrote before it went on, as its record has them
        """
        ours = (name for name in names if isinstance(name, str) and _NAME.fullmatch(name))
        self.written = [name for name in ours if (self.folder / name).is_file()]

    @property
    def _cut(self) -> Path:
        return self._pending / "cut"

    def _has_room(self) -> bool:
        """Episodes that are over in a moment are waited for; others must not keep the training."""
        self._take(self._recorder.finished())
        waiting = self._recorder.waiting
        if len(waiting) <= MOST_WAITING:
            return True
        if waiting[0] is not self._waited_for:
            self._waited_for = waiting[0]
            self._take(self._recorder.finished(_PATIENCE_WHEN_FULL))
        return len(self._recorder.waiting) <= MOST_WAITING

    def _take(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            try:
                self._keep_video(outcome)
            except OSError as error:
                to_stderr(f"No video at {outcome.order.steps} steps: {error}")

    def _keep_video(self, outcome: Outcome) -> None:
        steps = outcome.order.steps
        if outcome.video is None:
            to_stderr(f"No video at {steps} steps: {outcome.reason}")
            return
        for remark in outcome.remarks:
            if remark not in self._told:
                self._told.append(remark)
                to_stderr(remark)
        path = self.folder / outcome.video.name
        outcome.video.replace(path)
        self.written = [name for name in self.written if name != path.name] + [path.name]
        while self._keep is not None and len(self.written) > self._keep:
            (self.folder / self.written.pop(0)).unlink(missing_ok=True)
        if outcome.reason:
            to_stderr(f"Video at {steps} steps: {outcome.reason}")
        if self._verbose > 0:
            reward = f"reward {outcome.returns[0]:.2f}" if outcome.returns else "the episode is cut off"
            print(f"Video at {steps} steps: {path} ({reward})")
        for tell in self.on_video:
            try:
                tell(replace(outcome, video=path))
            except Exception as error:  # a tracker is no reason to stop
                to_stderr(f"The video at {steps} steps did not reach a tracker: {type(error).__name__}: {error}")
        if outcome.preview is not None:
            outcome.preview.unlink(missing_ok=True)


class PeriodicVideo(BaseCallback):
    """
    Asks for a video whenever a multiple of so many steps is reached, at the moments of ``--save-freq``.

    It keeps nothing from which the training could become another one, and no checkpoint holds it.

    :param videos: where to ask
    :param period: steps of all environments between two videos
    :param save: writes the model to the first path, and its normalisation to the second
    """

    def __init__(self, videos: TrainingVideos, period: int, save: Callable[[Any, Path, Path], Any]) -> None:
        super().__init__()
        self._videos, self._period, self._save = videos, period, save
        self._done: int | None = None

    def _on_step(self) -> bool:
        done = self.num_timesteps // self._period
        if self._done is None:  # a training that goes on begins later than at 0
            self._done = (self.num_timesteps - self.training_env.num_envs) // self._period
        if done > self._done:
            self._done = done
            self._videos.order(self.num_timesteps, functools.partial(self._save, self.model))
        self._videos.look()
        return True
