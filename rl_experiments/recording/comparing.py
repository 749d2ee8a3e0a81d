"""One video of several agents side by side: what a run could do at each of its checkpoints."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import (
    ConfigurationError,
    MissingPackageError,
    NotFoundError,
    RLExperimentsError,
    Terminated,
)
from rl_experiments.core.files import replacing
from rl_experiments.core.interruption import Interruption
from rl_experiments.core.progress import progress_bar
from rl_experiments.envs import make_envs
from rl_experiments.evaluation.evaluating import without_window
from rl_experiments.recording.composing import columns_for, tiled
from rl_experiments.recording.leftovers import held
from rl_experiments.recording.looks import Look
from rl_experiments.recording.performing import Part, Performer
from rl_experiments.recording.pictures import say_aside
from rl_experiments.recording.resizing import write_gif
from rl_experiments.recording.video import FrameWriter, RecordingError, open_writer, playable_path
from rl_experiments.runs import Run, load_agent

MOST_TILES = 16
"""Agents in a video, if nothing else is said."""
GIF_WIDTH, GIF_FPS = 960, 10
FEW, WIDE = 4, 16 / 9
Which = str | int


@dataclass(frozen=True)
class Comparison:
    """
    A video of several agents.

    :param path: the video
    :param gif: the same as a GIF, or None
    :param n_frames: frames in it: one more than steps in the longest episode
    :param fps: frames per second
    :param shown: label and return of each agent in it; None for an episode that is cut off, or failed
    """

    path: Path
    gif: Path | None
    n_frames: int
    fps: float
    shown: tuple[tuple[str, float | None], ...]


def chosen_models(run: Run, asked: Sequence[str] = (), most: int = MOST_TILES) -> tuple[list[Which], list[Which]]:
    """
    Choose the agents of a run that a video shows.

    :param asked: steps of checkpoints, ``best`` and ``final``; if empty, all that there are, but of a run with models
        of ``--save-freq`` not the checkpoints of nearly the same moments that it can be resumed from
    :param most: of so many at most; checkpoints between the first and the last are left out evenly
    :return: those that are shown in order, and those that are left out
    :raises NotFoundError: if one that is asked for is not there, or there are none
    """
    there = run.models()
    if not there:
        raise NotFoundError(f"There is no model in {run.path}")
    if asked:
        names = {str(which): which for which in there}
        for name in asked:
            if name not in names:
                raise NotFoundError(f"There is no model '{name}' in {run.path}. There are: {_some(there)}")
        there = [which for which in there if str(which) in asked]
    elif kept := run.checkpoints():
        there = [which for which in there if isinstance(which, str) or which in kept]
    ends = [which for which in there if isinstance(which, str)]
    steps = [which for which in there if isinstance(which, int)]
    room = most - len(ends)
    if len(there) <= most:
        return there, []
    if room < 1:
        return there[-most:], there[:-most]
    places = {round(index * (len(steps) - 1) / max(room - 1, 1)) for index in range(room)} if room > 1 else {0}
    shown: list[Which] = [count for place, count in enumerate(steps) if place in places]
    return [*shown, *ends], [which for which in steps if which not in shown]


def label_of(which: Which) -> str:
    """:return: how a model is called in a picture"""
    return f"{which:,} steps" if isinstance(which, int) else which


def record_comparison(
    run: Run,
    models: Sequence[Which],
    path: str | Path,
    *,
    n_steps: int = 1000,
    fps: float | None = None,
    seed: int = 0,
    deterministic: bool | None = None,
    look: Look | None = None,
    with_gif: bool = True,
    loading: Mapping[str, Any] | None = None,
    show_progress: bool = False,
    tell: Callable[[str], None] = print,
) -> Comparison:
    """
    Record one episode of several agents of a run, side by side, all with the same seed.

    Each plays in a process of its own. An episode that is over keeps its last picture, dimmed, until all are over.

    :param models: as :func:`chosen_models` returns them
    :param path: the video; a file that is there stays, and the name gets a number
    :param n_steps: longest length of each episode
    :param fps: frames per second; if None, real time
    :param seed: of each episode
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides
    :param look: size and quality of the pictures; if None, those of the environment
    :param with_gif: whether to write a GIF beside it
    :param loading: further arguments of :func:`rl_experiments.load_agent`
    :param tell: told of each agent that cannot be shown
    :raises RecordingError: if none can be shown, or no encoder works
    :raises KeyboardInterrupt: after a signal, which ends the video as far as it came
    """
    if not models:
        raise ConfigurationError("there are no models to show")
    final = unused_path(playable_path(Path(path)))
    labels = [label_of(which) for which in models]
    interruption = Interruption()
    with interruption.listening(), contextlib.ExitStack() as stack:
        performers: list[Performer] = []
        for which in models:
            load = functools.partial(load_agent, run, which, **{"device": "cpu", **(loading or {})})
            say = _say_nothing if performers else say_aside  # what is missing to draw is missing for all
            performers.append(Performer(Part(load, n_steps, seed, deterministic, look, say)))
            stack.callback(performers[-1].close)
        cast = _without_failed(performers, labels, tell)
        if interruption.signal is not None and not cast:
            raise Terminated(interruption.signal)
        if not cast:
            _name_what_is_missing(performers[0].part)
            raise RecordingError(f"No agent of {run.path} can be shown: {performers[0].failure}")
        rate = fps if fps is not None else next(iter(cast.values())).fps
        with (
            replacing(final) as temporary,
            held(temporary),
            progress_bar(n_steps, "recording", "step", show_progress) as bar,
        ):

            def advance() -> bool:
                bar.update(1)
                return interruption.signal is None

            n_frames = _film(cast, temporary, rate, advance)
        for label, performer in cast.items():
            if performer.failure is not None:
                tell(f"{label}: ended early: {performer.failure}")
    if interruption.signal is not None:
        tell(f"Video: {final} (as far as it came)")
        raise Terminated(interruption.signal)
    gif = _gif_of(final, tell) if with_gif else None
    shown = tuple((label, performer.total) for label, performer in cast.items())
    return Comparison(final, gif, n_frames, rate, shown)


def _say_nothing(text: str) -> None:
    """For all but one of those that would say the same."""


def _name_what_is_missing(part: Part) -> None:
    """:raises MissingPackageError: if it is a package that the environment needs"""
    try:
        make_envs(without_window(part.load().recipe), 1, 0).close()
    except MissingPackageError:
        raise
    except Exception:  # named already, agent by agent
        return


def unused_path(path: Path) -> Path:
    """:return: the path, or one with a number, such that no file is there, nor a GIF of the same name"""
    candidate, number = path, 1
    while candidate.exists() or candidate.with_suffix(".gif").exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def _without_failed(
    performers: Sequence[Performer], labels: Sequence[str], tell: Callable[[str], None]
) -> dict[str, Performer]:
    """Take the first picture of each: what cannot be loaded or drawn is named, and left out."""
    cast = {}
    for label, performer in zip(labels, performers, strict=True):
        performer.advance()
        if performer.picture is None:
            tell(f"{label}: left out: {performer.failure}")
        else:
            cast[label] = performer
    return cast


def _film(cast: Mapping[str, Performer], path: Path, fps: float, goes_on: Callable[[], bool]) -> int:
    """:return: how many frames there are"""
    labels, performers = list(cast), list(cast.values())
    writer: FrameWriter | None = None
    n_frames = 0
    columns = _columns(performers)
    try:
        while True:
            pictures = [performer.picture for performer in performers if performer.picture is not None]
            frame = tiled(pictures, labels, columns)
            if writer is None:
                writer = open_writer(path, (frame.shape[1], frame.shape[0]), fps)
            writer.write(frame)
            n_frames += 1
            for performer in performers:
                if performer.plays:
                    performer.advance()
            if not any(performer.plays for performer in performers) or not goes_on():
                break
    except BaseException:
        if writer is not None:
            writer.abandon()
        raise
    writer.close()
    return n_frames


def _columns(performers: Sequence[Performer]) -> int:
    """:return: tiles in a row: a few stand in one, more in several that fill a wide screen"""
    count = len(performers)
    if count <= FEW:
        return count
    height, width = performers[0].shape[:2]
    return columns_for(count, width, height, WIDE)


def _gif_of(video: Path, tell: Callable[[str], None]) -> Path | None:
    if video.suffix == ".gif":
        return video
    try:
        return write_gif(video, video.with_suffix(".gif"), GIF_WIDTH, GIF_FPS)
    except (RLExperimentsError, OSError) as error:
        tell(f"There is no GIF of it: {error}")
        return None


def _some(models: Sequence[Which]) -> str:
    shown = ", ".join(map(str, models[:8]))
    return f"{shown}, ... {models[-1]}" if len(models) > 8 else shown
