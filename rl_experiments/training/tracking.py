"""What a training shows in its TensorBoard log, and the name of a tracked run."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

VIDEO_TAG = "evaluation/video"
TRACKER_TAG = "evaluation/episode"
"""Another one, since Weights & Biases takes the images of TensorBoard over under their own."""


def show_in_tensorboard(logger: Any, gif: Path, steps: int) -> None:
    """
    Show a video among the images of a TensorBoard log.

    SB3's own way needs moviepy, and the whole video in memory.

    :param logger: of a model; nothing happens where it writes no TensorBoard log
    :param gif: the video as a GIF
    :param steps: of the training
    """
    from stable_baselines3.common.logger import TensorBoardOutputFormat

    for output in logger.output_formats:
        if isinstance(output, TensorBoardOutputFormat) and not output._is_closed:
            from tensorboard.compat.proto.summary_pb2 import Summary

            content = gif.read_bytes()
            width, height = struct.unpack("<HH", content[6:10])
            image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
            file = output.writer._get_file_writer()
            file.add_summary(Summary(value=[Summary.Value(tag=VIDEO_TAG, image=image)]), steps)
            file.flush()


def run_name(env_id: str, algorithm: str, seed: int) -> str:
    """:return: the name that the zoo gives a tracked run"""
    return f"{env_id}__{algorithm}__{seed}__{int(time.time())}"
