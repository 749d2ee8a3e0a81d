"""Environments that cost nothing: the spaces of the real one, for trying a model out before it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

EPISODE_LENGTH = 50


class SyntheticVecEnv(VecEnv):
    """
    Gives the same sampled observations again and again, no reward, and an end every 50 steps.

    :param env: the real vector of environments, whose spaces and methods it takes over
    :param n_envs: number of environments
    """

    def __init__(self, env: VecEnv, n_envs: int) -> None:
        self.render_mode = None
        super().__init__(n_envs, env.observation_space, env.action_space)
        self._masked = _has_method(env, "action_masks")
        self._masks = np.stack(env.env_method("action_masks"))[0] if self._masked else None
        observation_space = env.observation_space
        state = (
            observation_space.np_random.bit_generator.state if not isinstance(observation_space, spaces.Dict) else None
        )
        samples = [observation_space.sample() for _ in range(n_envs)]
        if state is not None:
            observation_space.np_random.bit_generator.state = state
        self._observation: Any = (
            {key: np.stack([sample[key] for sample in samples]) for key in observation_space.spaces}
            if isinstance(observation_space, spaces.Dict)
            else np.stack(samples)
        )
        self._rewards = np.zeros(n_envs, dtype=np.float32)
        self._steps = 0

    def reset(self) -> Any:
        """Begin the episodes."""
        self._steps = 0
        return self._observation

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions, and do nothing with them."""

    def step_wait(self) -> Any:
        """Count the step."""
        self._steps += 1
        done = self._steps % EPISODE_LENGTH == 0
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if done:
            for index, info in enumerate(infos):
                info["terminal_observation"] = _row(self._observation, index)
                info["episode"] = {"r": 0.0, "l": EPISODE_LENGTH, "t": 0.0}
        return self._observation, self._rewards, np.full(self.num_envs, done), infos

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """No attributes but those that SB3 asks for."""
        if attr_name == "render_mode":
            return [None] * self.num_envs
        if attr_name == "action_masks" and self._masked:
            return [self._masks] * self.num_envs
        raise AttributeError(attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Nothing to set."""

    def has_attr(self, attr_name: str) -> bool:
        """Whether the real environments have action masks, if that is asked."""
        return attr_name == "action_masks" and self._masked

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Masks as the real environments gave them, and no reward for any goal."""
        if method_name == "action_masks" and self._masked:
            return [self._masks] * self.num_envs
        if method_name == "compute_reward":
            return [np.zeros(len(method_args[0]), dtype=np.float32)]
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Wrapped in nothing."""
        return [False] * self.num_envs

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Nothing to seed."""
        return [None] * self.num_envs


def _row(observation: Any, index: int) -> Any:
    return (
        {key: value[index] for key, value in observation.items()}
        if isinstance(observation, dict)
        else observation[index]
    )


def _has_method(env: VecEnv, name: str) -> bool:
    try:
        return bool(env.has_attr(name))
    except Exception:  # a vector of the user's own
        return False
