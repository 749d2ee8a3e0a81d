"""Learning by stepping an environment."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from rl_experiments.algorithms.tabular.algorithm import Budget, QLearning
from rl_experiments.algorithms.tabular.learning import Episodes, LearnerState
from rl_experiments.core.errors import ConfigurationError

_Rows = dict[int, list[float]]


class SteppingLearner:
    """
    Plays episodes in an environment and learns after each step.

    Every episode has a seed of its own, drawn from the experiment's: the state between two episodes then is the table
    and the generator, whatever the environment keeps inside.

    Rows are Python lists while they are in use: for a handful of actions, ``max`` and ``index`` of a list take a
    tenth of the time of NumPy's ``max`` and ``argmax``, and find the same.

    :param env: with observations and actions that are whole numbers from 0
    :param settings: the hyperparameters
    :param budget: how long the training is
    :param seed: of everything random
    :param values: the tables to begin with; filled with ``initial_value`` if None
    :param stop: asked after each episode whether to end
    """

    name = "stepping"

    def __init__(
        self,
        env: gym.Env,
        settings: QLearning,
        budget: Budget,
        seed: int,
        values: np.ndarray | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        shape = (2, int(env.observation_space.n), int(env.action_space.n))  # type: ignore[attr-defined]
        self.env = env
        self.settings = settings
        self.budget = budget
        self.episode = self.steps = 0
        self._stop = stop
        self._values = first_values(shape, settings) if values is None else values.copy()
        self._rows: tuple[_Rows, _Rows] = ({}, {})
        self._random = random.Random(seed)
        self._rates = settings.rates().tolist()
        self._play = self._play_by_one_table if settings.variant == "q_learning" else self._play_by_variant

    def advance(self, most_steps: int) -> Episodes:
        """See :class:`rl_experiments.algorithms.tabular.learning.Learner`."""
        returns, lengths = [], []
        while not self.budget.is_spent(self.episode, self.steps):
            done = self.budget.progress(self.episode, self.steps)
            rate = self._rates[int(done * (len(self._rates) - 1))]
            total, length = self._play(self.settings.epsilon(self.episode), rate)
            if not math.isfinite(total):
                raise ConfigurationError(f"the environment gave rewards whose sum in an episode is {total}")
            returns.append(total)
            lengths.append(length)
            self.episode += 1
            self.steps += length
            if self.steps >= most_steps or self._stop():
                break
        return Episodes(np.array(returns, dtype=float), np.array(lengths, dtype=np.int64))

    def state(self) -> LearnerState:
        """See :class:`rl_experiments.algorithms.tabular.learning.Learner`."""
        for table, rows in enumerate(self._rows):
            if rows:
                self._values[table, list(rows)] = list(rows.values())
        version, numbers, following = self._random.getstate()
        return LearnerState(self._values.copy(), self.episode, self.steps, [version, list(numbers), following])

    def restore(self, state: LearnerState) -> None:
        """See :class:`rl_experiments.algorithms.tabular.learning.Learner`."""
        self._values = state.values.copy()
        self._rows = ({}, {})
        self.episode, self.steps = state.episode, state.steps
        version, numbers, following = state.generator
        self._random.setstate((version, tuple(numbers), following))

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _row(self, table: int, observation: Any) -> list[float]:
        """:return: a row that is used for the first time"""
        row = int(observation)
        if not 0 <= row < self._values.shape[1]:
            raise ConfigurationError(
                f"the environment gave the observation {observation}, which is not in {self.env.observation_space}"
            )
        values: list[float] = self._values[table, row].tolist()
        self._rows[table][row] = values
        return values

    def _play_by_one_table(self, epsilon: float, rate: float) -> tuple[float, int]:
        """Q-learning; the other variants are in :meth:`_play_by_variant`, this one is as fast as it can be."""
        rows, step, draw = self._rows[0], self.env.step, self._random.random
        gamma, n_actions, limit = self.settings.gamma, self._values.shape[2], self.settings.max_steps
        observation, _ = self.env.reset(seed=self._random.getrandbits(31))
        row = rows.get(observation) or self._row(0, observation)
        total, length = 0.0, 0
        while length < limit:
            action = row.index(max(row)) if draw() > epsilon else int(draw() * n_actions)
            observation, reward, terminated, truncated, _ = step(action)
            length += 1
            total += reward  # type: ignore[operator]
            value = row[action]
            if terminated:
                row[action] = value + rate * (reward - value)  # type: ignore[operator]
                break
            following = rows.get(observation) or self._row(0, observation)
            row[action] = value + rate * (reward + gamma * max(following) - value)  # type: ignore[operator]
            if truncated:
                break
            row = following
        return total, length

    def _play_by_variant(self, epsilon: float, rate: float) -> tuple[float, int]:
        step, draw, variant = self.env.step, self._random.random, self.settings.variant
        gamma, n_actions, limit = self.settings.gamma, self._values.shape[2], self.settings.max_steps
        is_double, is_sarsa = variant == "double_q", variant == "sarsa"

        def rows_of(observation: Any) -> tuple[list[float], list[float]]:
            first = self._rows[0].get(observation) or self._row(0, observation)
            return first, (self._rows[1].get(observation) or self._row(1, observation)) if is_double else first

        def choose(rows: tuple[list[float], list[float]]) -> int:
            if draw() <= epsilon:
                return int(draw() * n_actions)
            deciding = [first + second for first, second in zip(*rows, strict=True)] if is_double else rows[0]
            return deciding.index(max(deciding))

        observation, _ = self.env.reset(seed=self._random.getrandbits(31))
        rows = rows_of(observation)
        action = choose(rows)
        total, length = 0.0, 0
        while True:
            observation, reward, terminated, truncated, _ = step(action)
            length += 1
            total += float(reward)
            table = int(draw() * 2) if is_double else 0
            target = float(reward)
            following = rows_of(observation) if not terminated else rows
            next_action = -1
            if not terminated and is_sarsa:
                next_action = choose(following)
                target += gamma * following[0][next_action]
            elif not terminated and is_double:
                best = following[table].index(max(following[table]))
                target += gamma * following[1 - table][best]
            elif not terminated:
                mean = sum(following[0]) / n_actions
                target += gamma * (epsilon * mean + (1 - epsilon) * max(following[0]))
            row = rows[table]
            row[action] += rate * (target - row[action])
            if terminated or truncated or length >= limit:
                return total, length
            rows = following
            action = next_action if is_sarsa else choose(rows)


def first_values(shape: tuple[int, int, int], settings: QLearning) -> np.ndarray:
    """:return: the tables before training; the second is used by double Q-learning only"""
    values = np.zeros(shape)
    values[: 2 if settings.variant == "double_q" else 1] = settings.initial_value
    return values
