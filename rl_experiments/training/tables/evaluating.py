"""Evaluations during a training with a table, and the file and the scores that they leave."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from rl_experiments.algorithms.tabular.compiled import play_greedily
from rl_experiments.algorithms.tabular.table import Table, TableAgent
from rl_experiments.envs import make_envs, make_one
from rl_experiments.evaluation import Evaluation, play
from rl_experiments.evaluation.seeding import SeededEpisodes
from rl_experiments.runs import Run
from rl_experiments.training.configuration import EVALUATION_SEED_OFFSET
from rl_experiments.training.evaluations import EvaluationLog
from rl_experiments.training.stopping import StopRequest
from rl_experiments.training.tables.preparation import PreparedTable

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


class TableEvaluations(EvaluationLog):
    """
    Scores greedy policies, and remembers what they reached. Each evaluation begins anew from the seeds: it depends on
    the table alone.

    :param prepared: the experiment
    :param run: where ``evaluations.npz`` goes, or None
    :param stop: once it has heard a signal, an evaluation ends at its next step and counts for nothing
    """

    def __init__(self, prepared: PreparedTable, run: Run | None, stop: StopRequest) -> None:
        experiment, settings = prepared.experiment, prepared.settings
        super().__init__(run, (experiment.seed + EVALUATION_SEED_OFFSET) % 2**32)
        self.n_episodes = experiment.eval_episodes
        self._prepared = prepared
        self._stop = stop
        self._seeds = settings.eval_seed[: self.n_episodes]
        self._starts: list[int] | None = None
        self._env: VecEnv | None = None
        self._over_table = prepared.compiled and not experiment.eval_env_kwargs

    def evaluate(self, table: Table, steps: int) -> Evaluation | None:
        """:return: the evaluation, None where a signal ended it"""
        result = self.play(table)
        if len(result.episodes) < self.n_episodes:
            return None
        self.add(result, steps)
        return result

    def play(self, table: Table) -> Evaluation:
        """Play by the greedy policy of a table."""
        return self._play_over_table(table) if self._over_table else self._play_in_environment(table)

    def close(self) -> None:
        """Close the environment."""
        if self._env is not None:
            self._env.close()

    def _play_over_table(self, table: Table) -> Evaluation:
        """The same as in the environment, where an episode takes a microsecond."""
        transitions = self._prepared.transitions
        assert transitions is not None
        if self._starts is None:
            env = make_one(self._prepared.configuration.evaluation_recipe)
            self._starts = [int(env.reset(seed=seed)[0]) for seed in self._seeds]
            if self._seeds and len(self._seeds) < self.n_episodes:
                self._starts += [int(env.reset()[0]) for _ in range(self.n_episodes - len(self._seeds))]
            env.close()
        played = play_greedily(
            transitions, table.greedy(), self._prepared.settings.max_steps, self.n_episodes, self._seed, self._starts
        )
        return self.evaluation(played.returns, played.lengths)

    def _play_in_environment(self, table: Table) -> Evaluation:
        if self._env is not None:
            self._env.close()
        self._env = make_envs(
            self._prepared.configuration.evaluation_recipe,
            1,
            self._seed,
            outermost=functools.partial(SeededEpisodes, seeds=self._seeds),
        )
        agent = TableAgent(table, self._prepared.configuration.algorithm)
        return play(agent, self._env, n_episodes=self.n_episodes, on_step=lambda _: self._stop.signal is None)
