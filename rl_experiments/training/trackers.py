"""
Trackers: Weights & Biases, MLflow and Trackio, each behind the same face.

A tracker that fails or hangs says so once, and the training goes on without it.
"""

from __future__ import annotations

import importlib.util
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rl_experiments.core.errors import MissingPackageError
from rl_experiments.training.settings import MLFLOW, TRACKIO, WANDB
from rl_experiments.training.stopping import to_stderr

_MOST_PARAMETERS = 100
"""Of one request to MLflow."""
_LONGEST_PARAMETER = 500
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""Unless the user says otherwise: a server that is gone would hold the training up for minutes."""
PATIENCE = 90.0
"""Seconds for one call: more than Weights & Biases takes to say that nobody answers."""


@dataclass(frozen=True)
class TrackedRun:
    """
    What a tracker is told when it begins.

    :param name: of the run
    :param project: that it belongs to
    :param config: the resolved hyperparameters, and the arguments
    :param entity: team at Weights & Biases
    :param group: of runs
    :param tags: of the run
    :param identity: of the run that goes on, or None for a new one
    :param in_tensorboard: whether its numbers stand in a TensorBoard log too
    """

    name: str
    project: str
    config: Mapping[str, Any]
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    identity: str | None = None
    in_tensorboard: bool = True


class _Apart:
    """Calls, one after the other, in a thread that nobody has to wait for: a tracker that hangs is left behind."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], object], queue.SimpleQueue[BaseException | None]]]
        self._calls = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="tracker").start()

    def call(self, act: Callable[[], object]) -> None:
        """
        :raises TimeoutError: if it takes longer than it may
        :raises BaseException: what it raises
        """
        answer: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._calls.put((act, answer))
        try:
            error = answer.get(timeout=PATIENCE)
        except queue.Empty:
            raise TimeoutError(f"it did not answer for {PATIENCE:g} seconds") from None
        if error is not None:
            raise error

    def _work(self) -> None:
        while True:
            act, answer = self._calls.get()
            try:
                act()
                answer.put(None)
            except BaseException as error:
                answer.put(error)


class Tracker(Protocol):
    """One run at a tracker."""

    identity: str
    """By which it goes on."""

    def log(self, values: Mapping[str, float], steps: int) -> None:
        """Store numbers."""
        ...

    def log_video(self, name: str, file: Path, steps: int) -> None:
        """Store a video."""
        ...

    def finish(self, succeeded: bool) -> None:
        """End the run."""
        ...


class WandbTracker:
    """Weights & Biases, which follows a TensorBoard log by itself."""

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        again: dict[str, Any] = {} if run.identity is None else {"id": run.identity, "resume": "allow"}
        self.run = wandb.init(
            name=run.name,
            project=run.project,
            entity=run.entity,
            group=run.group,
            tags=list(run.tags),
            config=dict(run.config),
            sync_tensorboard=run.in_tensorboard,
            monitor_gym=False,
            save_code=False,
            **again,
        )
        self.identity = str(self.run.id)
        self._in_tensorboard = run.in_tensorboard

    def log(self, values: Mapping[str, float], steps: int) -> None:
        """Store numbers, where they do not come through a TensorBoard log."""
        if not self._in_tensorboard:
            self.run.log({**values, "global_step": steps})

    def log_video(self, name: str, file: Path, steps: int) -> None:
        """Store a video, on the axis of the TensorBoard log."""
        import wandb

        kind: Any = file.suffix[1:]
        self.run.log({name: wandb.Video(str(file), format=kind), "global_step": steps})

    def finish(self, succeeded: bool) -> None:
        """End the run."""
        self.run.finish(0 if succeeded else 1)


class MlflowTracker:
    """MLflow, where ``MLFLOW_TRACKING_URI`` says, or else a database in this folder."""

    def __init__(self, run: TrackedRun) -> None:
        for variable, value in _IMPATIENT.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient()
        if run.identity is None:
            experiment = self._client.get_experiment_by_name(run.project)
            project = experiment.experiment_id if experiment else self._client.create_experiment(run.project)
            tags = {"tags": ",".join(run.tags), "group": run.group or ""}
            self.identity = str(self._client.create_run(project, run_name=run.name, tags=tags).info.run_id)
            parameters = [Param(key, str(value)[:_LONGEST_PARAMETER]) for key, value in run.config.items()]
            for at in range(0, len(parameters), _MOST_PARAMETERS):
                self._client.log_batch(self.identity, params=parameters[at : at + _MOST_PARAMETERS])
        else:
            self.identity = run.identity
            self._client.update_run(self.identity, status="RUNNING")

    def log(self, values: Mapping[str, float], steps: int) -> None:
        """Store numbers."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self.identity, metrics=[Metric(key, value, now, steps) for key, value in values.items()])

    def log_video(self, name: str, file: Path, steps: int) -> None:
        """Store a video among the run's files."""
        self._client.log_artifact(self.identity, str(file), name)

    def finish(self, succeeded: bool) -> None:
        """End the run."""
        self._client.set_terminated(self.identity, "FINISHED" if succeeded else "FAILED")


class TrackioTracker:
    """Trackio, which keeps what it gets on this machine (``TRACKIO_DIR``)."""

    def __init__(self, run: TrackedRun) -> None:
        import trackio

        self.identity = run.identity or run.name
        config = {
            key: value if isinstance(value, (int, float, str, bool)) else str(value)
            for key, value in run.config.items()
        }
        self._run = trackio.init(
            project=run.project, name=self.identity, group=run.group, config=config, resume="allow", embed=False
        )

    def log(self, values: Mapping[str, float], steps: int) -> None:
        """Store numbers."""
        self._run.log(dict(values), step=steps)

    def log_video(self, name: str, file: Path, steps: int) -> None:
        """Store a video."""
        import trackio

        self._run.log({name: trackio.Video(str(file))}, step=steps)

    def finish(self, succeeded: bool) -> None:
        """End the run."""
        self._run.finish()


_CLASSES: dict[str, tuple[Callable[[TrackedRun], Tracker], str]] = {
    WANDB: (WandbTracker, "wandb"),
    MLFLOW: (MlflowTracker, "mlflow"),
    TRACKIO: (TrackioTracker, "trackio"),
}


def require_tracker(kind: str) -> None:
    """
    :raises MissingPackageError: if the package of a tracker is not installed
    """
    _, package = _CLASSES[kind]
    if importlib.util.find_spec(package) is None:
        raise MissingPackageError(f"--track {kind}", package, kind)


@dataclass
class SafeTracker:
    """
    A tracker whose failures cost only what it would have stored.

    :param kind: which tracker
    :param run: what it is told
    """

    kind: str
    run: TrackedRun
    _tracker: Tracker | None = field(default=None, init=False)
    _apart: _Apart = field(default_factory=_Apart, init=False)

    def __post_init__(self) -> None:
        """
        :raises MissingPackageError: if its package is not installed
        """
        require_tracker(self.kind)
        make, _ = _CLASSES[self.kind]
        self._safely(lambda: setattr(self, "_tracker", make(self.run)))

    @property
    def name(self) -> str:
        """Of the run."""
        return self.run.name

    def as_dict(self) -> dict[str, str]:
        """:return: for ``run.json``, what it takes to go on with the run"""
        identity = self.run.identity if self._tracker is None else self._tracker.identity
        return {"kind": self.kind, "name": self.name, **({} if identity is None else {"id": identity})}

    def log(self, values: Mapping[str, float], steps: int) -> None:
        """Store numbers; those that are none are left out."""
        finite = {key: float(value) for key, value in values.items() if math.isfinite(value)}
        if self._tracker is not None and finite:
            tracker = self._tracker
            self._safely(lambda: tracker.log(finite, steps))

    def log_video(self, name: str, file: Path, steps: int) -> None:
        """Store a video."""
        if self._tracker is not None:
            tracker = self._tracker
            self._safely(lambda: tracker.log_video(name, file, steps))

    def finish(self, exit_code: int) -> None:
        """End the run."""
        if self._tracker is not None:
            tracker = self._tracker
            self._safely(lambda: tracker.finish(exit_code == 0))

    def _safely(self, act: Callable[[], object]) -> None:
        try:
            self._apart.call(act)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._tracker = None
            text = " ".join(str(error).split())[:300]
            to_stderr(f"{self.kind} failed, and the training goes on without it: {type(error).__name__}: {text}")
