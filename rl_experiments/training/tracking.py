"""Trackers: TensorBoard, and Weights & Biases, which reads the files of TensorBoard."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import MissingPackageError

VIDEO_TAG = "evaluation/video"
WANDB_TAG = "evaluation/episode"
"""Another one, since Weights & Biases takes the images of TensorBoard over under their own."""


def start_wandb(name: str, settings: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """
    Begin a run at Weights & Biases, which then follows the TensorBoard log.

    :param name: the run's name
    :param settings: ``project``, ``entity``, ``group`` and ``tags``
    :param config: what to store with it
    :return: the run; ``finish(exit_code)`` ends it
    :raises MissingPackageError: if wandb is not installed
    """
    try:
        import wandb
    except ImportError:
        raise MissingPackageError("--track", "wandb", "wandb") from None
    return wandb.init(
        name=name, config=dict(config), sync_tensorboard=True, monitor_gym=False, save_code=False, **settings
    )


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


def show_in_wandb(tracker: Any, video: Path, steps: int) -> None:
    """
    Show a video at Weights & Biases.

    :param tracker: as of :func:`start_wandb`
    :param steps: of the training, on the axis of the TensorBoard log
    """
    import wandb

    tracker.log({WANDB_TAG: wandb.Video(str(video), format=video.suffix[1:]), "global_step": steps})


def run_name(env_id: str, algorithm: str, seed: int) -> str:
    """:return: the name that the zoo gives a tracked run"""
    return f"{env_id}__{algorithm}__{seed}__{int(time.time())}"
