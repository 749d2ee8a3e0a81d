"""What the Deep RL Course's unit 2 does, written anew: its training loop, its way of scoring, its files."""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

_SEEDS = """
    16 54 165 177 191 191 120 80 149 178 48 38 6 125 174 73 50 172 100 148 146 6 25 40 68 148 49 167 9
    97 164 176 61 7 54 55 161 131 184 51 170 12 120 113 95 126 51 98 36 135 54 82 45 95 89 59 95 124 9
    113 58 85 51 134 121 169 105 21 30 11 50 65 12 43 82 145 152 97 106 55 31 85 38 112 102 168 123 97
    21 83 158 26 80 63 5 81 32 11 28 148
"""
SEEDS = tuple(int(number) for number in _SEEDS.split())
"""Of the episodes in which the course scores Taxi."""
_TAGS = ("q-learning", "reinforcement-learning", "custom-implementation")


def train(
    env: gym.Env,
    n_episodes: int,
    decay_rate: float,
    *,
    learning_rate: float = 0.7,
    gamma: float = 0.95,
    epsilons: tuple[float, float] = (1.0, 0.05),
    max_steps: int = 99,
) -> tuple[np.ndarray, int]:
    """:return: the table, and the steps that were made; draws from Python's generator and the environment's"""
    q = np.zeros((int(env.observation_space.n), int(env.action_space.n)))  # type: ignore[attr-defined]
    most, least = epsilons
    steps = 0
    for episode in range(n_episodes):
        epsilon = least + (most - least) * np.exp(-decay_rate * episode)
        state, _ = env.reset()
        for _ in range(max_steps):
            greedy = random.uniform(0, 1) > epsilon
            action = np.argmax(q[state][:]) if greedy else env.action_space.sample()
            new_state, reward, terminated, truncated, _ = env.step(action)
            q[state][action] = q[state][action] + learning_rate * (
                reward + gamma * np.max(q[new_state]) - q[state][action]
            )
            steps += 1
            if terminated or truncated:
                break
            state = new_state
    return q, steps


def evaluate_agent(
    env: gym.Env, max_steps: int, n_eval_episodes: int, q: np.ndarray, seed: Sequence[int]
) -> tuple[float, float]:
    """:return: mean and standard deviation of the returns"""
    returns = []
    for episode in range(n_eval_episodes):
        state, _ = env.reset(seed=seed[episode]) if seed else env.reset()
        total = 0.0
        for _ in range(max_steps):
            state, reward, terminated, truncated, _ = env.step(int(np.argmax(q[state][:])))
            total += float(reward)
            if terminated or truncated:
                break
        returns.append(total)
    return float(np.mean(returns)), float(np.std(returns))


def load_from_hub(repo_id: str, filename: str) -> dict[str, Any]:
    """:return: the dictionary of a repository, unpickled as the course does"""
    from huggingface_hub import hf_hub_download

    with open(hf_hub_download(repo_id, filename), "rb") as stream:
        content: dict[str, Any] = pickle.load(stream)
    return content


def pushed_files(env_id: str, q: np.ndarray, **facts: Any) -> dict[str, bytes]:
    """:return: what a student's repository holds"""
    model = {
        "env_id": env_id,
        "max_steps": 99,
        "n_training_episodes": 25000,
        "n_eval_episodes": 100,
        "eval_seed": list(SEEDS) if env_id.startswith("Taxi") else [],
        "learning_rate": 0.7,
        "gamma": 0.95,
        "max_epsilon": 1.0,
        "min_epsilon": 0.05,
        "decay_rate": 0.005,
        "qtable": q,
        **facts,
    }
    tags = "".join(f"- {tag}\n" for tag in (env_id, *_TAGS))
    return {
        "q-learning.pkl": pickle.dumps(model),
        "README.md": f"---\ntags:\n{tags}---\n# Q-Learning\n".encode(),
        "results.json": b'{"env_id": "x", "mean_reward": 1.0, "n_eval_episodes": 100}',
        "replay.mp4": bytes(100),
    }
