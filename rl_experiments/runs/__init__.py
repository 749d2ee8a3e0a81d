"""Runs on disk: the folder, its record, finding and listing runs, and loading agents from them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rl_experiments.runs import checkpoints
from rl_experiments.runs.finding import find_run
from rl_experiments.runs.folder import BEST, FINAL, LAST_CHECKPOINT, Run, SavedModel
from rl_experiments.runs.listing import ListedRun, all_runs
from rl_experiments.runs.record import FAILED, FINISHED, INTERRUPTED, RUNNING, RunRecord

if TYPE_CHECKING:
    from rl_experiments.runs.loading import LoadedAgent, load_agent, open_run, run_recipe
    from rl_experiments.runs.validation import check_statistics

__all__ = [
    "BEST",
    "FAILED",
    "FINAL",
    "FINISHED",
    "INTERRUPTED",
    "LAST_CHECKPOINT",
    "RUNNING",
    "ListedRun",
    "LoadedAgent",
    "Run",
    "RunRecord",
    "SavedModel",
    "all_runs",
    "check_statistics",
    "checkpoints",
    "find_run",
    "load_agent",
    "open_run",
    "run_recipe",
]
# These need torch; finding and listing runs do not.
_HEAVY = {
    "LoadedAgent": "loading",
    "check_statistics": "validation",
    "load_agent": "loading",
    "open_run": "loading",
    "run_recipe": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HEAVY:
        raise AttributeError(f"module 'rl_experiments.runs' has no attribute '{name}'")
    return getattr(importlib.import_module(f"rl_experiments.runs.{_HEAVY[name]}"), name)
