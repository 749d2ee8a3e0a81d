"""Playing one agent of a benchmark, in a process of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.isolation import Beat
from rl_experiments.reporting.settings import Benchmark


class NoScoreError(RLExperimentsError):
    """An agent that was played, and has no score all the same."""


@dataclass(frozen=True)
class Play:
    """
    What ``enjoy`` does with the same seed and steps; a class, so that it can be pickled.

    :param path: the run's folder
    :param settings: of the benchmark
    :param monitor_folder: where the episode logs go
    """

    path: Path
    settings: Benchmark
    monitor_folder: Path

    def __call__(self, beat: Beat) -> dict[str, Any]:
        """
        :return: the score and how it came about, ready for JSON
        :raises NoScoreError: if no episode ended, or a return is no number
        """
        from rl_experiments.algorithms.registry import get_algorithm
        from rl_experiments.evaluation.enjoying import watch
        from rl_experiments.runs.loading import load_agent

        settings = self.settings
        agent = load_agent(self.path, device="cpu", gym_packages=settings.gym_packages, trust=settings.trust)
        off_policy = get_algorithm(agent.algorithm).off_policy
        began = time.monotonic()
        result = watch(
            agent,
            n_episodes=settings.n_episodes,
            n_steps=settings.steps and settings.steps * (settings.n_envs if off_policy else 1),
            n_envs=1 if off_policy else settings.n_envs,
            seed=settings.seed,
            render=False,
            monitor_folder=self.monitor_folder,
            announce=lambda step: beat(step.number),
        )
        seconds = time.monotonic() - began
        if not result.episodes:
            raise NoScoreError(f"no episode ended within {result.n_steps} steps: it needs a larger -n")
        if result.n_not_finite:
            raise NoScoreError(f"{result.n_not_finite} of {len(result.episodes)} returns are NaN or infinite")
        return {
            "mean": result.mean_reward,
            "std": result.std_reward,
            "episodes": len(result.episodes),
            "steps": int(result.lengths.sum()),
            "seconds": round(seconds, 3),
            "mean_length": float(result.lengths.mean()),
            "success_rate": result.success_rate,
            "agent": agent.algorithm,
            "environment_played": agent.recipe.env_id,
            "deterministic": result.deterministic,
            "n_envs": result.n_envs,
            "n_training_steps": _training_steps(agent),
        }


def _training_steps(agent: Any) -> int | None:
    """:return: what the configuration says, or what was done where it says episodes; None if it says neither"""
    if agent.run.hyperparameters.get("n_episodes"):
        steps = agent.agent.table.facts.get("steps") if hasattr(agent.agent, "table") else None
        return steps if isinstance(steps, int) else None
    given = agent.run.arguments.get("n_timesteps")
    steps = given if isinstance(given, int) and given > 0 else agent.run.hyperparameters.get("n_timesteps")
    return int(steps) if isinstance(steps, (int, float)) and steps == steps and abs(steps) < float("inf") else None
