"""Reading videos back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np


def decoded(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    """:return: what the file says of itself, and its frames, shape (n, height, width, 3)"""
    reader = imageio_ffmpeg.read_frames(str(path))
    information = next(reader)
    width, height = information["size"]
    frames = [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]
    return information, np.stack(frames)
