"""The recordings of a command: of a number of steps, of several episodes, of the best and the worst of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError, Terminated
from rl_experiments.core.interruption import Interruption
from rl_experiments.envs import make_envs
from rl_experiments.evaluation.evaluating import LONGEST_EPISODE, without_window
from rl_experiments.recording.choosing import Contest
from rl_experiments.recording.images import Selection
from rl_experiments.recording.looks import Look
from rl_experiments.recording.pictures import try_frame
from rl_experiments.recording.recorder import OnMoments, Recording, record
from rl_experiments.recording.replays import ReplayPage, record_page
from rl_experiments.recording.sequences import N_STEPS, ImageSequence, record_frames
from rl_experiments.recording.video import RecordingError
from rl_experiments.runs import LoadedAgent

IMAGES, PAGE = "png", "html"


@dataclass(frozen=True)
class Wishes:
    """
    What a command shall record.

    :param format: ``mp4``, ``webm``, ``gif``, ``png`` for images, or ``html`` for replays in a browser
    :param n_steps: length of the one video, over as many episodes as there are in it (1000 if None); of single episodes
        the longest length (100,000 if None)
    :param n_episodes: so many episodes, each by itself; the i-th, from 0, has the seed ``seed + i``
    :param best_of: of so many episodes the one with the largest return
    :param worst_of: of so many episodes the one with the smallest return
    :param grid: so many environments side by side in one video, one episode of each
    :param n_envs: for images, environments that are played at once
    :param selection: for images, which steps of each episode
    :param fps: frames per second; if None, real time
    :param overlay: write step, reward, return and action below each picture
    :param seed: seed of the environment and of sampled actions
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides
    :param look: size and quality of the pictures; if None, those of the environment
    """

    format: str = "mp4"
    n_steps: int | None = None
    n_episodes: int | None = None
    best_of: int | None = None
    worst_of: int | None = None
    grid: int | None = None
    n_envs: int = 1
    selection: Selection = field(default_factory=Selection)
    fps: float | None = None
    overlay: bool = False
    seed: int = 0
    deterministic: bool | None = None
    look: Look | None = None

    def __post_init__(self) -> None:
        for name in ("n_steps", "n_episodes", "best_of", "worst_of", "grid", "n_envs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} must be at least 1, but got {value}")

    @property
    def longest(self) -> int:
        """Steps of a single episode."""
        return self.n_steps or LONGEST_EPISODE


def record_videos(
    agent: LoadedAgent,
    folder: str | Path,
    prefix: str,
    *,
    show_progress: bool = False,
    **wishes: Any,
) -> Iterator[Recording | ImageSequence | ReplayPage]:
    """
    Record one after another what is wished for, videos named as the zoo names them.

    A signal ends the recording that is under way, which is kept as far as it came, and those after it.

    :param folder: where to put them
    :param prefix: beginning of the names of videos; images go to ``frames``
    :param wishes: fields of :class:`Wishes`
    :return: each recording when it is there
    :raises RecordingError: if nothing can be drawn, or a video could not be made
    :raises KeyboardInterrupt: after a signal
    """
    wished = Wishes(**wishes)
    work = _Work(agent, Path(folder), prefix, wished, show_progress)
    if wished.format == PAGE:
        yield from work.pages()
        return
    check_drawing(agent, wished.look)
    if wished.best_of or wished.worst_of:
        yield from work.extremes()
    elif wished.format == IMAGES:
        yield from work.images()
    else:
        yield from work.videos()


class _Work:
    def __init__(self, agent: LoadedAgent, folder: Path, prefix: str, wishes: Wishes, show_progress: bool) -> None:
        self._agent, self._folder, self._prefix = agent, folder, prefix
        self._wishes, self._show_progress = wishes, show_progress

    def videos(self) -> Iterator[Recording]:
        wishes = self._wishes
        is_one = bool(wishes.n_episodes or wishes.grid)
        length = wishes.longest if is_one else wishes.n_steps or N_STEPS
        name = "episode-{number}" if wishes.n_episodes else f"step-0-to-step-{length}"
        name = f"grid-of-{wishes.grid}" if wishes.grid else name
        for index in range(wishes.n_episodes or 1):
            with _until_a_signal() as goes_on:
                recording = self._video(
                    self._folder / self._named(name.format(number=index + 1)),
                    n_steps=length,
                    across_episodes=not is_one,
                    grid=wishes.grid,
                    seed=(wishes.seed + index) % 2**32,
                    on_progress=goes_on,
                )
            yield recording
            goes_on.or_raise()
            if recording.failure:  # the next would not be drawn either
                return

    def pages(self) -> Iterator[ReplayPage]:
        wishes = self._wishes
        length = wishes.longest if wishes.n_episodes else wishes.n_steps or N_STEPS
        name = "episode-{number}" if wishes.n_episodes else f"step-0-to-step-{length}"
        for index in range(wishes.n_episodes or 1):
            with _until_a_signal() as goes_on:
                page = record_page(
                    self._agent,
                    self._folder / self._named(name.format(number=index + 1)),
                    self._prefix,
                    n_steps=length,
                    seed=(wishes.seed + index) % 2**32,
                    deterministic=wishes.deterministic,
                    show_progress=self._show_progress,
                    on_progress=goes_on,
                )
            yield page
            goes_on.or_raise()

    def images(self) -> Iterator[ImageSequence]:
        wishes = self._wishes
        with _until_a_signal() as goes_on:
            sequence = self._images(
                self._folder,
                n_steps=wishes.n_steps,
                n_episodes=wishes.n_episodes,
                n_envs=wishes.n_envs,
                seed=wishes.seed,
                on_progress=goes_on,
            )
        yield sequence
        goes_on.or_raise()

    def extremes(self) -> Iterator[Recording | ImageSequence]:
        wishes = self._wishes
        with _until_a_signal() as goes_on:
            shoot = functools.partial(self._shoot, goes_on)
            contest = Contest(self._agent, shoot, wishes.longest, wishes.seed, wishes.deterministic, goes_on.or_raise)
            contest.play(max(wishes.best_of or 0, wishes.worst_of or 0))
            for word, count, sign in (("best", wishes.best_of, 1), ("worst", wishes.worst_of, -1)):
                if count:
                    recording = contest.record(self._folder, self._named(f"{word}-of-{count}"), count, sign)
                    yield recording
                    if recording.failure:
                        goes_on.or_raise()
                        return

    def _shoot(
        self, goes_on: _Signal, folder: Path, name: str, seed: int, on_moments: OnMoments
    ) -> Recording | ImageSequence:
        settings: dict[str, Any] = {"n_steps": self._wishes.longest, "seed": seed, "on_moments": on_moments}
        settings["on_progress"] = goes_on.or_raise
        if self._wishes.format == IMAGES:
            return self._images(folder, **settings)
        return self._video(folder / name, **settings)

    def _video(self, path: Path, **settings: Any) -> Recording:
        return record(self._agent, path, fps=self._wishes.fps, **self._common(), **settings)

    def _images(self, folder: Path, **settings: Any) -> ImageSequence:
        chosen = self._wishes.selection
        return record_frames(
            self._agent,
            folder,
            every=chosen.every,
            first=chosen.first,
            last=chosen.last,
            **self._common(),
            **settings,
        )

    def _common(self) -> dict[str, Any]:
        return {
            "overlay": self._wishes.overlay,
            "deterministic": self._wishes.deterministic,
            "look": self._wishes.look,
            "show_progress": self._show_progress,
        }

    def _named(self, name: str) -> str:
        return f"{self._prefix}-{name}.{self._wishes.format}"


class _Signal:
    """Whether a signal has come, for what is called after each step."""

    def __init__(self) -> None:
        self.interruption = Interruption()

    def __call__(self, _: int) -> bool:
        return self.interruption.signal is None

    def or_raise(self, _: int = 0) -> bool:
        """:raises Terminated: if one has come"""
        if self.interruption.signal is not None:
            raise Terminated(self.interruption.signal)
        return True


@contextmanager
def _until_a_signal() -> Iterator[_Signal]:
    signal = _Signal()
    with signal.interruption.listening():
        try:
            yield signal
        except RLExperimentsError:
            signal.or_raise()  # what was waited for no longer
            raise


def check_drawing(agent: LoadedAgent, look: Look | None = None) -> None:
    """
    Draw a picture elsewhere: a renderer that crashes or hangs must not take the command with it.

    :raises RecordingError: if nothing can be drawn
    """
    reason = try_frame(agent.recipe, look=look)
    if reason is not None:
        make_envs(without_window(agent.recipe), 1, 0).close()  # says if it is not the drawing, but a wrong argument
        raise RecordingError(f"No picture of {agent.recipe.env_id} can be drawn: {reason}")
