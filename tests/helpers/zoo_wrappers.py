"""Steps the zoo's wrappers with fixed actions and writes what comes out: ``python zoo_wrappers.py OUT.json``."""

from __future__ import annotations

import json
import sys
from typing import Any

import gymnasium as gym
import numpy as np

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("FrameSkip", "Pendulum-v1", {"skip": 3}),
    ("FrameSkip", "Pendulum-v1", {}),
    ("ActionNoiseWrapper", "Pendulum-v1", {"noise_std": 0.0}),
    ("ActionSmoothingWrapper", "Pendulum-v1", {"smoothing_coef": 0.3}),
    ("DelayedRewardWrapper", "Pendulum-v1", {"delay": 4}),
    ("HistoryWrapper", "Pendulum-v1", {"horizon": 3}),
    ("MaskVelocityWrapper", "Pendulum-v1", {}),
]


def trace(module: Any) -> list[Any]:
    """:return: observations and rewards of 30 steps for each case"""
    result = []
    for name, env_id, kwargs in CASES:
        env = getattr(module, name)(gym.make(env_id, max_episode_steps=20), **kwargs)
        rng = np.random.default_rng(0)
        rows = [[env.reset(seed=1)[0].tolist(), 0.0]]
        for _ in range(30):
            observation, reward, terminated, truncated, _ = env.step(rng.uniform(-2, 2, 1).astype(np.float32))
            rows.append([np.asarray(observation).tolist(), float(reward)])
            if terminated or truncated:
                rows.append([env.reset(seed=2)[0].tolist(), 0.0])
        result.append([name, list(env.observation_space.shape), rows])
    return result


if __name__ == "__main__":
    from rl_zoo3 import wrappers

    with open(sys.argv[1], "w", encoding="utf-8") as stream:
        json.dump(trace(wrappers), stream)
