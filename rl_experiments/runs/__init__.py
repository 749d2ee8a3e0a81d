"""Runs on disk: the folder, its record, finding runs and loading agents from them."""

from rl_experiments.runs import checkpoints
from rl_experiments.runs.finding import find_run
from rl_experiments.runs.folder import BEST, FINAL, LAST_CHECKPOINT, Run, SavedModel
from rl_experiments.runs.loading import LoadedAgent, load_agent, open_run, run_recipe
from rl_experiments.runs.record import FAILED, FINISHED, INTERRUPTED, RUNNING, RunRecord
from rl_experiments.runs.validation import check_statistics

__all__ = [
    "BEST",
    "FAILED",
    "FINAL",
    "FINISHED",
    "INTERRUPTED",
    "LAST_CHECKPOINT",
    "RUNNING",
    "LoadedAgent",
    "Run",
    "RunRecord",
    "SavedModel",
    "check_statistics",
    "checkpoints",
    "find_run",
    "load_agent",
    "open_run",
    "run_recipe",
]
