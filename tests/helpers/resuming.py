"""What a training leaves that must be equal bit for bit, and runs as a killed process leaves them."""

from __future__ import annotations

import io
import json
import pickle
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.running_mean_std import RunningMeanStd

from rl_experiments.runs import Run, checkpoints

_NO_CONTENT = ("observation_space", "action_space", "device", "env")


def _tensors(model: Path) -> dict[str, Any]:
    with zipfile.ZipFile(model) as archive:
        names = [name for name in archive.namelist() if name.endswith(".pth")]
        found = {name: torch.load(io.BytesIO(archive.read(name)), weights_only=True) for name in names}
        # Of a model in JAX: networks, optimizers and random keys.
        return found | {name: archive.read(name) for name in archive.namelist() if name.endswith(".msgpack")}


def outcome(run: Run) -> dict[str, Any]:
    """:return: parameters and optimizers at the end, evaluations, and returns and lengths of the episodes"""
    found = _tensors(run.final_model)
    if run.evaluations_file.is_file():
        with np.load(run.evaluations_file) as content:
            found["evaluations"] = {name: content[name] for name in content.files}
    for file in run.monitor_files():
        lines = file.read_text(encoding="utf-8").splitlines()[1:]
        found[file.name] = [line.split(",")[:2] for line in lines]
    return found


def complete_outcome(run: Run) -> dict[str, Any]:
    """:return: the outcome, with the best model, the normalisation and the replay buffer, where the run has them"""
    found = outcome(run)
    found["best"] = _tensors(run.best_model) if run.best_model.is_file() else None
    statistics = run.final_statistics
    if statistics.is_file():
        content = vars(pickle.loads(statistics.read_bytes()))
        found["statistics"] = {name: content[name] for name in ("obs_rms", "ret_rms", "returns") if name in content}
    buffer = run.path / "replay_buffer.pkl"
    if buffer.is_file():
        content = vars(pickle.loads(buffer.read_bytes()))
        found["buffer"] = {name: value for name, value in content.items() if name not in _NO_CONTENT}
    return found


def times_that_shrink(run: Run) -> list[str]:
    """:return: the monitor files whose time column does not only grow"""
    found = []
    for file in run.monitor_files():
        times = [float(line.split(",")[2]) for line in file.read_text(encoding="utf-8").splitlines()[2:]]
        if times != sorted(times):
            found.append(f"{file.name} t")
    return found


def differences(first: Any, second: Any, place: str = "") -> list[str]:
    """:return: the places at which two outcomes are not equal"""
    if isinstance(first, dict):
        if not isinstance(second, dict) or first.keys() != second.keys():
            return [f"{place} keys"]
        return [found for key in first for found in differences(first[key], second[key], f"{place}/{key}")]
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [place]
    if isinstance(first, np.ndarray):
        return [] if _is_same_array(first, second) else [place]
    if isinstance(first, RunningMeanStd):
        return differences(vars(first), vars(second), place)
    return [] if first == second else [place]


def _is_same_array(first: np.ndarray, second: Any) -> bool:
    """Whether two arrays are equal, those of dictionaries (the infos of hindsight replay) too."""
    if first.dtype == object:
        return _without_times(first) == _without_times(second)
    return bool(first.dtype == second.dtype and np.array_equal(first, second, equal_nan=first.dtype.kind == "f"))


def _without_times(infos: np.ndarray) -> str:
    """Infos tell the seconds of an episode."""
    return re.sub(r"'t': [0-9.e+-]+", "", repr(infos.tolist()))


def as_killed_after(run: Run, index: int, folder: Path) -> Run:
    """
    A copy of a finished run as it would be had its process been killed later than a checkpoint.

    :param index: of the checkpoint, counted from the first that was kept
    :param folder: the log folder of the copy
    """
    copy = Run(folder / run.algorithm / run.path.name, run.algorithm, run.env_name)
    shutil.copytree(run.path, copy.path)
    for path in checkpoints.checkpoints_of(copy)[index + 1 :]:
        shutil.rmtree(path)
    copy.final_model.unlink()
    record = copy.path / "run.json"
    content = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps({**content, "status": "running"}), encoding="utf-8")
    return copy
