"""A training at its tracker, and what it shows in its TensorBoard log."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl_experiments.runs import Run, RunRecord
from rl_experiments.training.settings import Experiment
from rl_experiments.training.trackers import SafeTracker, TrackedRun

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


def start_tracker(
    experiment: Experiment, hyperparameters: Mapping[str, Any], run: Run, again: bool, in_tensorboard: bool = True
) -> SafeTracker | None:
    """
    :param hyperparameters: as they are saved
    :param again: whether the run has begun before: it goes on at the tracker too
    :param in_tensorboard: whether the training writes a TensorBoard log
    :return: None where the experiment is not tracked
    :raises MissingPackageError: if the tracker's package is not installed
    """
    if not experiment.track:
        return None
    before = RunRecord.read(run).get("tracker") if again else None
    if not isinstance(before, dict) or before.get("kind") != experiment.track:
        before = {}
    return SafeTracker(
        str(experiment.track),
        TrackedRun(
            str(before.get("name") or run_name(run.env_name, experiment.algo, experiment.seed)),
            experiment.wandb_project_name,
            {**experiment.as_arguments(), **hyperparameters},
            experiment.wandb_entity,
            experiment.wandb_group,
            experiment.wandb_tags,
            before.get("id"),
            in_tensorboard,
        ),
    )


def numbers_of(result: Any, episodes: int | None = None) -> dict[str, float]:
    """
    :param result: an evaluation
    :param episodes: that were trained
    :return: what a tracker is told of it, as SB3 names it
    """
    lengths = [episode.length for episode in result.episodes]
    numbers = {"eval/mean_reward": float(result.returns.mean()), "eval/mean_ep_length": sum(lengths) / len(lengths)}
    return numbers if episodes is None else {**numbers, "time/episodes": float(episodes)}
