"""Playing episodes: the one loop that scoring, watching and publishing share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.algorithms.agent import Agent
from rl_experiments.envs import action_masks
from rl_experiments.evaluation.statistics import Episode, Evaluation


@dataclass(frozen=True)
class Step:
    """
    What happened in one step of all environments.

    :param number: 1 for the first
    :param rewards: shape (n_envs,), as the agent's wrappers give them
    :param dones: shape (n_envs,)
    :param infos: one dictionary for each environment
    :param finished: episodes that ended with this step
    """

    number: int
    rewards: np.ndarray
    dones: np.ndarray
    infos: list[dict[str, Any]]
    finished: list[Episode]


def play(
    agent: Agent,
    env: VecEnv,
    *,
    n_episodes: int | None = None,
    n_steps: int | None = None,
    deterministic: bool = True,
    on_step: Callable[[Step], bool | None] | None = None,
) -> Evaluation:
    """
    Let the agent act until enough episodes have ended, or for a number of steps.

    Returns and lengths are those that Monitor counts, before any wrapper changes them: for Atari the raw score, whole
    games, and emulator
    frames. With several environments each plays its share, so that short episodes do not come to count for more (as
    SB3's
    ``evaluate_policy`` does it).

    :param n_episodes: episodes to play; no limit if None
    :param n_steps: steps of all environments together at each count, as the zoo's ``--n-timesteps``; no limit if None
    :param deterministic: the most probable actions instead of samples
    :param on_step: called after each step; returning False ends the play
    """
    if n_episodes is None and n_steps is None:
        raise ValueError("play needs n_episodes or n_steps")
    n_envs = env.num_envs
    share = np.array([((n_episodes or 0) + index) // n_envs for index in range(n_envs)])
    played = np.zeros(n_envs, dtype=int)
    episodes: list[Episode] = []
    observation: Any = env.reset()
    state = None
    episode_start = np.ones(n_envs, dtype=bool)
    counter = _Counter(env)
    number = 0
    while (n_episodes is None or (played < share).any()) and (n_steps is None or number < n_steps):
        masks = action_masks(env) if agent.uses_action_masks else None
        action, state = agent.predict(observation, state, episode_start, deterministic, masks)
        observation, rewards, dones, infos = env.step(action)
        episode_start = dones
        number += 1
        finished = [
            episode
            for episode in counter.count(rewards, dones, infos)
            if n_episodes is None or played[episode.env_index] < share[episode.env_index]
        ]
        for episode in finished:
            played[episode.env_index] += 1
        episodes += finished
        if on_step and on_step(Step(number, rewards, dones, infos, finished)) is False:
            break
    unfinished = [] if n_episodes is not None and not (played < share).any() else counter.unfinished(env)
    return Evaluation(tuple(episodes), tuple(unfinished), deterministic, n_envs, number)


class _Counter:
    """Counts returns and lengths of the episodes of several environments."""

    def __init__(self, env: VecEnv) -> None:
        self.returns = np.zeros(env.num_envs)
        self.lengths = np.zeros(env.num_envs, dtype=int)
        self.goes_on_after_done = env.env_is_wrapped(EpisodicLifeEnv)

    def count(self, rewards: np.ndarray, dones: np.ndarray, infos: list[dict[str, Any]]) -> list[Episode]:
        """:return: the episodes that ended; a lost life is no end"""
        self.returns += rewards
        self.lengths += 1
        ended = []
        for index in np.flatnonzero(dones):
            info = infos[index]
            recorded = info.get("episode")
            if recorded is None:
                if self.goes_on_after_done[index]:
                    continue
                # A wrapper outside Monitor ended the episode.
                recorded = {"r": self.returns[index], "l": self.lengths[index]}
            success = info.get("is_success", info.get("success"))
            ended.append(
                Episode(
                    float(recorded["r"]),
                    int(recorded["l"]),
                    int(index),
                    None if success is None else bool(success),
                    bool(info.get("TimeLimit.truncated", False)),
                )
            )
            self.returns[index], self.lengths[index] = 0.0, 0
        return ended

    def unfinished(self, env: VecEnv) -> list[Episode]:
        """:return: the episodes that were still going on, with what they had so far"""
        try:
            so_far = [(float(sum(rewards)), len(rewards)) for rewards in env.get_attr("rewards")]
        except Exception:  # an environment of the user's without Monitor
            so_far = list(zip(self.returns.tolist(), self.lengths.tolist(), strict=True))
        return [Episode(total, length, index, None, True) for index, (total, length) in enumerate(so_far) if length]
