"""Playing episodes: the one loop that scoring, watching and publishing share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_experiments.algorithms.agent import Agent
from rl_experiments.envs import action_masks
from rl_experiments.evaluation.statistics import Episode, Evaluation

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


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
    return Game(agent, env, n_episodes, n_steps, deterministic, on_step).play()


class Game:
    """
    Episodes under way; the parameters are those of :func:`play`.

    It knows at every moment what was played and what is being done, for whom an environment that fails, or a person who
    has seen enough, must not take the episodes that ended.
    """

    def __init__(
        self,
        agent: Agent,
        env: VecEnv,
        n_episodes: int | None = None,
        n_steps: int | None = None,
        deterministic: bool = True,
        on_step: Callable[[Step], bool | None] | None = None,
    ) -> None:
        if n_episodes is None and n_steps is None:
            raise ValueError("play needs n_episodes or n_steps")
        self._agent, self._env, self._on_step = agent, env, on_step
        self._n_episodes, self._n_steps, self._deterministic = n_episodes, n_steps, deterministic
        self._share = np.array([((n_episodes or 0) + index) // env.num_envs for index in range(env.num_envs)])
        self._played = np.zeros(env.num_envs, dtype=int)
        self._episodes: list[Episode] = []
        self._counter = _Counter(env)
        self._number = 0
        self.doing: str | None = None
        """What the environment or the agent is at, as the end of a sentence; None while ``on_step`` has its turn."""

    def play(self) -> Evaluation:
        """Play to the end."""
        self.doing = "the environment failed at its reset"
        observation: Any = self._env.reset()
        state = None
        episode_start = np.ones(self._env.num_envs, dtype=bool)
        while self._has_more_episodes and (self._n_steps is None or self._number < self._n_steps):
            self.doing = f"the environment failed to say which actions are allowed in step {self._number + 1}"
            masks = action_masks(self._env) if self._agent.uses_action_masks else None
            self.doing = f"the agent failed to act on the observation of step {self._number + 1}"
            action, state = self._agent.predict(observation, state, episode_start, self._deterministic, masks)
            self.doing = f"the environment failed in step {self._number + 1}"
            observation, rewards, dones, infos = self._env.step(action)
            episode_start = dones
            self._number += 1
            finished = self._take(self._counter.count(rewards, dones, infos))
            self.doing = None
            step = Step(self._number, rewards, dones, infos, finished)
            if self._on_step and self._on_step(step) is False:
                break
        return self._result(self._counter.unfinished(self._env))

    def so_far(self) -> Evaluation:
        """:return: what was played, without a word to the environments, which may be in the middle of a step"""
        return self._result(self._counter.unfinished())

    @property
    def _has_more_episodes(self) -> bool:
        return self._n_episodes is None or bool((self._played < self._share).any())

    def _take(self, ended: list[Episode]) -> list[Episode]:
        """:return: those of the episodes that belong to the share of their environment"""
        finished = [
            episode
            for episode in ended
            if self._n_episodes is None or self._played[episode.env_index] < self._share[episode.env_index]
        ]
        for episode in finished:
            self._played[episode.env_index] += 1
        self._episodes += finished
        return finished

    def _result(self, unfinished: list[Episode]) -> Evaluation:
        return Evaluation(
            tuple(self._episodes),
            tuple(unfinished if self._n_episodes is None or self._has_more_episodes else ()),
            self._deterministic,
            self._env.num_envs,
            self._number,
        )


class _Counter:
    """Counts returns and lengths of the episodes of several environments."""

    def __init__(self, env: VecEnv) -> None:
        from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv

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

    def unfinished(self, env: VecEnv | None = None) -> list[Episode]:
        """:return: the episodes that were still going on, with what they had so far, as the environments tell it"""
        so_far = list(zip(self.returns.tolist(), self.lengths.tolist(), strict=True))
        if env is not None:
            with contextlib.suppress(Exception):  # an environment of the user's without Monitor
                so_far = [(float(sum(rewards)), len(rewards)) for rewards in env.get_attr("rewards")]
        return [Episode(total, length, index, None, True) for index, (total, length) in enumerate(so_far) if length]
