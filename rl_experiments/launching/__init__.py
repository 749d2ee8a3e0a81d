"""Many experiments at once: worker processes on this machine."""

from rl_experiments.launching.pool import Job, Outcome, Pool

__all__ = ["Job", "Outcome", "Pool"]
