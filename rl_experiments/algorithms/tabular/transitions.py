"""The transition table that some environments expose as ``env.unwrapped.P``, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

_TRIED_STEPS = 500
_TRIED_RESETS = 200
_NAMES_OF_STARTS = ("initial_state_distrib", "isd")
"""Gymnasium's name, and that of environments in the manner of gym before 0.22."""
_SEED = 0
_NEUTRAL = (OrderEnforcing, PassiveEnvChecker, TimeLimit)
"""Wrappers that change no transition before the last."""
_ZOOS_TIME_LIMIT = ("rl_zoo3.gym_patches", "PatchedTimeLimit")
"""What Gymnasium has in place of TimeLimit once this process has imported the zoo."""


@dataclass(frozen=True)
class Transitions:
    """
    What follows an action: the outcomes of action ``a`` in state ``s`` are those from ``offsets[s * n_actions + a]`` to
    the next offset.

    :param n_states: also the number of observations
    :param n_actions: in every state
    :param offsets: shape (n_states * n_actions + 1,)
    :param cumulative: probability of an outcome and of those of its pair before it, shape (n_outcomes,)
    :param targets: next states
    :param rewards: of the outcomes
    :param terminal: whether the episode ends
    :param starts: probability that an episode begins in a state or one before it, shape (n_states,)
    """

    n_states: int
    n_actions: int
    offsets: np.ndarray
    cumulative: np.ndarray
    targets: np.ndarray
    rewards: np.ndarray
    terminal: np.ndarray
    starts: np.ndarray

    def outcomes(self, state: int, action: int) -> slice:
        """:return: where the outcomes of a pair are"""
        pair = state * self.n_actions + action
        return slice(int(self.offsets[pair]), int(self.offsets[pair + 1]))


class NoTransitions(Exception):  # noqa: N818 (nothing is wrong)
    """The environment exposes no table that says all about it; the message says why, as the end of a sentence."""


def read_transitions(env: gym.Env) -> Transitions:
    """
    Read the table, and compare it with some steps of the environment.

    An environment may add to its steps what the table does not say (Taxi's ``fickle_passenger``); it then learns by
    stepping, like one without a table.

    :param env: with all of its wrappers
    :raises NoTransitions: if there is no table, or if it is not all
    """
    inner: Any = env.unwrapped
    table = getattr(inner, "P", None)
    if not isinstance(table, (Mapping, list, tuple)):
        raise NoTransitions("it exposes no table of transitions")
    layer = env
    while isinstance(layer, gym.Wrapper):
        kind = type(layer)
        if kind not in _NEUTRAL and (kind.__module__, kind.__name__) != _ZOOS_TIME_LIMIT:
            raise NoTransitions(f"the wrapper {kind.__name__} may change what its table says")
        layer = layer.env
    if getattr(inner, "fickle_passenger", False):
        raise NoTransitions("the passenger's change of mind is not in its table")
    try:
        transitions = _as_arrays(env, table, _starts(env))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise NoTransitions(f"its table of transitions cannot be read ({type(error).__name__})") from None
    _compare(env, transitions)
    return transitions


def _starts(env: gym.Env) -> np.ndarray:
    """:return: the probability of each state to be the first of an episode"""
    for name in _NAMES_OF_STARTS:
        starts = getattr(env.unwrapped, name, None)
        if starts is not None:
            return np.asarray(starts, dtype=float)
    first = {int(env.reset(seed=_SEED + index)[0]) for index in range(_TRIED_RESETS)}
    if len(first) > 1:
        raise NoTransitions("it does not expose where episodes begin (initial_state_distrib)")
    return np.eye(int(env.observation_space.n))[first.pop()]  # type: ignore[attr-defined]


def _as_arrays(env: gym.Env, table: Any, starts: np.ndarray) -> Transitions:
    n_states, n_actions = int(env.observation_space.n), int(env.action_space.n)  # type: ignore[attr-defined]
    offsets, rows = [0], []
    for state in range(n_states):
        for action in range(n_actions):
            total = 0.0
            for probability, target, reward, terminal in table[state][action]:
                total += float(probability)
                rows.append((total, int(target), float(reward), bool(terminal)))
            if abs(total - 1.0) > 1e-6 or not all(0 <= row[1] < n_states for row in rows[offsets[-1] :]):
                raise ValueError("probabilities")
            offsets.append(len(rows))
    if starts.shape != (n_states,) or starts.min() < 0 or abs(starts.sum() - 1.0) > 1e-6:
        raise ValueError("start")
    cumulative, targets, rewards, terminal = zip(*rows, strict=True)
    return Transitions(
        n_states,
        n_actions,
        np.array(offsets, dtype=np.int64),
        np.array(cumulative),
        np.array(targets, dtype=np.int64),
        np.array(rewards),
        np.array(terminal),
        np.cumsum(starts),
    )


def _compare(env: gym.Env, transitions: Transitions) -> None:
    generator = np.random.default_rng(_SEED)
    state, _ = env.reset(seed=_SEED)
    length, limit = 0, _time_limit(env)
    for _ in range(_TRIED_STEPS):
        action = int(generator.integers(transitions.n_actions))
        target, reward, terminated, truncated, _ = env.step(action)
        length += 1
        here = transitions.outcomes(int(state), action)
        known = zip(transitions.targets[here], transitions.rewards[here], transitions.terminal[here], strict=True)
        if not any(end == terminated and (terminated or to == target) and gain == reward for to, gain, end in known):
            raise NoTransitions("its steps are not those of its table")
        if truncated and not terminated and length != limit:
            raise NoTransitions("it ends episodes early for reasons that are not in its table")
        state, length = (env.reset()[0], 0) if terminated or truncated else (target, length)


def _time_limit(env: gym.Env) -> int | None:
    while isinstance(env, gym.Wrapper):
        if hasattr(env, "_max_episode_steps"):
            return int(env._max_episode_steps)
        env = env.env
    return None
