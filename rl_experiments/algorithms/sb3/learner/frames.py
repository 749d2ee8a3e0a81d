"""A replay buffer that stores each picture once, although stacks of pictures and next observations repeat it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first

_BYTES_OF_CHUNK = 32 << 20
_BYTES_OF_INDEX = 8
_NOTHING = 0
"""Number of the picture that is black all over: what stacks are filled up with when an episode begins."""


def shares_frames(space: spaces.Space) -> bool:
    """:return: whether these observations are pictures, channels first, as SB3 hands them to its replay buffer"""
    return isinstance(space, spaces.Box) and is_image_space(space) and is_image_space_channels_first(space)


def bytes_of_step(space: spaces.Space, frame_stack: int | None) -> int:
    """:return: what a step takes in :class:`FrameReplayBuffer`, without its action and numbers"""
    count = _frames_of(space, frame_stack)
    frame = int(np.prod(space.shape or ())) // count
    # One picture for each step, and one for each episode, of which there is hardly one in 50 steps.
    return frame + frame // 50 + 2 * count * _BYTES_OF_INDEX


class FramePool:
    """
    Pictures by number, in pieces that are reused when none of their pictures is needed any more.

    :param shape: of a picture
    :param n_envs: how many environments give pictures
    :param stack: pictures of an observation
    """

    def __init__(self, shape: tuple[int, ...], n_envs: int, stack: int) -> None:
        self._shape = shape
        # A stack lies in two pieces at most.
        self._per_chunk = max(stack, _BYTES_OF_CHUNK // int(np.prod(shape)))
        self._chunks: dict[int, np.ndarray] = {0: self._new_chunk()}
        self._spare: list[np.ndarray] = []
        self._chunks[0][_NOTHING] = 0
        self._next = 1
        self._holders: list[np.ndarray] = []
        self._last = np.zeros((n_envs, stack, *shape), np.uint8)
        self._last_ids = np.full((n_envs, stack), _NOTHING, np.int64)

    def __getstate__(self) -> dict[str, Any]:
        """:return: without the room that no picture fills yet"""
        newest, used = divmod(self._next, self._per_chunk)
        chunks = {number: chunk[:used] if number == newest else chunk for number, chunk in self._chunks.items()}
        return {**vars(self), "_chunks": chunks, "_spare": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """:param state: as it was stored"""
        vars(self).update(state)
        for number, chunk in self._chunks.items():
            if len(chunk) < self._per_chunk:
                self._chunks[number] = self._new_chunk()
                self._chunks[number][: len(chunk)] = chunk

    @property
    def nbytes(self) -> int:
        """Memory that the pictures take."""
        return (len(self._chunks) + len(self._spare)) * self._per_chunk * int(np.prod(self._shape))

    def hold(self, ids: np.ndarray) -> None:
        """:param ids: numbers of pictures that are needed; the array changes as its owner likes"""
        self._holders.append(ids)

    def put(self, stacks: np.ndarray) -> np.ndarray:
        """
        :param stacks: an observation of each environment, environments by stack by picture
        :return: numbers of the pictures, environments by stack
        """
        for env, stack in enumerate(stacks):
            last, ids = self._last[env], self._last_ids[env]
            if np.array_equal(stack, last):
                continue
            if np.array_equal(stack[:-1], last[1:]):
                ids[:-1] = ids[1:]
                ids[-1] = self._add(stack[-1])
            else:
                ids[:] = [self._add(picture) for picture in stack]
            last[...] = stack
        return self._last_ids

    def get(self, ids: np.ndarray) -> np.ndarray:
        """:return: the pictures of these numbers, in an array of its own"""
        flat = ids.reshape(-1)
        pictures = np.empty((flat.size, *self._shape), np.uint8)
        chunks, numbers = np.divmod(flat, self._per_chunk)
        for place, (chunk, number) in enumerate(zip(chunks.tolist(), numbers.tolist(), strict=True)):
            pictures[place] = self._chunks[chunk][number]
        return pictures.reshape(*ids.shape, *self._shape)

    def _add(self, picture: np.ndarray) -> int:
        if not picture.any():
            return _NOTHING
        chunk, number = divmod(self._next, self._per_chunk)
        if chunk not in self._chunks:
            self._release()
            self._chunks[chunk] = self._spare.pop() if self._spare else self._new_chunk()
        self._chunks[chunk][number] = picture
        self._next += 1
        return self._next - 1

    def _new_chunk(self) -> np.ndarray:
        return np.empty((self._per_chunk, *self._shape), np.uint8)

    def _release(self) -> None:
        """Find the pieces that nobody needs. The newest may hold pictures whose observation is not stored yet."""
        needed = np.zeros(self._next // self._per_chunk + 1, bool)
        needed[[0, -2, -1] if len(needed) > 1 else [0]] = True
        for ids in (*self._holders, self._last_ids):
            for row in np.array_split(ids.reshape(-1), max(1, ids.size >> 20)):
                needed[row // self._per_chunk] = True
        for number in [number for number in self._chunks if not needed[number]]:
            self._spare.append(self._chunks.pop(number))


class SharedStacks:
    """
    What SB3's buffers expect of an array of observations, rows by environments by channels by height by width.

    :param pool: has the pictures
    :param rows: of the buffer
    :param n_envs: environments
    :param stack: pictures of an observation
    :param shape: of an observation
    """

    dtype = np.dtype(np.uint8)
    ndim = 5

    def __init__(self, pool: FramePool, rows: int, n_envs: int, stack: int, shape: tuple[int, ...]) -> None:
        self._pool, self._stack = pool, stack
        self._ids = np.full((rows, n_envs, stack), _NOTHING, np.int64)
        self._shape = shape
        self.shape = (rows, n_envs, *shape)
        pool.hold(self._ids)

    @property
    def nbytes(self) -> int:
        """What an array of the same observations would take."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def stored_bytes(self) -> int:
        """What this takes beside the pictures, which it shares."""
        return self._ids.nbytes

    def __getitem__(self, index: Any) -> np.ndarray:
        ids = self._ids[index]
        return self._pool.get(ids).reshape(*ids.shape[:-1], *self._shape)

    def __setitem__(self, row: int, observations: np.ndarray) -> None:
        channels, height, width = self._shape
        shape = (len(observations), self._stack, channels // self._stack, height, width)
        self._ids[row] = self._pool.put(observations.reshape(shape))

    def copy(self) -> np.ndarray:
        """:return: an array of all observations"""
        return self[:]


class FrameReplayBuffer(ReplayBuffer):
    """
    SB3's replay buffer for pictures, with the same samples in an eighth of the memory.

    :param frame_stack: pictures of an observation; if None, each channel is one
    """

    observations: Any
    next_observations: Any

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Box,
        action_space: spaces.Space,
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        frame_stack: int | None = None,
    ) -> None:
        super().__init__(
            1, observation_space, action_space, device, n_envs, optimize_memory_usage, handle_timeout_termination
        )
        self.buffer_size = rows = max(buffer_size // n_envs, 1)
        for name in ("actions", "rewards", "dones", "timeouts"):
            array = getattr(self, name)
            setattr(self, name, np.zeros((rows, *array.shape[1:]), array.dtype))
        shape = observation_space.shape
        stack = _frames_of(observation_space, frame_stack)
        self.pool = FramePool((shape[0] // stack, *shape[1:]), n_envs, stack)
        self.observations = SharedStacks(self.pool, rows, n_envs, stack, shape)
        if not optimize_memory_usage:
            self.next_observations = SharedStacks(self.pool, rows, n_envs, stack, shape)

    def to_torch(self, array: np.ndarray, copy: bool = True) -> torch.Tensor:
        """
        As SB3's, without a copy of what was sampled, which is an array of its own already.

        :param copy: not used
        """
        tensor = torch.as_tensor(array, device=self.device)
        if tensor.ndim == 4 and tensor.dtype == torch.uint8:
            # Convolutions are faster so, and a byte is moved faster than the number that it becomes.
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor


def _frames_of(space: spaces.Space, frame_stack: int | None) -> int:
    channels = (space.shape or (1,))[0]
    return frame_stack if frame_stack and channels % frame_stack == 0 else channels
