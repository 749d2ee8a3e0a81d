"""Learning over the transition table of an environment, by a compiled loop."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from rl_experiments.algorithms.tabular.algorithm import VARIANTS, Budget, QLearning
from rl_experiments.algorithms.tabular.learning import Episodes, LearnerState
from rl_experiments.algorithms.tabular.stepping import first_values
from rl_experiments.algorithms.tabular.transitions import Transitions

_STEPS_AT_ONCE = 2_000_000
"""Some 50 ms: so long may a signal wait."""
_NOWHERE = np.empty(0, dtype=np.int64)


def can_compile() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


class CompiledLearner:
    """
    Plays as :class:`rl_experiments.algorithms.tabular.stepping.SteppingLearner` does, with the same distribution of
    episodes, over a table of transitions in place of an environment.

    :param transitions: of the environment
    :param settings: the hyperparameters
    :param budget: how long the training is
    :param seed: of everything random
    :param values: the tables to begin with; filled with ``initial_value`` if None
    :param stop: asked every moment whether to end
    """

    name = "compiled"

    def __init__(
        self,
        transitions: Transitions,
        settings: QLearning,
        budget: Budget,
        seed: int,
        values: np.ndarray | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        shape = (2, transitions.n_states, transitions.n_actions)
        self.settings = settings
        self.budget = budget
        self.episode = self.steps = 0
        self._stop = stop
        self._transitions = transitions
        self._values = first_values(shape, settings) if values is None else values.copy()
        self._generator = np.random.SeedSequence(seed).generate_state(2, np.uint64)
        self._rates = settings.rates()

    def advance(self, most_steps: int) -> Episodes:
        """See :class:`rl_experiments.algorithms.tabular.learning.Learner`."""
        played = []
        most_steps = max(most_steps, self.steps + 1)
        while self.steps < most_steps and not self.budget.is_spent(self.episode, self.steps):
            played.append(self._advance(min(most_steps, self.steps + _STEPS_AT_ONCE)))
            if self._stop():
                break
        return Episodes(
            np.concatenate([episodes.returns for episodes in played] or [np.empty(0)]),
            np.concatenate([episodes.lengths for episodes in played] or [_NOWHERE]),
        )

    def state(self) -> LearnerState:
        """See :class:`rl_experiments.algorithms.tabular.learning.Learner`."""
        return LearnerState(self._values.copy(), self.episode, self.steps, self._generator.tolist())

    def restore(self, state: LearnerState) -> None:
        """See :class:`rl_experiments.algorithms.tabular.learning.Learner`."""
        self._values = np.ascontiguousarray(state.values.copy())
        self.episode, self.steps = state.episode, state.steps
        self._generator = np.array(state.generator, dtype=np.uint64)

    def close(self) -> None:
        """There is nothing to release."""

    def _advance(self, most_steps: int) -> Episodes:
        room = most_steps - self.steps
        if self.budget.episodes is not None:
            room = min(room, self.budget.episodes - self.episode)
        returns, lengths = np.empty(room), np.empty(room, dtype=np.int64)
        settings = self.settings
        played, self.steps = _call(
            self._values,
            self._generator,
            self._transitions,
            _NOWHERE,
            settings,
            (settings.max_epsilon, settings.min_epsilon),
            self._rates,
            (self.episode, self.steps),
            (self.budget.episodes or 0, self.budget.steps or 0, most_steps),
            (returns, lengths),
        )
        self.episode += played
        return Episodes(returns[:played].copy(), lengths[:played].copy())


def play_greedily(
    transitions: Transitions,
    actions: np.ndarray,
    max_steps: int,
    n_episodes: int,
    seed: int,
    starts: Sequence[int] = (),
) -> Episodes:
    """
    Play episodes by a policy, without learning.

    :param actions: one for each state
    :param max_steps: longest episode
    :param seed: of everything random
    :param starts: states in which the episodes begin, in turn; drawn if there are none
    """
    values = np.zeros((2, transitions.n_states, transitions.n_actions))
    values[0, np.arange(transitions.n_states), actions] = 1.0
    returns, lengths = np.empty(n_episodes), np.empty(n_episodes, dtype=np.int64)
    settings = QLearning(max_steps=max_steps)
    _call(
        values,
        np.random.SeedSequence(seed).generate_state(2, np.uint64),
        transitions,
        np.array(starts, dtype=np.int64),
        settings,
        (-1.0, -1.0),
        np.zeros(1),
        (0, 0),
        (n_episodes, 0, np.iinfo(np.int64).max),
        (returns, lengths),
    )
    return Episodes(returns, lengths)


def learn_many(
    transitions: Transitions, settings: QLearning, budget: Budget, seeds: Sequence[int], n_threads: int = 1
) -> list[CompiledLearner]:
    """
    Train once for each seed: compiled once, and on several cores, since the loop leaves Python's lock.

    :return: the trained learners, each as it would be by itself
    """
    learners = [CompiledLearner(transitions, settings, budget, seed) for seed in seeds]

    def train(learner: CompiledLearner) -> None:
        while not budget.is_spent(learner.episode, learner.steps):
            learner.advance(np.iinfo(np.int64).max)

    with ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(train, learners))
    return learners


def _call(
    values: np.ndarray,
    generator: np.ndarray,
    transitions: Transitions,
    fixed_starts: np.ndarray,
    settings: QLearning,
    epsilons: tuple[float, float],
    rates: np.ndarray,
    done: tuple[int, int],
    limits: tuple[int, int, int],
    results: tuple[np.ndarray, np.ndarray],
) -> tuple[int, int]:
    from rl_experiments.algorithms.tabular import kernel

    played: Any = kernel.learn(
        values,
        generator,
        transitions.offsets,
        transitions.cumulative,
        transitions.targets,
        transitions.rewards,
        transitions.terminal,
        transitions.starts,
        fixed_starts,
        VARIANTS.index(settings.variant),
        settings.gamma,
        *epsilons,
        settings.decay_rate,
        settings.max_steps,
        rates,
        *done,
        *limits,
        *results,
    )
    return int(played[0]), int(played[1])
