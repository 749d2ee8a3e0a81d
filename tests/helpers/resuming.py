"""What a training leaves that must be equal bit for bit, and runs as a killed process leaves them."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rl_experiments.runs import Run, checkpoints


def outcome(run: Run) -> dict[str, Any]:
    """:return: parameters and optimizers at the end, evaluations, and returns and lengths of the episodes"""
    found: dict[str, Any] = {}
    with zipfile.ZipFile(run.final_model) as archive:
        for name in archive.namelist():
            if name.endswith(".pth"):
                found[name] = torch.load(io.BytesIO(archive.read(name)), weights_only=True)
    if run.evaluations_file.is_file():
        with np.load(run.evaluations_file) as content:
            found["evaluations"] = {name: content[name] for name in content.files}
    for file in run.monitor_files():
        lines = file.read_text(encoding="utf-8").splitlines()[1:]
        found[file.name] = [line.split(",")[:2] for line in lines]
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
        return [] if np.array_equal(first, second) else [place]
    return [] if first == second else [place]


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
