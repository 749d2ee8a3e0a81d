"""What of the moments goes into a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from rl_experiments.recording.composing import dimmed, tiled
from rl_experiments.recording.pictures import PicturesEndedError
from rl_experiments.recording.scene import Moment
from rl_experiments.recording.video import FrameWriter, open_writer

Decorate = Callable[[Moment], np.ndarray]


class Sink(Protocol):
    """Takes what happens in the environments of a recording."""

    def add(self, moments: Sequence[Moment]) -> bool:
        """
        :param moments: of one step of all environments
        :return: whether there is more to record
        """
        ...


class Film:
    """
    Writes the pictures of one environment; the file is opened with the first, when its size is known.

    :param path: the file
    :param fps: frames per second
    :param decorate: what is written of a moment
    :param across_episodes: go on when an episode has ended
    """

    def __init__(self, path: Path, fps: float, decorate: Decorate, across_episodes: bool = False) -> None:
        self._path = path
        self._fps = fps
        self._decorate = decorate
        self._across_episodes = across_episodes
        self._writer: FrameWriter | None = None
        self.n_frames = 0
        self.width = self.height = 0
        self.complete = False

    def add(self, moments: Sequence[Moment]) -> bool:
        for moment in moments:
            self._write(self._decorate(moment))
            self.complete = moment.done
        return self._across_episodes or not self.complete

    def close(self) -> None:
        """
        Finish the file.

        :raises RecordingError: if that fails
        """
        if self._writer is not None:
            self._writer.close()

    def abandon(self) -> None:
        """End without a finished file."""
        if self._writer is not None:
            self._writer.abandon()

    def _write(self, frame: np.ndarray) -> None:
        if self._writer is None:
            self.height, self.width = frame.shape[:2]
            self._writer = open_writer(self._path, (self.width, self.height), self._fps)
        if frame.shape[:2] != (self.height, self.width):
            raise PicturesEndedError(
                f"pictures changed their size from {self.width}x{self.height} to {frame.shape[1]}x{frame.shape[0]}"
            )
        self._writer.write(frame)
        self.n_frames += 1


class TiledFilm(Film):
    """
    Writes one episode of each of several environments, side by side; one that is over stays, dimmed, at its end.

    :param labels: a text for each environment
    """

    def __init__(self, path: Path, fps: float, decorate: Decorate, labels: Sequence[str]) -> None:
        super().__init__(path, fps, decorate)
        self._labels = labels
        self._tiles: list[np.ndarray] = [np.zeros((2, 2, 3), np.uint8)] * len(labels)
        self._over = [False] * len(labels)

    def add(self, moments: Sequence[Moment]) -> bool:
        first = [moment for moment in moments if moment.step == 0 and moment.episode == 1]
        for together in (first, [moment for moment in moments if moment.step > 0]):
            if together and not self.complete:
                self._show(together)
        return not self.complete

    def _show(self, moments: Sequence[Moment]) -> None:
        just_over = []
        for moment in moments:
            if not self._over[moment.env_index]:
                self._tiles[moment.env_index] = self._decorate(moment)
                if moment.done:
                    just_over.append(moment.env_index)
        self._write(tiled(self._tiles, self._labels))
        for index in just_over:
            self._over[index] = True
            self._tiles[index] = dimmed(self._tiles[index])
        self.complete = all(self._over)
