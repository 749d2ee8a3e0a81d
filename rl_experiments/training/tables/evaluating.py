"""Evaluations during a training with a table, and the file and the scores that they leave."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_experiments.algorithms.tabular.compiled import play_greedily
from rl_experiments.algorithms.tabular.table import Table, TableAgent
from rl_experiments.core.files import replacing
from rl_experiments.envs import make_envs, make_one
from rl_experiments.evaluation import Episode, Evaluation, play
from rl_experiments.evaluation.seeding import SeededEpisodes
from rl_experiments.runs import Run
from rl_experiments.training.configuration import EVALUATION_SEED_OFFSET
from rl_experiments.training.stopping import StopRequest
from rl_experiments.training.tables.preparation import PreparedTable

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


class TableEvaluations:
    """
    Scores greedy policies, and remembers what they reached. Each evaluation begins anew from the seeds: it depends on
    the table alone.

    :param prepared: the experiment
    :param run: where ``evaluations.npz`` goes, or None
    :param stop: once it has heard a signal, an evaluation ends at its next step and counts for nothing
    """

    def __init__(self, prepared: PreparedTable, run: Run | None, stop: StopRequest) -> None:
        experiment, settings = prepared.experiment, prepared.settings
        self.n_episodes = experiment.eval_episodes
        self._prepared = prepared
        self._run = run
        self._stop = stop
        self._seeds = settings.eval_seed[: self.n_episodes]
        self._starts: list[int] | None = None
        self._env: VecEnv | None = None
        self.timesteps: list[int] = []
        self.evaluations: list[Evaluation] = []
        self.best_mean_reward = -math.inf
        self._over_table = prepared.compiled and not experiment.eval_env_kwargs

    @property
    def scores(self) -> dict[str, float | None]:
        """The last and the best mean return as the run's record names them; nothing before the first evaluation."""
        if not self.evaluations:
            return {}
        return {"last_mean_reward": self.evaluations[-1].mean_reward, "best_mean_reward": self.best_mean_reward}

    def evaluate(self, table: Table, steps: int) -> Evaluation | None:
        """:return: the evaluation, None where a signal ended it"""
        result = self.play(table)
        if len(result.episodes) < self.n_episodes:
            return None
        self.timesteps.append(steps)
        self.evaluations.append(result)
        return result

    def is_better(self, result: Evaluation) -> bool:
        """Whether it is better than all before; it then is the best."""
        mean = float(result.returns.mean())
        better = mean > self.best_mean_reward
        self.best_mean_reward = max(mean, self.best_mean_reward)
        return better

    def play(self, table: Table) -> Evaluation:
        """Play by the greedy policy of a table."""
        return self._play_over_table(table) if self._over_table else self._play_in_environment(table)

    def write(self) -> None:
        """Write the evaluations so far, as SB3 does."""
        if self._run is None:
            return
        if not self.evaluations:
            self._run.evaluations_file.unlink(missing_ok=True)
            return
        with replacing(self._run.evaluations_file) as temporary:
            np.savez(temporary, **self.arrays())

    def arrays(self) -> dict[str, Any]:
        """:return: steps, returns and lengths"""
        return {
            "timesteps": np.array(self.timesteps, dtype=np.int64),
            "results": np.array([result.returns for result in self.evaluations]),
            "ep_lengths": np.array([result.lengths for result in self.evaluations]),
        }

    def restore(self, arrays: dict[str, Any], best_mean_reward: float) -> None:
        """Go on from what :meth:`arrays` gave."""
        self.timesteps = [int(steps) for steps in arrays["timesteps"]]
        self.evaluations = [
            self._evaluation(returns, lengths)
            for returns, lengths in zip(arrays["results"], arrays["ep_lengths"], strict=True)
        ]
        self.best_mean_reward = best_mean_reward

    def close(self) -> None:
        """Close the environment."""
        if self._env is not None:
            self._env.close()

    @property
    def _seed(self) -> int:
        return (self._prepared.experiment.seed + EVALUATION_SEED_OFFSET) % 2**32

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
        return self._evaluation(played.returns, played.lengths)

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

    def _evaluation(self, returns: np.ndarray, lengths: np.ndarray) -> Evaluation:
        episodes = tuple(Episode(float(total), int(length)) for total, length in zip(returns, lengths, strict=True))
        return Evaluation(episodes, (), True, 1, int(np.sum(lengths)), self._seed)
