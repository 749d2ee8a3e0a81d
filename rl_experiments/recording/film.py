"""What of the grabbed frames goes into a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rl_experiments.evaluation.playing import Step
from rl_experiments.recording.pictures import Grabber
from rl_experiments.recording.video import FrameWriter, RecordingError, open_writer


class Film:
    """Writes the frames of the steps; the file is opened with the first, when its size is known."""

    def __init__(self, path: Path, fps: float, grabber: Grabber, across_episodes: bool) -> None:
        self._path = path
        self._fps = fps
        self._grabber = grabber
        self._across_episodes = across_episodes
        self._waiting: list[np.ndarray] = []
        self._writer: FrameWriter | None = None
        self.n_frames = 0
        self.width = self.height = 0
        self.complete = False

    def add(self, step: Step) -> bool:
        """
        Write what was grabbed since the last step.

        :return: whether there is more to film
        """
        frames = self._waiting + self._grabber.take()
        self.complete = bool(step.finished)
        # What follows the end within the same step is the first frame of the next episode, if that is to be seen.
        n_own = (2 if step.number == 1 or self._waiting else 1) if self.complete else len(frames)
        self._waiting = frames[n_own:]
        for frame in frames[:n_own]:
            self._write(frame)
        return self._across_episodes or not self.complete

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _write(self, frame: np.ndarray) -> None:
        if self._writer is None:
            self.height, self.width = frame.shape[:2]
            self._writer = open_writer(self._path, (self.width, self.height), self._fps)
        if frame.shape[:2] != (self.height, self.width):
            raise RecordingError(
                f"pictures changed their size from {self.width}x{self.height} to {frame.shape[1]}x{frame.shape[0]}"
            )
        self._writer.write(frame)
        self.n_frames += 1
