"""
SB3's vector of environments in this process and its frame stack, with fewer copies and the same bits.

Importing this module imports torch.
"""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

_NEVER_CHANGE = frozenset(
    {bool, int, float, complex, str, bytes, type(None), np.float32, np.float64, np.int64, np.bool_}
)


def independent(value: Any) -> Any:
    """:return: a deep copy, in a fraction of the time for what environments tell about their steps"""
    kind = type(value)
    if kind in _NEVER_CHANGE:
        return value
    if kind is dict:
        return {name: item if type(item) in _NEVER_CHANGE else independent(item) for name, item in value.items()}
    if kind is np.ndarray and value.dtype.kind in "biufc":
        return value.copy(order="K")
    return copy.deepcopy(value)


class LeanVecEnv(DummyVecEnv):
    """As SB3's ``DummyVecEnv``."""

    @property
    def is_fused(self) -> bool:
        """Whether all of its environments are Atari games that are stepped in one call."""
        return all(_is_fused(env) for env in self.envs)

    def step_wait(self) -> VecEnvStepReturn:
        """As SB3's: step each environment, and begin a new episode in those whose episode has ended."""
        for index, env in enumerate(self.envs):
            observation, self.buf_rews[index], terminated, truncated, info = env.step(self.actions[index])
            self.buf_infos[index] = info
            info["TimeLimit.truncated"] = truncated and not terminated
            if terminated or truncated:
                self.buf_dones[index] = True
                info["terminal_observation"] = observation
                observation, self.reset_infos[index] = env.reset()
            else:
                self.buf_dones[index] = False
            self._save_obs(index, observation)
        infos = [independent(info) for info in self.buf_infos]
        return self._obs_from_buf(), self.buf_rews.copy(), self.buf_dones.copy(), infos

    def _obs_from_buf(self) -> Any:
        if isinstance(self.observation_space, (spaces.Dict, spaces.Tuple)):
            return super()._obs_from_buf()
        return self.buf_obs[self.keys[0]].copy()


def _is_fused(env: gym.Env) -> bool:
    while isinstance(env, gym.Wrapper):
        if vars(env).get("fused_step") is not None:
            return True
        env = env.env
    return False


class LeanFrameStack(VecFrameStack):
    """
    As SB3's ``VecFrameStack``.

    :param venv: whose observations are stacked
    :param n_stack: how many of them
    """

    def __init__(self, venv: VecEnv, n_stack: int) -> None:
        super().__init__(venv, n_stack)
        if isinstance(venv.observation_space, spaces.Box):
            self.stacked_obs = _LeanStack(venv.num_envs, n_stack, venv.observation_space)
            self.observation_space = self.stacked_obs.stacked_observation_space


class _LeanStack(StackedObservations):
    def update(self, observations: Any, dones: np.ndarray, infos: list[dict[str, Any]]) -> Any:
        """As SB3's, with one copy where it has three: what was returned before stays as it is."""
        axis = self.stack_dimension % observations.ndim
        moved = self._moved(observations.shape[axis], axis)
        new = (slice(None),) * axis + (slice(-observations.shape[axis], None),)
        for index in np.flatnonzero(dones):
            if "terminal_observation" in infos[index]:
                terminal = moved[index].copy()
                terminal[new[1:]] = infos[index]["terminal_observation"]
                infos[index]["terminal_observation"] = terminal
            moved[index] = 0
        moved[new] = observations
        self.stacked_obs = moved
        return moved, infos

    def _moved(self, by: int, axis: int) -> np.ndarray:
        """:return: a new array with every frame one place further to the front, and anything in the last place"""
        stack = self.stacked_obs
        if by == 1 and axis == stack.ndim - 1 and stack.dtype == np.uint8 and stack.shape[-1] == 4 and _SMALL_FIRST:
            # The four frames of a pixel are the four bytes of a number.
            return (stack.view(np.uint32) >> 8).view(np.uint8)
        moved = np.empty_like(stack)
        head, tail = (slice(None),) * axis + (slice(-by),), (slice(None),) * axis + (slice(by, None),)
        moved[head] = stack[tail]
        return moved


_SMALL_FIRST = np.little_endian
