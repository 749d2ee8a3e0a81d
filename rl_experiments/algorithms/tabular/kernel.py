"""
The compiled loop over a transition table. Importing this module imports numba.

The machine code is kept in this machine's cache folder, which can be written to where the package itself cannot.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from rl_experiments.core.files import cache_folder

_UNIT = 1.0 / 9007199254740992.0
Q_LEARNING, SARSA, EXPECTED_SARSA, DOUBLE_Q = range(4)
"""The places of the variants in :data:`rl_experiments.algorithms.tabular.algorithm.VARIANTS`."""
_SIGNATURE = (
    "Tuple((int64, int64))("
    "float64[:, :, ::1], uint64[::1], int64[::1], float64[::1], int64[::1], float64[::1], boolean[::1], float64[::1],"
    "int64[::1], int64, float64, float64, float64, float64, int64, float64[::1], int64, int64, int64, int64, int64,"
    "float64[::1], int64[::1])"
)


@numba.njit("float64(uint64[::1])", inline="always")
def _draw(generator: np.ndarray) -> float:
    """A number from 0 to 1, by xorshift128+ (Vigna 2017)."""
    first, second = generator[0], generator[1]
    generator[0] = second
    first ^= first << np.uint64(23)
    generator[1] = first ^ second ^ (first >> np.uint64(18)) ^ (second >> np.uint64(5))
    return ((generator[1] + second) >> np.uint64(11)) * _UNIT


def _learn(
    values: Any,
    generator: Any,
    offsets: Any,
    cumulative: Any,
    targets: Any,
    rewards: Any,
    terminal: Any,
    starts: Any,
    fixed_starts: Any,
    variant: int,
    gamma: float,
    max_epsilon: float,
    min_epsilon: float,
    decay_rate: float,
    max_steps: int,
    rates: Any,
    episode: int,
    steps: int,
    most_episodes: int,
    all_steps: int,
    most_steps: int,
    returns: Any,
    lengths: Any,
) -> tuple[int, int]:
    """
    Play episodes from ``episode`` on; all arguments but the tables are as in Learner.

    :param fixed_starts: states in which episodes begin, in turn; drawn by ``starts`` if it is empty
    :param most_episodes: of the budget, 0 for no limit
    :param all_steps: of the budget, 0 for no limit
    :param most_steps: after which it comes back
    :return: episodes that were played, and steps counted from the beginning of the training
    """
    n_states, n_actions = values.shape[1], values.shape[2]
    first = episode
    for place in range(returns.shape[0]):
        if steps >= most_steps:
            break
        progress = 0.0
        if most_episodes > 0:
            progress = episode / most_episodes
        if all_steps > 0:
            progress = max(progress, steps / all_steps)
        if progress >= 1.0:
            break
        rate = rates[int(progress * (rates.shape[0] - 1))]
        epsilon = min_epsilon + (max_epsilon - min_epsilon) * math.exp(-decay_rate * episode)
        if fixed_starts.shape[0] > 0:
            state = fixed_starts[episode % fixed_starts.shape[0]]
        else:
            drawn, low, high = _draw(generator), 0, n_states - 1
            while low < high:
                middle = (low + high) // 2
                if starts[middle] > drawn:
                    high = middle
                else:
                    low = middle + 1
            state = low
        total, length, chosen = 0.0, 0, -1
        while length < max_steps:
            if chosen >= 0:
                action = chosen
            elif _draw(generator) > epsilon:
                action = 0
                for other in range(1, n_actions):
                    if values[0, state, other] + values[1, state, other] > (
                        values[0, state, action] + values[1, state, action]
                    ):
                        action = other
            else:
                action = int(_draw(generator) * n_actions)
            outcome = offsets[state * n_actions + action]
            last = offsets[state * n_actions + action + 1] - 1
            if outcome < last:
                drawn = _draw(generator)
                while outcome < last and cumulative[outcome] <= drawn:
                    outcome += 1
            following, reward = targets[outcome], rewards[outcome]
            table = 0
            if variant == DOUBLE_Q:
                table = int(_draw(generator) * 2)
            target = reward
            if not terminal[outcome]:
                best = 0
                for other in range(1, n_actions):
                    if values[table, following, other] > values[table, following, best]:
                        best = other
                if variant == Q_LEARNING:
                    target += gamma * values[0, following, best]
                elif variant == DOUBLE_Q:
                    target += gamma * values[1 - table, following, best]
                elif variant == SARSA:
                    chosen = best
                    if _draw(generator) <= epsilon:
                        chosen = int(_draw(generator) * n_actions)
                    target += gamma * values[0, following, chosen]
                else:
                    mean = 0.0
                    for other in range(n_actions):
                        mean += values[0, following, other]
                    target += gamma * (epsilon * mean / n_actions + (1 - epsilon) * values[0, following, best])
            values[table, state, action] += rate * (target - values[table, state, action])
            total += reward
            length += 1
            if terminal[outcome]:
                break
            state = following
        returns[place], lengths[place] = total, length
        steps += length
        episode += 1
    return episode - first, steps


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    settings: Any = numba.config
    before, folder = settings.CACHE_DIR, cache_folder() / "numba"
    settings.CACHE_DIR = before or str(folder)
    try:
        return numba.njit(_SIGNATURE, cache=True, nogil=True)(function)
    except Exception:  # there is no place on this machine that can be written to, or what is kept there is damaged
        if not before:
            shutil.rmtree(folder, ignore_errors=True)
        return numba.njit(_SIGNATURE, nogil=True)(function)
    finally:
        settings.CACHE_DIR = before


learn = _compiled(_learn)
