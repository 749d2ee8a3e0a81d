"""What commands that write videos have in common."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import check_can_write

VIDEOS = "videos"
FASTEST = 1000.0
"""Frames per second that no screen shows."""


def output_folder(named: str | None, run: Path) -> Path:
    """
    :param named: the folder that the user named, or None
    :param run: the run's folder
    :return: the folder that was named, or one in the run, or one here if the run cannot be written
    """
    if named:
        check_folder(Path(named), "--output-folder")
        return Path(named)
    folder = run / VIDEOS
    try:
        check_folder(folder, "The video")
    except ConfigurationError as error:
        folder = Path(VIDEOS)
        check_folder(folder, "The video")
        print(f"{error}. It goes to {folder.resolve()}", file=sys.stderr)
    return folder


def check_folder(folder: Path, what: str) -> None:
    """
    :raises ConfigurationError: if no file can be written there
    """
    is_new = not folder.exists()
    check_can_write(folder / "video.mp4", what)
    if is_new:  # nothing is left behind, should nothing come of it
        folder.rmdir()


def check_fps(options: argparse.Namespace) -> None:
    """
    :raises ConfigurationError: for a frame rate that is none
    """
    if options.fps is not None and not 0 < options.fps <= FASTEST:
        raise ConfigurationError(f"--fps must be above 0 and at most {FASTEST:g}, but got {options.fps:g}")
