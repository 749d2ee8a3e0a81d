"""A vector of environments in native code as SB3's VecEnv. Importing this module imports torch."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from rl_experiments.core import pickles
from rl_experiments.core.symbols import Trust
from rl_experiments.envs.native.books import Books
from rl_experiments.envs.native.sources import Batch, Source

_OF_BOOKS = ("returns", "lengths", "started")


class NativeVecEnv(VecEnv):
    """
    SB3's face of a vector that steps all of its environments at once.

    There are no single environments in it: what asks one of them for an attribute or a method finds none, apart from
    those that checkpoints ask for.

    :param source: the vector
    :param books: of its episodes
    """

    def __init__(self, source: Source, books: Books) -> None:
        self._source, self._books = source, books
        super().__init__(source.num_envs, source.observation_space, source.action_space)
        self._methods: dict[str, Callable[..., Any]] = {
            "take_state": self._take,
            "put_state": self._put,
            "end_episode": self._end,
        }

    @property
    def name(self) -> str:
        """What is behind it."""
        return self._source.name

    def reset(self) -> np.ndarray:
        """Begin an episode in each environment, with the seeds of ``seed`` the first time after it."""
        seeds = None if self._seeds[0] is None else [int(seed or 0) for seed in self._seeds]
        self._reset_seeds()
        self._reset_options()
        self._books.begin()
        return self._source.reset(seeds)

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Act in all environments; where an episode ends, the observation is the first of the next one."""
        batch = self._source.step(self._actions)
        self._books.count(batch)
        return batch.observations, batch.rewards.astype(np.float32), self._ended(batch), batch.infos

    @staticmethod
    def _ended(batch: Batch) -> np.ndarray:
        ended: np.ndarray = batch.terminated | batch.truncated
        only_truncated = (batch.truncated & ~batch.terminated).tolist()
        for info, truncated in zip(batch.infos, only_truncated, strict=True):
            info["TimeLimit.truncated"] = truncated
        for index, observation in batch.last.items():
            batch.infos[index]["terminal_observation"] = observation
        return ended

    def close(self) -> None:
        """Release the environments and close the files."""
        self._books.close()
        self._source.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A picture of each environment, where it draws any."""
        return self._source.render() if self.render_mode == "rgb_array" else [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The render mode; there is nothing else that single environments would have."""
        if attr_name != "render_mode":
            raise AttributeError(f"{self._source.name} has no single environments with an attribute '{attr_name}'")
        return [self._source.render_mode for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """There are no single environments to set it in."""
        raise AttributeError(f"{self._source.name} has no single environments to set '{attr_name}' in")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """What checkpoints ask for, answered once for all environments."""
        if method_name not in self._methods:
            raise AttributeError(f"{self._source.name} has no single environments with a method '{method_name}'")
        return [self._methods[method_name](*method_args, **method_kwargs)]

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        """The statistics are those of Monitor, under every wrapper that would change rewards."""
        from stable_baselines3.common.monitor import Monitor

        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def _take(self, inside: bool) -> tuple[bytes, list[str]]:
        state = self._source.take() if inside else {}
        missing = [] if state is not None else [f"the state of {self._source.name}"]
        books = {name: getattr(self._books, name) for name in _OF_BOOKS}
        content = {"source": state, "books": books}
        return pickle.dumps(content, protocol=4), missing

    def _put(self, content: bytes) -> list[str]:
        state = pickles.loads(content, Trust())
        for name, value in state["books"].items():
            setattr(self._books, name, value)
        if state["source"]:
            self._source.put(state["source"])
        return []

    def _end(self) -> None:
        """Episodes end in a reset; nothing of those before is left."""
