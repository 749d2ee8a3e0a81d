"""
Reinforcement-learning experiments from a line of YAML to a published agent.

::

    from rl_experiments import Experiment, evaluate, load_agent, publish, record

    result = Experiment(algo="ppo", env="CartPole-v1", n_timesteps=50_000).run()
    agent = load_agent(result.run)
    print(evaluate(agent, n_episodes=20).mean_reward)
    record(agent, "replay.mp4")
    publish(agent, upload=False)
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# Waiting OpenMP threads spin 300,000 times by default: beside another busy process that makes two threads ten times
# slower than one. A short spin costs an idle machine nothing. OpenMP reads it when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if TYPE_CHECKING:
    from rl_experiments.core.errors import RLExperimentsError
    from rl_experiments.envs import EnvironmentRecipe
    from rl_experiments.evaluation import Evaluation, evaluate
    from rl_experiments.hub import Publication, publish
    from rl_experiments.recording import ImageSequence, Look, Recording, record, record_frames
    from rl_experiments.recording.frame_callback import FrameCallback
    from rl_experiments.reporting.benchmarking import BenchmarkResult, benchmark_agents
    from rl_experiments.reporting.report.reporting import ReportResult, report_runs
    from rl_experiments.runs import LoadedAgent, Run, find_run, load_agent
    from rl_experiments.training import Experiment
    from rl_experiments.training.brax.saving import PolicySaver
    from rl_experiments.training.resuming import resume_run

__version__ = "0.1.0"
_HOMES = {
    "BenchmarkResult": "reporting.benchmarking",
    "EnvironmentRecipe": "envs",
    "Evaluation": "evaluation",
    "Experiment": "training",
    "FrameCallback": "recording.frame_callback",
    "ImageSequence": "recording",
    "LoadedAgent": "runs",
    "Look": "recording",
    "PolicySaver": "training.brax.saving",
    "Publication": "hub",
    "RLExperimentsError": "core.errors",
    "Recording": "recording",
    "ReportResult": "reporting.report.reporting",
    "Run": "runs",
    "benchmark_agents": "reporting.benchmarking",
    "evaluate": "evaluation",
    "find_run": "runs",
    "load_agent": "runs",
    "publish": "hub",
    "record": "recording",
    "record_frames": "recording",
    "report_runs": "reporting.report.reporting",
    "resume_run": "training.resuming",
}
__all__ = [
    "BenchmarkResult",
    "EnvironmentRecipe",
    "Evaluation",
    "Experiment",
    "FrameCallback",
    "ImageSequence",
    "LoadedAgent",
    "Look",
    "PolicySaver",
    "Publication",
    "RLExperimentsError",
    "Recording",
    "ReportResult",
    "Run",
    "benchmark_agents",
    "evaluate",
    "find_run",
    "load_agent",
    "publish",
    "record",
    "record_frames",
    "report_runs",
    "resume_run",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``--help`` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rl_experiments' has no attribute '{name}'")
    return getattr(importlib.import_module(f"rl_experiments.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
