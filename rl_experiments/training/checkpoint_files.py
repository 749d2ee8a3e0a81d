"""What lies in a checkpoint: written from a training under way, and read into one that was built alike."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.algorithms.sb3.archive import model_bytes
from rl_experiments.core.errors import RLExperimentsError, TrainingError
from rl_experiments.runs import Run, checkpoints
from rl_experiments.runs.checkpoints import Checkpoint
from rl_experiments.runs.folder import MODEL, STATISTICS
from rl_experiments.training.capturing import TrainingState
from rl_experiments.training.learning import log_folder
from rl_experiments.training.replay_state import Moment, ReplayState
from rl_experiments.training.stopping import to_stderr

STATE = "state.pkl"


@dataclass(frozen=True)
class Captured:
    """
    A moment of a training, in memory.

    :param steps: environment steps that were done
    :param files: names and contents
    :param facts: for the manifest
    :param replay: of the replay buffer, whose rows are not in it; None where there is no buffer
    """

    steps: int
    files: Mapping[str, bytes]
    facts: Mapping[str, Any]
    replay: Moment | None


class CheckpointFiles:
    """
    Writes and reads checkpoints of one training.

    :param run: where they are
    :param model: in training
    :param state: of the training
    """

    def __init__(self, run: Run, model: Any, state: TrainingState) -> None:
        self._run, self._model, self._state = run, model, state
        buffer = getattr(model, "replay_buffer", None)
        self._replay = None if buffer is None else ReplayState(buffer)
        self._told: set[str] = set()
        self._size = 0

    @property
    def _rows(self) -> int:
        return int(self._model.num_timesteps) // int(self._model.n_envs)

    def capture(self, facts: Mapping[str, Any], exact: bool) -> Captured:
        """
        :param facts: what else the manifest tells
        :param exact: whether a training that goes on from here ends as this one
        :return: the training as it is now
        """
        files = {MODEL: model_bytes(self._model), STATE: self._state.take()}
        normalization = self._model.get_vec_normalize_env()
        if normalization is not None:
            files[STATISTICS] = pickle.dumps(normalization)  # as VecNormalize.save does
        facts = {
            **facts,
            "exact": exact,
            "monitors": {file.name: file.stat().st_size for file in self._run.monitor_files()},
            "log_folder": log_folder(self._model, self._run),
        }
        replay = None if self._replay is None else self._replay.take(self._rows)
        return Captured(int(self._model.num_timesteps), files, facts, replay)

    def write(self, captured: Captured) -> None:
        """Write a checkpoint; where the disk is full, say what was needed, and leave those before."""
        known: dict[str, str] = {}

        def fill(folder: Path) -> Mapping[str, Any]:
            for name, content in captured.files.items():
                (folder / name).write_bytes(content)
            if self._replay is not None and captured.replay is not None:
                known.update(self._replay.write(folder, captured.replay, self._rows))
            for name in captured.facts["monitors"]:
                _flush(self._run.path / name)
            return captured.facts

        self._tell_what_is_new(captured.steps)
        self._size = sum(map(len, captured.files.values())) + (0 if self._replay is None else self._replay.size)
        try:
            checkpoint = checkpoints.write(self._run, captured.steps, fill, known)
        except (OSError, LookupError) as error:
            to_stderr(self._unwritten(captured, error))
            return
        if self._replay is not None:
            self._replay.remember(checkpoint)
        checkpoints.prune(self._run)

    def restore(self, checkpoint: Checkpoint) -> None:
        """
        What has no place in this training is told, and the training goes on without it.

        :raises TrainingError: if the checkpoint does not fit
        """
        try:
            if self._replay is not None:
                self._replay.read(checkpoint)
            lost = self._state.put(checkpoint.file(MODEL), checkpoint.file(STATE).read_bytes())
        except (OSError, LookupError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError) as error:
            raise TrainingError(f"{checkpoint.path} does not fit this training: {error}") from error
        except RLExperimentsError as error:
            raise TrainingError(f"{checkpoint.path} does not fit this training: {error}") from error
        if lost:
            to_stderr(f"The resumed run is not exactly the same: nothing here takes the state of {_some(lost)}")

    def remarks(self, with_evaluators: bool) -> list[str]:
        """
        :param with_evaluators: whether ARS scores its candidates in processes of their own
        :return: what a person should know who resumes this run one day
        """
        environments, others = self._state.probe()
        others += [] if self._replay is None else self._replay.missing()
        self._told.update(others)
        remarks = []
        if environments:
            remarks.append(
                f"The state of the environment cannot be saved ({_some(environments)}): at each checkpoint its"
                " environments begin new episodes, so that a resumed run is the same as one that was never stopped"
            )
        if others:
            remarks.append(f"A resumed run is not exactly the same: no checkpoint can hold {_some(others)}")
        if self._model.device.type != "cpu":
            remarks.append("A resumed run may differ in its last bits: sums on a GPU have no fixed order")
        if with_evaluators:
            remarks.append(
                "A resumed run is not exactly the same: the environments that score the candidates of ARS begin anew"
            )
        return remarks

    def space(self) -> str:
        """:return: what a checkpoint needs, and what there is"""
        free = shutil.disk_usage(self._run.path).free
        return f"A checkpoint needs up to {self._size / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free"

    def _tell_what_is_new(self, steps: int) -> None:
        """An environment or a callback may become something later that no checkpoint can hold."""
        missing = self._state.missing + ([] if self._replay is None else self._replay.missing())
        new = [place for place in missing if place not in self._told]
        self._told.update(new)
        if new:
            to_stderr(f"A run resumed at {steps} steps is not exactly the same: no checkpoint can hold {_some(new)}")

    def _unwritten(self, captured: Captured, error: OSError | LookupError) -> str:
        reason = getattr(error, "strerror", None) or error
        text = f"The checkpoint at {captured.steps} steps cannot be written: {reason}"
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            text += f". {self.space()}"
        whole = checkpoints.checkpoints_of(self._run)
        return f"{text}. The one before, {whole[-1]}, stays" if whole else text


def _flush(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _some(places: list[str]) -> str:
    return ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
