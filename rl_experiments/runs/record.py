"""``run.json``: what a run was, on what, and how it ended."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.files import open_plain, write_text
from rl_experiments.core.processes import start_of
from rl_experiments.runs.folder import Run

SCHEMA_VERSION = 1
RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"
_LARGEST = 4 << 20
_MAPPINGS = ("hardware", "hyperparameters", "process", "threads", "timings", "versions")
_PACKAGES = (
    "rl_experiments",
    "stable_baselines3",
    "sb3_contrib",
    "torch",
    "gymnasium",
    "numpy",
    "ale_py",
    "mujoco",
    "numba",
    "jax",
    "brax",
    "sbx-rl",
    "flax",
    "rl_zoo3",
)


class RunRecord:
    """
    The content of ``run.json``, written whole each time it changes.

    :param run: the run that it belongs to
    :param content: what is known at the start
    """

    def __init__(self, run: Run, content: Mapping[str, Any] | None = None) -> None:
        self._file = run.path / "run.json"
        self.content: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **(content or {})}

    @staticmethod
    def start(run: Run, **content: Any) -> RunRecord:
        """Write the record of a run that begins now."""
        record = RunRecord(
            run,
            {
                "status": RUNNING,
                "algorithm": run.algorithm,
                **content,
                "process": _process(),
                "versions": versions(),
                "git_commit": git_commit(Path.cwd()),
                "hardware": hardware(),
                "timings": {"started": now()},
            },
        )
        record.write()
        return record

    @staticmethod
    def read(run: Run) -> dict[str, Any]:
        """
        :return: the record, empty where the run has none (the zoo's have not)
        :raises ConfigurationError: if the file is damaged
        """
        return read_record(run.path)

    def update(self, **content: Any) -> None:
        """Write how far a run is that goes on."""
        self.content.update(_finite(content))
        self.content["timings"] = {**self.content.get("timings", {}), "updated": now()}
        self.write()

    def resume(self, steps: int, command: str, n_timesteps: int) -> None:
        """Note that the run goes on from a checkpoint, without writing it yet."""
        self.content.pop("reason", None)
        self.content.get("timings", {}).pop("ended", None)
        resumed = [*self.content.get("resumed", []), {"steps": steps, "time": now(), "command": command}]
        self.content.update(status=RUNNING, n_timesteps=n_timesteps, resumed=resumed, process=_process())

    def finish(self, status: str, reason: str | None = None, **content: Any) -> None:
        """Write how the run ended."""
        self.content.update(_finite(content))
        self.content["status"] = status
        if reason:
            self.content["reason"] = reason
        self.content["timings"] = {**self.content.get("timings", {}), "ended": now()}
        self.write()

    def write(self) -> None:
        """Write the file."""
        write_text(self._file, json.dumps(self.content, indent=2, default=str) + "\n")


def read_record(folder: str | Path) -> dict[str, Any]:
    """
    :param folder: of a run
    :return: the record, empty where the run has none (the zoo's have not)
    :raises ConfigurationError: if the file is damaged
    """
    file = os.path.join(folder, "run.json")
    try:
        with open_plain(file, _LARGEST) as stream:
            content = json.loads(stream.read())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError, RLExperimentsError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{file} is damaged: {reason}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file} is damaged: it holds no mapping")
    for key in _MAPPINGS:
        if not isinstance(content.get(key, {}), dict):
            raise ConfigurationError(f"{file} is damaged: '{key}' must be a mapping, but got {content[key]!r:.80}")
    return content


def _finite(content: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no infinite numbers and no NaN."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in content.items()
    }


def _process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": start_of(os.getpid())}


def now() -> str:
    """:return: the time in UTC, ISO 8601"""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """:return: versions of Python and of the packages that an experiment depends on"""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit(folder: Path) -> str | None:
    """:return: the commit of the checkout that the folder belongs to, with ``-dirty`` if it was changed, or None"""
    if shutil.which("git") is None:
        return None
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None


def hardware() -> dict[str, Any]:
    """:return: operating system, processor, cores and GPUs"""
    torch = sys.modules.get("torch")
    gpus = (
        [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        if torch and torch.cuda.is_available()
        else []
    )
    return {"system": platform.platform(), "processor": processor_name(), "cores": os.cpu_count(), "gpus": gpus}


def processor_name() -> str:
    """:return: the processor's model, as far as the system tells"""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
