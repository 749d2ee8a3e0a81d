"""What the numbers depend on, and their tables in Markdown."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from .common import REPOSITORY, Row

PACKAGES = ("rl_zoo3", "stable_baselines3", "torch", "gymnasium", "numpy", "ale_py")


def machine() -> dict[str, str]:
    """:return: what the numbers depend on"""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "processor": processor,
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "commit": git("describe", "--always", "--dirty"),
        "python": platform.python_version(),
        **versions,
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "load at the start": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
    }


def git(*arguments: str) -> str:
    """:return: what git says of this checkout"""
    try:
        return (
            subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()
            or "unknown"
        )
    except OSError:
        return "unknown"


def summary_table(rows: Sequence[Row]) -> str:
    """:return: the README's table: a line for each comparison"""
    lines = ["| | ours | the zoo | times faster | aim |", "| --- | --- | --- | --- | --- |"]
    for head in (row.headline for row in rows if row.headline is not None):
        times = f"{median(head.times):.2g}" if median(head.times) >= 10 else f"{median(head.times):.2f}"
        spread = f" ({min(head.times):.2f} to {max(head.times):.2f})" if len(head.times) > 1 else ""
        aim = f"{head.aim:g}" if head.aim is not None else ""
        lines.append(f"| {head.what} | {head.ours} | {head.zoo} | {times}{spread} | {aim} |")
    return "\n".join(lines)


def markdown(rows: Sequence[Row]) -> str:
    """:return: one table for each title"""
    lines: list[str] = []
    for title in dict.fromkeys(row.table for row in rows):
        members = [row for row in rows if row.table == title]
        columns = list(members[0].cells)
        lines += ["", f"### {title}", "", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
        lines += [f"| {' | '.join(row.cells.get(column, '') for column in columns)} |" for row in members]
    return "\n".join(lines)
