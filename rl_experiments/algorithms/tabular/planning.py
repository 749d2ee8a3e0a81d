"""What can be computed exactly from a table of transitions: values of policies, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rl_experiments.algorithms.tabular.transitions import Transitions

_DISCOUNTS = (0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)
_SWEEPS = 20_000
_EQUAL = 1e-10
_MOST_STATES_TO_SEARCH = 100
"""The search tries each action of each state in turn."""


@dataclass(frozen=True)
class Optimum:
    """
    The best that an agent can do which acts alike whenever it sees the same.

    :param actions: of that policy, one for each state
    :param value: its expected return
    :param bound: what no policy exceeds, even one that counts its steps
    """

    actions: np.ndarray
    value: float
    bound: float


class Model:
    """
    Expectations over the outcomes of a table of transitions.

    :param transitions: the table
    """

    def __init__(self, transitions: Transitions) -> None:
        self.transitions = transitions
        counts = np.diff(transitions.offsets)
        before = np.concatenate([[0.0], transitions.cumulative[:-1]])
        before[transitions.offsets[:-1]] = 0.0
        self._probabilities = transitions.cumulative - before
        self._goes_on = self._probabilities * ~transitions.terminal
        self._pair = np.repeat(np.arange(len(counts)), counts)
        self._shape = (transitions.n_states, transitions.n_actions)
        self._starts = np.diff(np.concatenate([[0.0], transitions.starts]))
        self._rewards = self._expected(self._probabilities * transitions.rewards)

    def backup(self, values: np.ndarray, gamma: float = 1.0) -> np.ndarray:
        """
        :param values: of the states, shape (n_states,)
        :return: of the pairs, shape (n_states, n_actions): the expected reward and what follows
        """
        return self._rewards + gamma * self._expected(self._goes_on * values[self.transitions.targets])

    def expected_return(self, actions: np.ndarray, max_steps: int) -> float:
        """
        :param actions: of a policy, one for each state
        :return: its exact expected return, undiscounted, over episodes of at most so many steps
        """
        values, states = np.zeros(self._shape[0]), np.arange(self._shape[0])
        for _ in range(max_steps):
            values = self.backup(values)[states, actions]
        return float(self._starts @ values)

    def optimum(self, max_steps: int) -> Optimum:
        """
        Value iteration (Bellman 1957) for several discounts; of the policies that it gives, the one with the highest
        expected return; where a policy that counts its steps could do better, and there are few states, also the search
        for a single state whose action would better be another.

        :param max_steps: longest episode
        """
        bound = np.zeros(self._shape[0])
        for _ in range(max_steps):
            bound = self.backup(bound).max(axis=1)
        highest = float(self._starts @ bound)
        best = Optimum(np.zeros(self._shape[0], dtype=np.int64), -np.inf, highest)
        for gamma in _DISCOUNTS:
            actions = self.value_iteration(gamma).argmax(axis=1)
            value = self.expected_return(actions, max_steps)
            if value > best.value + _EQUAL:
                best = Optimum(actions, value, highest)
            if best.value >= highest - _EQUAL:
                return best
        return self._improved(best, max_steps) if self._shape[0] <= _MOST_STATES_TO_SEARCH else best

    def value_iteration(self, gamma: float) -> np.ndarray:
        """:return: the values of the pairs of the best policy over endless episodes, shape (n_states, n_actions)"""
        values = np.zeros(self._shape[0])
        for _ in range(_SWEEPS):
            pairs = self.backup(values, gamma)
            following = pairs.max(axis=1)
            if np.abs(following - values).max() < _EQUAL * (1 - gamma):
                break
            values = following
        return pairs

    def _improved(self, best: Optimum, max_steps: int) -> Optimum:
        actions, value, changed = best.actions.copy(), best.value, True
        while changed:
            changed = False
            for state in range(self._shape[0]):
                for action in range(self._shape[1]):
                    other = actions.copy()
                    other[state] = action
                    reached = self.expected_return(other, max_steps)
                    if reached > value + _EQUAL:
                        actions, value, changed = other, reached, True
        return Optimum(actions, value, best.bound)

    def _expected(self, outcomes: np.ndarray) -> np.ndarray:
        size = self._shape[0] * self._shape[1]
        return np.bincount(self._pair, weights=outcomes, minlength=size).reshape(self._shape)
