"""Frames as single images: a folder for each episode, an index, a contact sheet."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TextIO

import numpy as np

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import write_bytes
from rl_experiments.recording.contact_sheet import contact_sheet
from rl_experiments.recording.film import Decorate
from rl_experiments.recording.scene import Moment
from rl_experiments.recording.video import RecordingError

FOLDER, INDEX, SHEET = "frames", "index.csv", "contact_sheet.png"
COLUMNS = ("episode", "step", "reward", "done", "action")
_UNFINISHED = ".partial"
_BLOCK = 4096
"""Bytes; a file takes whole ones."""


@dataclass(frozen=True)
class Selection:
    """
    Which steps of each episode are kept.

    :param every: each so manieth, counted from the first
    :param first: the first step; 0 is the picture after the reset
    :param last: the last step, or None for the end of the episode
    """

    every: int = 1
    first: int = 0
    last: int | None = None

    def __post_init__(self) -> None:
        if self.every < 1 or self.first < 0:
            raise ConfigurationError(
                f"every must be at least 1 and first at least 0, but got {self.every} and {self.first}"
            )
        if self.last is not None and self.last < self.first:
            raise ConfigurationError(f"the last step, {self.last}, lies before the first, {self.first}")

    def __contains__(self, step: int) -> bool:
        is_within = step >= self.first and (self.last is None or step <= self.last)
        return is_within and (step - self.first) % self.every == 0

    def count(self, n_steps: int) -> int:
        """:return: how many pictures of an episode of so many steps are kept"""
        last = n_steps if self.last is None else min(n_steps, self.last)
        return max(0, (last - self.first) // self.every + 1)


@dataclass(frozen=True)
class Wanted:
    """
    Which moments become images.

    :param shares: for each environment how many of its episodes are wanted, or None for all
    :param selection: which steps of them
    """

    shares: tuple[int | None, ...]
    selection: Selection = field(default_factory=Selection)

    def __call__(self, env_index: int, episode: int, step: int) -> bool:
        return self.has(env_index, episode) and step in self.selection

    def has(self, env_index: int, episode: int) -> bool:
        """:return: whether this episode is wanted"""
        share = self.shares[env_index]
        return share is None or episode <= share


class ImageFolder:
    """
    Writes the pictures of environments as PNG files, each as it is.

    The folder has a name that says so until it is complete. What is there is neither overwritten nor removed: a second
    recording gets the next number.

    :param parent: where ``frames`` (or ``frames_2``, ...) goes
    :param decorate: what is written of a moment
    :param selection: which steps
    :param shares: for each environment how many of its episodes are wanted, or None for all
    :param across_episodes: go on when an episode has ended
    """

    def __init__(
        self,
        parent: Path,
        decorate: Decorate,
        selection: Selection,
        shares: Sequence[int | None] = (None,),
        across_episodes: bool = True,
    ) -> None:
        self._parent, self._decorate = parent, decorate
        self._is_alone = len(shares) == 1
        self.wants = Wanted(tuple(shares), selection)
        """Which moments become images."""
        self._across_episodes = across_episodes
        self._folder: Path | None = None
        self._number = 0
        self._indices: dict[int, TextIO] = {}
        self.first_episode = 1
        """Number of the first episode of what comes next."""
        self.n_frames = 0
        self.complete = False

    def add(self, moments: Sequence[Moment]) -> bool:
        for moment in moments:
            if self.wants.has(moment.env_index, moment.episode):
                self.complete = moment.done
            if self.wants(moment.env_index, moment.episode, moment.step):
                self._write(moment)
        return self._across_episodes or not self.complete

    def require_space(self, moment: Moment, n_images: int) -> None:
        """
        :param moment: the first, whose size tells that of all
        :param n_images: how many there will be at most
        :raises ConfigurationError: if they would not fit on the disk
        """
        each = -(-len(_png(self._decorate(moment))) // _BLOCK) * _BLOCK
        free = shutil.disk_usage(_existing(self._parent)).free
        if each * n_images > free:
            raise ConfigurationError(
                f"{n_images:,} images of {each:,} bytes would take {_size(each * n_images)}, but {self._parent} has"
                f" {_size(free)} free. Fewer steps (-n), or only some of them (--every, --from, --to), need less"
            )

    def finish(self, is_whole: bool = True) -> Path | None:
        """
        :param is_whole: whether all that was wanted is there
        :return: the folder, or None if there is no image
        """
        for index in self._indices.values():
            index.close()
        if self._folder is None:
            return None
        for number in self._indices:
            folder = self._folder_of(number)
            write_bytes(folder / SHEET, _png(contact_sheet(*_listed(folder))))
        if is_whole:
            self._folder = place_folder(self._folder, self._parent, self._number)
        return self._folder

    def _write(self, moment: Moment) -> None:
        if self._folder is None:
            self._folder, self._number = self._claimed()
        folder = self._folder_of(moment.env_index)
        episode = moment.episode + self.first_episode - 1
        image = _image(folder, episode, moment.step)
        try:
            if moment.env_index not in self._indices:
                folder.mkdir(exist_ok=True)
                self._indices[moment.env_index] = (folder / INDEX).open("x", encoding="utf-8", newline="")
                self._list(moment.env_index, COLUMNS)
            image.parent.mkdir(exist_ok=True)
            image.write_bytes(_png(self._decorate(moment)))
            action = "" if moment.action is None else json.dumps(moment.action.tolist())
            self._list(moment.env_index, (episode, moment.step, moment.reward, int(moment.done), action))
        except OSError as error:
            with contextlib.suppress(OSError):
                image.unlink(missing_ok=True)
            raise RecordingError(
                f"An image could not be written: {error.strerror}. The {self.n_frames} before it are in {self._folder}"
            ) from error
        self.n_frames += 1

    def _list(self, env_index: int, row: Sequence[object]) -> None:
        """Each row is on its way to the disk when its image is there, whatever happens next."""
        csv.writer(self._indices[env_index], lineterminator="\n").writerow(row)
        self._indices[env_index].flush()

    def _folder_of(self, env_index: int) -> Path:
        assert self._folder is not None
        return self._folder if self._is_alone else self._folder / f"env-{env_index}"

    def _claimed(self) -> tuple[Path, int]:
        self._parent.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            folder = _named(self._parent, number, _UNFINISHED)
            if not _named(self._parent, number).exists():
                try:
                    folder.mkdir()
                    return folder, number
                except FileExistsError:
                    pass
            number += 1


def place_folder(folder: Path, parent: Path, number: int = 1, is_whole: bool = True) -> Path:
    """:return: where the folder is now: ``frames`` in the parent, or the first that is free from this number on"""
    while True:
        target = _named(parent, number, "" if is_whole else _UNFINISHED)
        try:
            if not target.exists():
                return folder.rename(target)
        except OSError:
            if not target.exists():
                raise
        number += 1


def _named(parent: Path, number: int, ending: str = "") -> Path:
    return parent / f"{FOLDER}{'' if number == 1 else f'_{number}'}{ending}"


def _image(folder: Path, episode: int, step: int) -> Path:
    return folder / f"{episode:03d}" / f"{step:06d}.png"


def _listed(folder: Path) -> tuple[np.ndarray, Callable[[int, int], np.ndarray]]:
    """:return: episode and step of all images of an index, shape (n, 2), and what reads one"""
    with (folder / INDEX).open(encoding="utf-8", newline="") as stream:
        rows = ((int(row["episode"]), int(row["step"])) for row in csv.DictReader(stream))
        listed = np.fromiter(rows, np.dtype((np.int64, 2)))

    def read(episode: int, step: int) -> np.ndarray:
        from PIL import Image

        with Image.open(_image(folder, episode, step)) as image:
            return np.asarray(image.convert("RGB"))

    return listed, read


def _png(picture: np.ndarray) -> bytes:
    from PIL import Image

    stream = BytesIO()
    Image.fromarray(picture).save(stream, "png")
    return stream.getvalue()


def _existing(path: Path) -> Path:
    path = Path(os.path.abspath(path))
    while not path.exists():
        path = path.parent
    return path


def _size(n_bytes: int) -> str:
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:,.1f} {unit}"
    return f"{n_bytes:,} bytes"
