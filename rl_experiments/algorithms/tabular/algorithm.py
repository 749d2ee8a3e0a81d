"""
The hyperparameters of Q-learning and its relatives, and how they unfold over a training.

Their annotations are what values are checked against: they are no text here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

VARIANTS = ("q_learning", "sarsa", "expected_sarsa", "double_q")
"""
What the value of a step is learned from: the best next action (Watkins 1989), the next action that is taken (Rummery
and Niranjan 1994), the mean over next actions (van Seijen et al. 2009), the best next action by a second table
(van Hasselt 2010).
"""
STEPS_OF_A_SCHEDULE = 1000


class QLearning:
    """
    What the hyperparameters of ``q_learning`` are; the defaults are those of the Deep RL Course, unit 2.

    In episode ``i`` an action is drawn with probability ``min + (max - min) exp(-decay * i)``, and is otherwise the
    first of the best, as NumPy's ``argmax`` has it.

    :param n_episodes: episodes to train for; ``-n`` gives a number of steps in their place
    :param learning_rate: how far a value goes towards what it is learned from; a number or a schedule
    :param gamma: discount
    :param max_epsilon: share of drawn actions in the first episode
    :param min_epsilon: share of drawn actions that it comes down to
    :param decay_rate: how fast it comes down, for each episode
    :param max_steps: longest episode, where the environment has no shorter one
    :param variant: ``q_learning``, ``sarsa``, ``expected_sarsa`` or ``double_q``
    :param initial_value: of every entry of the table; above what can be reached, it makes the agent try everything
    :param n_eval_episodes: episodes of an evaluation, where ``--eval-episodes`` says nothing else
    :param eval_seed: seeds of the episodes of an evaluation, in order; later episodes go on from the last
    :param compiled: learn over the environment's transition table, compiled; if None, where that is possible
    """

    def __init__(
        self,
        n_episodes: int | None = None,
        learning_rate: float | Callable[[float], float] = 0.7,
        gamma: float = 0.95,
        max_epsilon: float = 1.0,
        min_epsilon: float = 0.05,
        decay_rate: float = 0.0005,
        max_steps: int = 99,
        variant: str = "q_learning",
        initial_value: float = 0.0,
        n_eval_episodes: int = 100,
        eval_seed: tuple[int, ...] = (),
        compiled: bool | None = None,
    ) -> None:
        self.n_episodes = n_episodes
        self.learning_rate = learning_rate
        self.gamma = float(gamma)
        self.max_epsilon = float(max_epsilon)
        self.min_epsilon = float(min_epsilon)
        self.decay_rate = float(decay_rate)
        self.max_steps = int(max_steps)
        self.variant = variant
        self.initial_value = float(initial_value)
        self.n_eval_episodes = int(n_eval_episodes)
        self.eval_seed = tuple(int(seed) for seed in eval_seed)
        self.compiled = compiled

    def epsilon(self, episode: int) -> float:
        """:return: the share of drawn actions in an episode, counted from 0"""
        return self.min_epsilon + (self.max_epsilon - self.min_epsilon) * math.exp(-self.decay_rate * episode)

    def rates(self) -> np.ndarray:
        """
        :return: the learning rate over the training, from its beginning to its end; one number where it is constant
        """
        if not callable(self.learning_rate):
            return np.array([float(self.learning_rate)])
        rates = [float(self.learning_rate(1.0 - step / STEPS_OF_A_SCHEDULE)) for step in range(STEPS_OF_A_SCHEDULE + 1)]
        return np.array(rates[:1] if len(set(rates)) == 1 else rates)


@dataclass(frozen=True)
class Budget:
    """
    How long a training is. Whole episodes are played until one of the numbers is reached.

    :param episodes: None for no limit
    :param steps: None for no limit
    """

    episodes: int | None
    steps: int | None = None

    def progress(self, episode: int, steps: int) -> float:
        """:return: the share of the training that is done"""
        by_episodes = episode / self.episodes if self.episodes else 0.0
        by_steps = steps / self.steps if self.steps else 0.0
        return min(max(by_episodes, by_steps), 1.0)

    def is_spent(self, episode: int, steps: int) -> bool:
        """Whether the training is over."""
        return self.progress(episode, steps) >= 1.0
