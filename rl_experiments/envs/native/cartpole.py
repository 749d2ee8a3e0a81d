"""Vectors of Gymnasium's own: CartPole computed for all environments at once, and what others register."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, VectorEnv

from rl_experiments.core.restoring import put
from rl_experiments.core.snapshots import Rules, Snapshot
from rl_experiments.envs.native.sources import Batch

_PLACE = "vector"


class SameStepCartPole(CartPoleVectorEnv):
    """Gymnasium's ``CartPoleVectorEnv``, which begins an episode in the step that ends the one before."""

    state: Any

    def __init__(self, *arguments: Any, **kwargs: Any) -> None:
        super().__init__(*arguments, **kwargs)
        self.metadata = {**self.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}

    def step(self, action: Any) -> Any:
        """As Gymnasium's; ``final_obs`` are the last observations."""
        observations, rewards, terminated, truncated, infos = super().step(action)
        ended = self.prev_done
        if ended.any():
            infos = {"final_obs": observations.copy()}
            self.state[:, ended] = self.np_random.uniform(self.low, self.high, size=(4, int(ended.sum())))
            self.steps[ended] = 0
            self.prev_done = np.zeros_like(ended)
            observations = self.state.T.astype(np.float32)
        return observations, rewards, terminated, truncated, infos


class VectorSource:
    """
    A vector of Gymnasium's that begins new episodes in the step that ends the last.

    :param venv: the vector
    """

    frames = 1

    def __init__(self, venv: VectorEnv) -> None:
        self._venv = venv
        self.name = type(venv.unwrapped).__name__
        self.num_envs = venv.num_envs
        self.observation_space, self.action_space = venv.single_observation_space, venv.single_action_space
        self.render_mode = venv.render_mode

    def reset(self, seeds: list[int] | None) -> np.ndarray:
        """One seed serves all: the vector has one generator."""
        observations, _ = self._venv.reset(seed=None if seeds is None else seeds[0])
        return np.array(observations)

    def step(self, actions: np.ndarray) -> Batch:
        """Act in each."""
        observations, rewards, terminated, truncated, infos = self._venv.step(actions)
        terminated, truncated = np.array(terminated, bool), np.array(truncated, bool)
        ended = terminated | truncated
        last = {int(index): np.array(infos["final_obs"][index]) for index in np.flatnonzero(ended)}
        told: list[dict[str, Any]] = [_row(infos, index) for index in range(self.num_envs)]
        rewards = np.array(rewards)
        return Batch(np.array(observations), rewards, rewards, terminated, truncated, ended, last, told)

    def render(self) -> list[np.ndarray]:
        """A picture of each."""
        return list(cast(Any, self._venv.render()) or [])

    def take(self) -> dict[str, Any] | None:
        """All that the vector consists of, if it is made of plain values."""
        snapshot = Snapshot(_rules()).take({_PLACE: self._venv.unwrapped})
        return None if snapshot.missing else snapshot.values

    def put(self, state: dict[str, Any]) -> None:
        """Set it."""
        put({_PLACE: self._venv.unwrapped}, state, _rules())

    def close(self) -> None:
        """Release it."""
        self._venv.close()


def _row(infos: dict[str, Any], index: int) -> dict[str, Any]:
    """:return: what one environment tells, of the arrays that Gymnasium makes of it"""
    return {
        name: values[index]
        for name, values in infos.items()
        if not name.startswith("_")
        and name not in ("final_obs", "final_info")
        and isinstance(values, np.ndarray)
        and (f"_{name}" not in infos or infos[f"_{name}"][index])
    }


def _rules() -> Rules:
    from rl_experiments.envs.state import SPACES

    return Rules(natives=(SPACES,), skipped=frozenset({"spec", "screens", "surf", "clock", "metadata"}))
