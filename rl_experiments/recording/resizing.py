"""Videos made smaller: a GIF of a video, as large as a report or a tracker can take."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.files import replacing
from rl_experiments.core.processes import end_with_parent

PREVIEW_WIDTH, PREVIEW_FPS, PREVIEW_SECONDS = 320, 10, 30
_PATIENCE = 600.0


class ResizingError(RLExperimentsError):
    """A GIF that could not be made of a video; the message says why."""

    exit_code = 1


def write_preview(video: Path, path: Path) -> Path:
    """
    Make a small GIF of the beginning of a video, at its own pace.

    :param video: MP4, or a GIF, which is taken as it is
    :return: the file
    """
    return write_gif(video, path, PREVIEW_WIDTH, PREVIEW_FPS, PREVIEW_SECONDS)


def write_gif(video: Path, path: Path, width: int, fps: float, seconds: float | None = None) -> Path:
    """
    Make a GIF of a video, at its own pace, with a palette for each picture, so that the memory it takes does not grow
    with its length.

    :param video: MP4, or a GIF, which is taken as it is
    :param width: of the GIF in pixels; a narrower video keeps its own
    :param fps: frames per second; a slower video keeps its own
    :param seconds: of the video, from its beginning; all of it if None
    :return: the file
    :raises ResizingError: if no GIF can be made
    """
    if video.suffix == ".gif":
        if video != path:
            shutil.copyfile(video, path)
        return path
    from imageio_ffmpeg import get_ffmpeg_exe, read_frames

    reader = read_frames(str(video))
    rate = min(fps, next(reader)["fps"])
    reader.close()
    scale = f"scale='min({width},iw)':-2:flags=area"
    palette = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=bayer:bayer_scale=4"
    length = [] if seconds is None else ["-t", f"{seconds:g}"]
    given = ["-y", "-loglevel", "error", *length, "-i", str(video)]
    wanted = ["-filter_complex", f"fps={rate:g},{scale},{palette}", "-loop", "0"]
    with replacing(path) as temporary:
        done = subprocess.run(
            [get_ffmpeg_exe(), *given, *wanted, str(temporary)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_PATIENCE,
            process_group=0 if os.name == "posix" else None,
            preexec_fn=end_with_parent if os.name == "posix" else None,
        )
        if done.returncode or not temporary.exists():
            words = " ".join(done.stderr.decode("utf-8", "replace").split())[:300]
            raise ResizingError(f"no GIF can be made of {video}: {words or f'exit code {done.returncode}'}")
    return path
