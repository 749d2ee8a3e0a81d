"""Frames to a file that browsers play, without any system package."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.processes import end_with_parent

CODECS = ("libx264", "mpeg4")
"""Tried in this order; browsers play the first."""
_PATIENCE, _PATIENCE_WITH_A_TRIAL = 120.0, 10.0
"""Seconds that an encoder has for what is left to do when it has all frames."""
GIF_FRAMES = 500
"""A GIF is held in memory and is large: longer ones are cut off."""


class RecordingError(RLExperimentsError):
    """A video that could not be made; the message says why."""

    exit_code = 1


class FrameWriter(Protocol):
    """Takes frames in order."""

    def write(self, frame: np.ndarray) -> None:
        """:param frame: shape (height, width, 3), uint8"""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def open_writer(path: Path, size: tuple[int, int], fps: float) -> FrameWriter:
    """
    Open a file for frames, in the format of its suffix (see :func:`playable_path`).

    :param size: width and height of the frames, in pixels
    :param fps: frames per second
    """
    if path.suffix == ".gif":
        return _GifWriter(path, fps)
    return _Mp4Writer(path, size, fps, working_codec() or CODECS[0])


def playable_path(path: Path) -> Path:
    """:return: the path itself, or the same with ``.gif`` where no encoder works on this machine"""
    return path if path.suffix == ".gif" or working_codec() else path.with_suffix(".gif")


@functools.cache
def working_codec() -> str | None:
    """:return: the first codec that encodes a frame on this machine, or None"""
    for codec in CODECS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "try.mp4"
            try:
                writer = _Mp4Writer(path, (16, 16), 10, codec, _PATIENCE_WITH_A_TRIAL)
                writer.write(np.zeros((16, 16, 3), np.uint8))
                writer.close()
                if path.stat().st_size:
                    return codec
            except Exception:  # whatever an encoder does, the next one is tried
                continue
    return None


class _Mp4Writer:
    """Frames through a pipe to the program that imageio-ffmpeg brings along."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float, codec: str, patience: float = _PATIENCE) -> None:
        from imageio_ffmpeg import get_ffmpeg_exe

        self._size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        width, height = self._size
        frames = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
        quality = ["-preset", "veryfast"] if codec == "libx264" else ["-q:v", "4"]
        output = ["-an", "-vcodec", codec, *quality, "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        self._process = subprocess.Popen(
            [get_ffmpeg_exe(), "-y", "-loglevel", "error", *frames, *output, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # Ctrl-C in a terminal is for the program that records, which then finishes the file.
            process_group=0 if os.name == "posix" else None,
            preexec_fn=end_with_parent if os.name == "posix" else None,
        )
        self._patience = patience

    def write(self, frame: np.ndarray) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(_padded(frame, self._size).tobytes())
        except BrokenPipeError:
            raise RecordingError(f"the encoder ended: {self._last_words()}") from None

    def close(self) -> None:
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        words = self._last_words()
        if self._process.returncode:
            raise RecordingError(f"the encoder failed: {words}")

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        try:
            self._process.wait(self._patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._process.stderr.close()
            return f"it did not end within {self._patience:g} seconds"
        words = "" if self._process.stderr.closed else self._process.stderr.read().decode("utf-8", "replace")
        self._process.stderr.close()
        return " ".join(words.split())[:300] or f"exit code {self._process.returncode}"


class _GifWriter:
    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._fps = fps
        self._frames: list[Any] = []

    def write(self, frame: np.ndarray) -> None:
        from PIL import Image

        if len(self._frames) < GIF_FRAMES:
            self._frames.append(Image.fromarray(frame))

    def close(self) -> None:
        if self._frames:
            first, *rest = self._frames
            first.save(self._path, save_all=True, append_images=rest, duration=max(20, round(1000 / self._fps)), loop=0)


def _padded(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Repeat the last row and column where the encoder needs even sizes."""
    height, width = frame.shape[:2]
    return np.pad(frame, ((0, size[1] - height), (0, size[0] - width), (0, 0)), mode="edge")
