"""Training: the experiment, its checks, and what happens while it learns."""

from rl_experiments.training.settings import Experiment

__all__ = ["Experiment"]
