"""Evaluations of a training whose backend plays them itself: what they reached, and the file that they leave."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rl_experiments.core.files import replacing
from rl_experiments.evaluation import Episode, Evaluation
from rl_experiments.runs import Run


class EvaluationLog:
    """
    :param run: where ``evaluations.npz`` goes, or None
    :param seed: of the episodes
    """

    def __init__(self, run: Run | None, seed: int) -> None:
        self._run = run
        self._seed = seed
        self.timesteps: list[int] = []
        self.evaluations: list[Evaluation] = []
        self.best_mean_reward = -math.inf

    @property
    def scores(self) -> dict[str, float | None]:
        """The last and the best mean return as the run's record names them; nothing before the first evaluation."""
        if not self.evaluations:
            return {}
        return {"last_mean_reward": self.evaluations[-1].mean_reward, "best_mean_reward": self.best_mean_reward}

    def add(self, result: Evaluation, steps: int) -> None:
        """Remember one."""
        self.timesteps.append(steps)
        self.evaluations.append(result)

    def is_better(self, result: Evaluation) -> bool:
        """Whether it is better than all before; it then is the best."""
        mean = float(result.returns.mean())
        better = mean > self.best_mean_reward
        self.best_mean_reward = max(mean, self.best_mean_reward)
        return better

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
            self.evaluation(returns, lengths)
            for returns, lengths in zip(arrays["results"], arrays["ep_lengths"], strict=True)
        ]
        self.best_mean_reward = best_mean_reward

    def evaluation(self, returns: np.ndarray, lengths: np.ndarray) -> Evaluation:
        """:return: an evaluation of which no more is known"""
        episodes = tuple(Episode(float(total), int(length)) for total, length in zip(returns, lengths, strict=True))
        return Evaluation(episodes, (), True, 1, int(np.sum(lengths)), self._seed)
