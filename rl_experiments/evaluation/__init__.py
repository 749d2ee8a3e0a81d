"""Evaluation: episodes played by an agent, and their statistics."""

from rl_experiments.evaluation.evaluating import evaluate
from rl_experiments.evaluation.explaining import PlayingError, PlayStopped
from rl_experiments.evaluation.playing import Step, play
from rl_experiments.evaluation.statistics import Episode, Evaluation

__all__ = ["Episode", "Evaluation", "PlayStopped", "PlayingError", "Step", "evaluate", "play"]
