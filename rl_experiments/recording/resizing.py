"""Videos made smaller: a GIF of a video, as large as a report or a tracker can take."""

from __future__ import annotations

import shutil
from pathlib import Path

from rl_experiments.core.files import replacing
from rl_experiments.recording.video import run_encoder

PREVIEW_WIDTH, PREVIEW_FPS, PREVIEW_SECONDS = 320, 10, 30


def write_preview(video: Path, path: Path) -> Path:
    """
    Make a small GIF of the beginning of a video, at its own pace.

    :param video: MP4, or a GIF, which is taken as it is
    :return: the file
    """
    return write_gif(video, path, PREVIEW_WIDTH, PREVIEW_FPS, PREVIEW_SECONDS)


def write_gif(video: Path, path: Path, width: int, fps: float, seconds: float | None = None) -> Path:
    """
    Make a GIF of a video, at its own pace, without holding it in memory.

    :param video: MP4, or a GIF, which is taken as it is
    :param width: of the GIF in pixels; a narrower video keeps its own
    :param fps: frames per second; a slower video keeps its own
    :param seconds: of the video, from its beginning; all of it if None
    :return: the file
    :raises RecordingError: if no GIF can be made
    """
    if video.suffix == ".gif":
        if video != path:
            shutil.copyfile(video, path)
        return path
    from imageio_ffmpeg import read_frames

    reader = read_frames(str(video))
    rate = min(fps, next(reader)["fps"])
    reader.close()
    length = [] if seconds is None else ["-t", f"{seconds:g}"]
    smaller = f"fps={rate:g},scale='min({width},iw)':-2:flags=area"
    with replacing(path) as temporary:
        palette = temporary.with_suffix(".png")
        try:
            run_encoder(*length, "-i", str(video), "-vf", f"{smaller},palettegen=reserve_transparent=0", str(palette))
            coloured = f"{smaller}[small];[small][1:v]paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle"
            run_encoder(*length, "-i", str(video), "-i", str(palette), "-lavfi", coloured, "-loop", "0", str(temporary))
        finally:
            palette.unlink(missing_ok=True)
    return path
