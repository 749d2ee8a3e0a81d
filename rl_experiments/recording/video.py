"""Frames to a file that browsers play, without any system package."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.processes import end_with_parent, widen_pipe
from rl_experiments.core.suggest import hint

CODECS: dict[str, tuple[str, ...]] = {
    ".mp4": ("libx264", "mpeg4"),
    ".webm": ("libvpx-vp9", "libvpx"),
    ".gif": ("libx264rgb", "ffv1"),
}
"""Formats of videos, and what is tried in this order; for a GIF, what its frames are kept in until all are there."""
_ARGUMENTS: dict[str, Sequence[str]] = {
    "libx264": ("-preset", "superfast", "-pix_fmt", "yuv420p", "-movflags", "+faststart"),
    "mpeg4": ("-q:v", "4", "-pix_fmt", "yuv420p", "-movflags", "+faststart"),
    "libvpx-vp9": ("-deadline", "realtime", "-cpu-used", "8", "-crf", "30", "-b:v", "0", "-row-mt", "1"),
    "libvpx": ("-deadline", "realtime", "-cpu-used", "8", "-crf", "10", "-b:v", "4M"),
    "libx264rgb": ("-qp", "0", "-preset", "ultrafast"),
    "ffv1": ("-pix_fmt", "bgr0"),
}
_PATIENCE, _PATIENCE_WITH_A_TRIAL = 120.0, 10.0
"""Seconds that an encoder has for what is left to do when it has all frames."""
_PATIENCE_WITH_COLOURS = 3600.0
GIF_FRAMES = 500
"""Without an encoder a GIF is held in memory: longer ones are cut off."""
_FULL = "No space left on device"
FASTEST_GIF = 50.0
"""Frames per second; what is faster, browsers show at 10."""


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

    def abandon(self) -> None:
        """End without a finished file."""
        ...


def open_writer(path: Path, size: tuple[int, int], fps: float) -> FrameWriter:
    """
    Open a file for frames, in the format of its suffix (see :func:`playable_path`).

    :param size: width and height of the frames, in pixels
    :param fps: frames per second, at most :func:`fastest`
    """
    suffix = path.suffix.lower()
    codec = working_codec(suffix)
    if suffix == ".gif":
        return _GifWriter(path, size, fps, codec) if codec else _SmallGifWriter(path, fps)
    return _Encoder(path, size, fps, codec or CODECS[suffix][0])


def playable_path(path: Path) -> Path:
    """
    :return: the path itself, or the same with another suffix where no encoder for its own works on this machine
    :raises ConfigurationError: if there is no such format
    """
    suffix = path.suffix.lower()
    if suffix not in CODECS:
        raise ConfigurationError(
            f"{path}: there is no video format '{suffix}'.{hint(suffix, CODECS)} Images are written by record_frames"
        )
    if suffix == ".gif" or working_codec(suffix):
        return path
    return path.with_suffix(".mp4" if working_codec(".mp4") else ".gif")


def fastest(path: Path, fps: float) -> float:
    """:return: the rate, or the highest that the format has"""
    return min(fps, FASTEST_GIF) if path.suffix.lower() == ".gif" else fps


@functools.cache
def working_codec(suffix: str = ".mp4") -> str | None:
    """:return: the first codec of a format that encodes a frame on this machine, or None"""
    for codec in CODECS[suffix]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"try{'.mkv' if suffix == '.gif' else suffix}"
            try:
                writer = _Encoder(path, (16, 16), 10, codec, patience=_PATIENCE_WITH_A_TRIAL)
                writer.write(np.zeros((16, 16, 3), np.uint8))
                writer.close()
                if path.stat().st_size:
                    return codec
            except Exception:  # whatever an encoder does, the next one is tried
                continue
    return None


class _Program:
    """The program that imageio-ffmpeg brings along."""

    def __init__(self, arguments: Sequence[str], patience: float) -> None:
        from imageio_ffmpeg import get_ffmpeg_exe

        self._patience = patience
        self._process = subprocess.Popen(
            [get_ffmpeg_exe(), "-y", "-loglevel", "error", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # Ctrl-C in a terminal is for the program that records, which then finishes the file.
            process_group=0 if os.name == "posix" else None,
            preexec_fn=end_with_parent if os.name == "posix" else None,
        )
        widen_pipe(self._process.stdin)

    def send(self, content: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(content)
        except BrokenPipeError:
            raise RecordingError(f"the encoder ended: {self._last_words()}") from None

    def end(self) -> None:
        """
        Let it finish.

        :raises RecordingError: if it failed
        """
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        words = self._last_words()
        if self._process.returncode:
            raise RecordingError(f"the encoder failed: {words}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        try:
            self._process.wait(self._patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"it did not end within {self._patience:g} seconds"
        words = "" if self._process.stderr.closed else self._process.stderr.read().decode("utf-8", "replace")
        self._process.stderr.close()
        if _FULL in words:
            return _FULL
        return " ".join(words.split())[:300] or f"exit code {self._process.returncode}"


class _Encoder:
    """Frames through a pipe; odd sizes are made even where the codec needs it."""

    def __init__(
        self, path: Path, size: tuple[int, int], fps: float, codec: str, *, patience: float = _PATIENCE
    ) -> None:
        odd_is_well = codec in CODECS[".gif"]
        self._size = size if odd_is_well else (size[0] + size[0] % 2, size[1] + size[1] % 2)
        width, height = self._size
        frames = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
        colours = ["-pix_fmt", "yuv420p"] if codec.startswith("libvpx") else []
        self._program = _Program([*frames, "-an", "-vcodec", codec, *_ARGUMENTS[codec], *colours, str(path)], patience)

    def write(self, frame: np.ndarray) -> None:
        self._program.send(np.ascontiguousarray(_padded(frame, self._size)).data)

    def close(self) -> None:
        self._program.end()

    def abandon(self) -> None:
        self._program.kill()


class _GifWriter:
    """
    A GIF with the 256 colours that suit all of its frames.

    Which these are is known when all frames are there: they are kept without loss in a file beside it, not in memory.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, codec: str) -> None:
        self._path = path
        self._frames = path.with_suffix(".mkv")
        self._palette = path.with_suffix(".png")
        self._encoder = _Encoder(self._frames, size, fps, codec)

    def write(self, frame: np.ndarray) -> None:
        self._encoder.write(frame)

    def close(self) -> None:
        try:
            self._encoder.close()
            frames, palette = ["-i", str(self._frames)], str(self._palette)
            run_encoder(*frames, "-vf", "palettegen=reserve_transparent=0", palette)
            dither = "paletteuse=dither=sierra2_4a:diff_mode=rectangle"
            run_encoder(
                *frames, "-i", palette, "-lavfi", dither, "-fps_mode", "passthrough", "-loop", "0", str(self._path)
            )
        finally:
            self._remove()

    def abandon(self) -> None:
        self._encoder.abandon()
        self._remove()

    def _remove(self) -> None:
        self._frames.unlink(missing_ok=True)
        self._palette.unlink(missing_ok=True)


class _SmallGifWriter:
    """Where no encoder works: a short GIF."""

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

    def abandon(self) -> None:
        self._frames.clear()


def run_encoder(*arguments: str) -> None:
    """
    Run the encoder on files, to its end.

    :param arguments: as of ffmpeg
    :raises RecordingError: if it fails
    """
    _Program(arguments, _PATIENCE_WITH_COLOURS).end()


def _padded(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Repeat the last row and column where the encoder needs even sizes."""
    height, width = frame.shape[:2]
    if (width, height) == size:
        return frame
    return np.pad(frame, ((0, size[1] - height), (0, size[0] - width), (0, 0)), mode="edge")
