"""What trains an experiment: one class for each backend, with the same face."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from rl_experiments.algorithms import get_algorithm
from rl_experiments.algorithms.registry import SB3
from rl_experiments.runs import Run
from rl_experiments.runs.checkpoints import Checkpoint
from rl_experiments.training.preparation import Prepared
from rl_experiments.training.run_files import TrainingResult
from rl_experiments.training.stopping import StopRequest
from rl_experiments.training.supervision import Supervisor
from rl_experiments.training.threads import ThreadChoice

_CLASSES = {
    "brax": "rl_experiments.training.brax.session.BraxTraining",
    "sb3": "rl_experiments.training.session.Training",
    "sbx": "rl_experiments.training.session.Training",
    "tabular": "rl_experiments.training.tables.session.TableTraining",
}


class BackendTraining(Protocol):
    """One training under way."""

    @property
    def has_trained(self) -> bool:
        """Whether there is anything to keep."""
        ...

    def learn(self) -> TrainingResult:
        """Train and save."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


def begin_training(
    prepared: Prepared,
    run: Run,
    choice: ThreadChoice,
    stop: StopRequest,
    start: Checkpoint | None = None,
    again: bool = False,
    supervisor: Supervisor | None = None,
) -> BackendTraining:
    """
    :param prepared: as :func:`rl_experiments.training.preparation.prepare` returned it for this backend
    :param run: what the training leaves
    :param start: the checkpoint of the run that it goes on from, or None
    :param again: whether the run has begun before, and has its record
    :param supervisor: follows it, if anybody does
    :return: the training, ready to learn
    """
    begun: BackendTraining = load_backend(prepared.experiment.algo, prepared.experiment.backend)(
        prepared, run, choice, stop, start, again, supervisor
    )
    return begun


def load_backend(algo: str, backend: str = SB3) -> Any:
    """
    Import what trains an algorithm. Whoever forks processes that train does it before, once for all of them; they
    are then the same, whatever becomes of the files meanwhile.

    :return: its class
    """
    module, _, name = _CLASSES[get_algorithm(algo, backend).backend].rpartition(".")
    return getattr(importlib.import_module(module), name)
