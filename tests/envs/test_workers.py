import functools
import time

import gymnasium as gym
import numpy as np
import pytest

from rl_experiments.core.isolation import run_isolated
from rl_experiments.envs.worker_vectors import WorkerVecEnv


class Large(gym.Env):
    """Observations that no pipe holds at once."""

    observation_space = gym.spaces.Box(0, 255, (1000, 1000), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return self.observation_space.low, {}

    def step(self, action):
        return self.observation_space.low, 0.0, False, False, {}


@pytest.mark.parametrize("make", [functools.partial(gym.make, "CartPole-v1"), Large])
@pytest.mark.parametrize("n_read", [0, 1])
def test_closing_in_the_middle_of_a_step_ends_at_once(make, n_read: int) -> None:
    env = WorkerVecEnv([make, make])
    env.reset()
    env.step_async(np.zeros(2, int))
    for remote in env.remotes[:n_read]:
        remote.recv()
    started = time.monotonic()
    env.close()
    assert time.monotonic() - started < 4
    assert [process.exitcode for process in env.processes] == [0, 0]


def test_a_forked_process_has_workers_although_its_parent_has_some() -> None:
    make = functools.partial(gym.make, "CartPole-v1")
    WorkerVecEnv([make]).close()

    def step_there(_) -> int:
        env = WorkerVecEnv([make, make])
        try:
            env.reset()
            return len(env.step(np.zeros(2, int))[1])
        finally:
            env.close()

    assert run_isolated(step_there, 60) == 2
