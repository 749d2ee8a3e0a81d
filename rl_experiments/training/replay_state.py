"""
A replay buffer in a checkpoint: rows in files that never change, so that the next checkpoint writes what is new and
links the rest.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer

from rl_experiments.algorithms.sb3.learner.frames import FrameReplayBuffer, SharedStacks
from rl_experiments.core import pickles
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.snapshots import is_plain
from rl_experiments.runs.checkpoints import Checkpoint, link

_ROWS_OF_SEGMENT, _ROWS_OF_BLOCK = 10_000, 256
BUFFER = "replay.pkl"
"""Name of the file in a checkpoint that has the small parts."""
_INDEX = "replay.npz"
_CHANGING = ("ep_start", "ep_length")
"""Of hindsight replay: rows change when their episode ends, and when it is overwritten."""
_LARGEST_COPY = 16 << 20
"""Bytes of a small buffer that a moment may hold a copy of."""


@dataclass(frozen=True)
class _Segment:
    """Rows ``start`` up to ``stop``, counted from the first row that the buffer ever had."""

    start: int
    stop: int

    @property
    def name(self) -> str:
        return f"replay-{self.start:012d}-{self.stop:012d}.npz"


@dataclass(frozen=True)
class Moment:
    """
    What a replay buffer was like: enough to write it as it was after more rows were added.

    :param rows: how many the buffer ever had
    :param oldest: the first of them that it held
    :param state: small parts
    :param index: what changes of rows that are there already
    :param copies: of all arrays, where they are small; the next rows may replace others
    """

    rows: int
    oldest: int
    state: Mapping[str, Any]
    index: Mapping[str, np.ndarray]
    copies: Mapping[str, np.ndarray] | None


class ReplayState:
    """
    Writes a replay buffer into checkpoints, and reads it from one.

    :param buffer: of the model in training
    """

    def __init__(self, buffer: ReplayBuffer) -> None:
        self._buffer = buffer
        self._rows_before = buffer.size()
        self._last: Checkpoint | None = None

    @property
    def size(self) -> int:
        """Bytes of the buffer in memory: more than it takes in a file."""
        shared = self._buffer.pool.nbytes if isinstance(self._buffer, FrameReplayBuffer) else 0
        return shared + sum(getattr(array, "stored_bytes", array.nbytes) for array in _arrays(self._buffer).values())

    def missing(self) -> list[str]:
        """:return: what of the buffer no checkpoint can hold"""
        return [] if is_plain(self._infos()) else ["the replay buffer's infos"]

    def take(self, rows: int) -> Moment:
        """
        :param rows: how many rows were added in this training
        :return: the buffer as it is now
        """
        buffer, total = self._buffer, self._rows_before + rows
        state: dict[str, Any] = {
            "rows": total,
            "rows_before": self._rows_before,
            "pos": buffer.pos,
            "full": buffer.full,
        }
        if hasattr(buffer, "_current_ep_start"):
            state["_current_ep_start"] = buffer._current_ep_start.copy()
        if is_plain(infos := self._infos()):
            state["infos"] = infos
        arrays = _arrays(buffer)
        is_small = sum(array.nbytes for array in arrays.values()) <= _LARGEST_COPY
        copies = {name: array.copy() for name, array in arrays.items()} if is_small else None
        return Moment(total, total - buffer.size(), state, self._index(), copies)

    def write(self, folder: Path, moment: Moment, rows: int) -> dict[str, str]:
        """
        :param folder: of the checkpoint
        :param moment: that shall be written
        :param rows: how many rows were added in this training, up to now
        :return: the digests of files that were linked
        :raises LookupError: if rows of that moment are nowhere any more
        """
        buffer, total, written = self._buffer, moment.rows, moment.oldest
        known: dict[str, str] = {}
        for segment in self._segments():
            if segment.stop > moment.oldest and segment.stop <= total and self._last is not None:
                link(self._last.file(segment.name), folder / segment.name)
                known[segment.name] = self._last.files[segment.name]
                written = max(written, segment.stop)
        newer = self._rows_before + rows - total
        # Where memory is saved, the next observation already stands in the place of the oldest.
        lost = newer + total - buffer.buffer_size + int(buffer.optimize_memory_usage)
        if newer > 0 and moment.copies is None and written < min(lost, total):
            raise LookupError("newer rows of the replay buffer have replaced some of it")
        arrays = moment.copies or _arrays(buffer)
        for start in range(written, total, _ROWS_OF_SEGMENT):
            new = _Segment(start, min(start + _ROWS_OF_SEGMENT, total))
            positions = self._positions(new.start, new.stop, total, moment.state["pos"])
            _write(folder / new.name, arrays, positions)
        _save(folder / _INDEX, moment.index)
        (folder / BUFFER).write_bytes(pickle.dumps(moment.state, protocol=4))
        return known

    def remember(self, checkpoint: Checkpoint) -> None:
        """The next checkpoint may link the files of this one."""
        self._last = checkpoint

    def read(self, checkpoint: Checkpoint) -> None:
        """Fill the buffer, in place; it must have the size that it had then."""
        state = pickles.loads(checkpoint.file(BUFFER).read_bytes())
        buffer, total, pos = self._buffer, state["rows"], state["pos"]
        self._last, self._rows_before = checkpoint, state["rows_before"]
        buffer.pos, buffer.full = pos, state["full"]
        oldest, arrays = total - buffer.size(), _arrays(buffer)
        reached = oldest
        for segment in self._segments():
            first, stop = max(segment.start, reached), min(segment.stop, total)
            if first > reached:
                break
            positions = self._positions(first, stop, total, pos)
            _read(checkpoint.file(segment.name), arrays, positions, first - segment.start)
            reached = max(reached, stop)
        if reached < total:
            raise ConfigurationError(f"{checkpoint.path} lacks rows of the replay buffer")
        self._read_index(checkpoint)
        if "_current_ep_start" in state:
            buffer._current_ep_start = state["_current_ep_start"]  # type: ignore[attr-defined]
        for row, infos in enumerate(state.get("infos", ())):
            buffer.infos[row] = infos  # type: ignore[attr-defined]

    def _infos(self) -> list[Any]:
        """What hindsight replay keeps of the environments' infos, if it does."""
        if not getattr(self._buffer, "copy_info_dict", False):
            return []
        infos: list[Any] = self._buffer.infos[: self._buffer.size()].tolist()  # type: ignore[attr-defined]
        return infos

    def _segments(self) -> list[_Segment]:
        if self._last is None:
            return []
        names = sorted(name for name in self._last.files if name.startswith("replay-"))
        return [_Segment(*map(int, name.removesuffix(".npz").split("-")[1:])) for name in names]

    def _positions(self, start: int, stop: int, total: int, pos: int) -> np.ndarray:
        return (np.arange(start, stop) - total + pos) % self._buffer.buffer_size

    def _index(self) -> dict[str, np.ndarray]:
        buffer = self._buffer
        content = {name: getattr(buffer, name).copy() for name in _CHANGING if hasattr(buffer, name)}
        if buffer.optimize_memory_usage:
            # The next observation of the newest row stands where the next row will be written.
            content["newest"] = buffer.observations[buffer.pos].copy()
        return content

    def _read_index(self, checkpoint: Checkpoint) -> None:
        with np.load(checkpoint.file(_INDEX), allow_pickle=False) as content:
            for name in content.files:
                if name == "newest":
                    self._buffer.observations[self._buffer.pos] = content[name]
                else:
                    getattr(self._buffer, name)[...] = content[name]


def _arrays(buffer: ReplayBuffer) -> dict[str, Any]:
    """:return: the arrays with one entry for each row, by name; those of dictionaries as ``observations/key``"""
    found: dict[str, Any] = {}
    for name, value in vars(buffer).items():
        parts = {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        for part_name, part in parts.items():
            is_rows = isinstance(part, (np.ndarray, SharedStacks)) and part.shape[:1] == (buffer.buffer_size,)
            if is_rows and part.dtype != object and name not in _CHANGING:
                found[part_name] = part
    return found


def _is_image(array: Any) -> bool:
    """Rows of environments of channels of pictures."""
    return array.dtype == np.uint8 and array.ndim == 5


def _write(path: Path, arrays: Mapping[str, np.ndarray], positions: np.ndarray) -> None:
    """Stacked frames and next observations repeat pictures: each is written once."""
    content: dict[str, np.ndarray] = {}
    tables: dict[tuple[int, ...], dict[bytes, int]] = {}
    for name, array in arrays.items():
        if not _is_image(array):
            content[name] = array[positions]
            continue
        shape = array.shape[-2:]
        table = tables.setdefault(shape, {})
        indices = [
            table.setdefault(picture.tobytes(), len(table))
            for block in _blocks(positions)
            for picture in array[positions[block]].reshape(-1, *shape)
        ]
        rows = np.array(indices, np.int32).reshape(len(positions), *array.shape[1:3])
        content[f"indices/{shape[0]}x{shape[1]}/{name}"] = rows
    for shape, table in tables.items():
        pictures = np.frombuffer(b"".join(table), np.uint8).reshape(-1, *shape)
        content[f"pictures/{shape[0]}x{shape[1]}"] = pictures
    _save(path, content)


def _read(path: Path, arrays: Mapping[str, np.ndarray], positions: np.ndarray, skipped: int) -> None:
    """Fill the positions from a file, without its first rows."""
    rows = slice(skipped, skipped + len(positions))
    with np.load(path, allow_pickle=False) as content:
        pictures = {name: content[name] for name in content.files if name.startswith("pictures/")}
        images: list[tuple[Any, np.ndarray, np.ndarray]] = []
        for name in content.files:
            if name.startswith("indices/"):
                _, shape, target = name.split("/", 2)
                images.append((arrays[target], pictures[f"pictures/{shape}"], content[name][rows]))
            elif name not in pictures:
                arrays[name][positions] = content[name][rows]
        for block in _blocks(positions):
            if any(isinstance(array, SharedStacks) for array, _, _ in images):
                _place_in_turn(images, positions[block], block)
                continue
            for array, table, indices in images:
                _place(array, positions[block], table, indices[block])


def _place_in_turn(images: list[tuple[Any, np.ndarray, np.ndarray]], positions: np.ndarray, block: slice) -> None:
    """Pictures are shared by observations that follow one another: each row's, and the one after it."""
    content = [table[indices[block]] for _, table, indices in images]
    for row, position in enumerate(positions):
        for (array, _, _), stacks in zip(images, content, strict=True):
            array[position] = stacks[row]


def _place(array: np.ndarray, positions: np.ndarray, pictures: np.ndarray, indices: np.ndarray) -> None:
    first, stop = positions[0], positions[-1] + 1
    if stop - first == len(positions):
        np.take(pictures, indices, axis=0, out=array[first:stop], mode="clip")
    else:  # around the buffer's end
        array[positions] = pictures[indices]


def _blocks(positions: np.ndarray) -> list[slice]:
    """Parts whose pictures fit into memory easily."""
    return [slice(start, start + _ROWS_OF_BLOCK) for start in range(0, len(positions), _ROWS_OF_BLOCK)]


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """As ``numpy.savez``; what is worth it is compressed, at the fastest of zlib's levels."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            # Observations that are no pictures hardly get smaller, and would take most of the time.
            member = zipfile.ZipInfo(f"{name}.npy") if array.dtype.kind == "f" and array.ndim > 2 else f"{name}.npy"
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
