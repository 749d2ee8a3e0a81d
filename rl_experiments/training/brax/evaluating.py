"""Evaluations during a training with Brax: the same episodes, in the environment that agents are played in later."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from rl_experiments.algorithms.brax.agent import BraxAgent
from rl_experiments.algorithms.brax.policy import Policy
from rl_experiments.envs import make_envs
from rl_experiments.evaluation import Evaluation, play
from rl_experiments.evaluation.seeding import SeededEpisodes
from rl_experiments.runs import Run
from rl_experiments.training.brax.preparation import PreparedBrax
from rl_experiments.training.evaluations import EvaluationLog
from rl_experiments.training.stopping import StopRequest

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


class BraxEvaluations(EvaluationLog):
    """
    Scores policies by their most probable actions. Each evaluation begins anew from the seeds: it depends on the policy
    alone, and whoever plays the same seeds with the saved policy gets the same returns, to the last bit.

    :param prepared: the experiment
    :param run: where ``evaluations.npz`` goes, or None
    :param stop: once it has heard a signal, an evaluation ends at its next step and counts for nothing
    """

    def __init__(self, prepared: PreparedBrax, run: Run | None, stop: StopRequest) -> None:
        self.seeds = prepared.settings.eval_seed[: prepared.experiment.eval_episodes]
        super().__init__(run, self.seeds[0] if self.seeds else 0)
        self._prepared = prepared
        self._stop = stop
        self._env: VecEnv | None = None
        self._agent: BraxAgent | None = None

    def evaluate(self, policy: Policy) -> Evaluation | None:
        """:return: the evaluation, None where a signal ended it"""
        n_episodes = self._prepared.experiment.eval_episodes
        env = self._fresh_env()
        agent = self._acting(policy)
        result = play(agent, env, n_episodes=n_episodes, on_step=lambda _: self._stop.signal is None)
        return result if len(result.episodes) == n_episodes else None

    def close(self) -> None:
        """Close the environment."""
        if self._env is not None:
            self._env.close()

    def _fresh_env(self) -> VecEnv:
        self.close()
        outermost = functools.partial(SeededEpisodes, seeds=self.seeds)
        recipe = self._prepared.configuration.evaluation_recipe
        self._env = make_envs(recipe, 1, self.seeds[0], outermost=outermost)
        return self._env

    def _acting(self, policy: Policy) -> BraxAgent:
        """The agent of the last evaluation acts by the next policy: nothing is compiled again."""
        if self._agent is None:
            self._agent = BraxAgent(policy, self._prepared.configuration.algorithm)
        else:
            self._agent.exchange(policy)
        return self._agent
