"""Where recordings of an agent go, and what they are called."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import check_can_write
from rl_experiments.core.names import model_name

if TYPE_CHECKING:
    from rl_experiments.recording import ImageSequence, Recording
    from rl_experiments.recording.replays import ReplayPage
    from rl_experiments.runs import LoadedAgent

_VIDEOS = "videos"
_FASTEST = 1000.0
"""Frames per second that no screen shows."""


def name_prefix(options: argparse.Namespace, agent: LoadedAgent) -> str:
    """:return: how the zoo begins the names of videos of this model"""
    name = model_name(options.algo, options.env)
    if options.load_best:
        return f"best-model-{name}"
    if agent.saved.steps is not None:
        return f"checkpoint-{agent.saved.steps}-{name}"
    return f"final-model-{name}"


def videos_of(run: Path) -> Path:
    """:return: the folder of videos in a run, or one here if the run cannot be written"""
    return writable_folder(run / _VIDEOS, Path(_VIDEOS), "The video")


def writable_folder(folder: Path, otherwise: Path, what: str) -> Path:
    """
    :param otherwise: where it goes if the folder cannot be written, which is then said
    :param what: what goes there, in messages
    """
    try:
        check_folder(folder, what)
    except ConfigurationError as error:
        check_folder(otherwise, what)
        print(f"{error}. It goes to {otherwise.resolve()}", file=sys.stderr)
        return otherwise
    return folder


def check_folder(folder: Path, what: str) -> None:
    """
    :param what: what the folder is for, in the error
    :raises ConfigurationError: if no video can be written there
    """
    is_new = not folder.exists()
    check_can_write(folder / "video.mp4", what)
    if is_new:  # nothing is left behind, should nothing come of it
        folder.rmdir()


def check_fps(options: argparse.Namespace) -> None:
    """
    :raises ConfigurationError: for a frame rate that is none
    """
    if options.fps is not None and not 0 < options.fps <= _FASTEST:
        raise ConfigurationError(f"--fps must be above 0 and at most {_FASTEST:g}, but got {options.fps:g}")


def summary(recording: Recording | ImageSequence | ReplayPage) -> str:
    """:return: what was recorded, in one line"""
    from rl_experiments.recording import Recording
    from rl_experiments.recording.replays import ReplayPage

    if isinstance(recording, ReplayPage):
        ending = "" if recording.complete else "; the episode is cut off"
        return f"Replay: {recording.path} ({recording.n_frames} frames, reward {recording.total_reward:.2f}{ending})"
    if isinstance(recording, Recording):
        what, path = "Video", recording.path
        parts = [f"{recording.n_frames} frames, {recording.n_frames / recording.fps:.1f} s"]
    else:
        what, path = "Images", recording.folder
        parts = [f"{recording.n_images} images"]
    if recording.note:
        parts.append(recording.note)
    if recording.episodes:
        rewards = ", ".join(f"{episode.total_reward:.2f}" for episode in recording.episodes[:5])
        more = ", ..." if len(recording.episodes) > 5 else ""
        word = "episode" if len(recording.episodes) == 1 else "episodes"
        parts.append(f"{len(recording.episodes)} {word}, reward {rewards}{more}")
    if not recording.complete:
        parts.append("the last episode is cut off" if recording.episodes else "the episode is cut off")
    return f"{what}: {path} ({'; '.join(parts)})"
