"""Many experiments at once: worker processes on this machine, or tasks of a Ray cluster."""

from rl_experiments.launching.jobs import Job, Launcher, Needs, Outcome, Question
from rl_experiments.launching.pool import Pool
from rl_experiments.launching.processes import Processes

__all__ = ["Job", "Launcher", "Needs", "Outcome", "Pool", "Processes", "Question"]
