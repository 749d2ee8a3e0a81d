"""Frames to a file that browsers play, without any system package."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rl_experiments.core.errors import RLExperimentsError

CODECS = ("libx264", "mpeg4")
"""Tried in this order; browsers play the first."""
GIF_FRAMES = 500
"""A GIF is held in memory and is large: longer ones are cut off."""


class RecordingError(RLExperimentsError):
    """A video that could not be made; the message says why."""


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
                writer = _Mp4Writer(path, (16, 16), 10, codec)
                writer.write(np.zeros((16, 16, 3), np.uint8))
                writer.close()
                if path.stat().st_size:
                    return codec
            except Exception:  # whatever an encoder does, the next one is tried
                continue
    return None


class _Mp4Writer:
    def __init__(self, path: Path, size: tuple[int, int], fps: float, codec: str) -> None:
        import imageio_ffmpeg

        self._size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        quality = ["-preset", "veryfast", "-movflags", "+faststart"] if codec == "libx264" else []
        # The default macro block size of 16 would resize the 210 lines of an Atari picture.
        self._pipe: Any = imageio_ffmpeg.write_frames(
            str(path),
            self._size,
            fps=fps,
            codec=codec,
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            output_params=quality,
        )
        self._pipe.send(None)

    def write(self, frame: np.ndarray) -> None:
        self._pipe.send(np.ascontiguousarray(_padded(frame, self._size)))

    def close(self) -> None:
        self._pipe.close()


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
