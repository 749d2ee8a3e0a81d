"""Processes: one that was noted earlier and may be gone, one that must not outlive its parent, cores for many."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_PIPE_BYTES = 2**20
"""What a system lets everybody have."""
_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")
_STATE, _START = 0, 19
"""Places in ``/proc/<pid>/stat`` after the name, which may hold spaces."""


_DEAD = "dead"
"""The start of a process that has ended, but whose parent has not asked how."""


def end_with_parent() -> None:
    """To be called in a new process: have the system kill it when its parent ends, in whatever way. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def widen_pipe(stream: IO[bytes] | None) -> None:
    """Let a pipe take a whole picture, so that whoever writes one goes on at once. Linux only."""
    if sys.platform == "linux" and stream is not None:
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def available_cores() -> int:
    """:return: cores that this process may use, whole ones of a container's quota"""
    quota = cpu_quota()
    return affinity() if quota is None else max(1, min(affinity(), int(quota)))


def affinity() -> int:
    """:return: cores that this process may run on"""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def cpu_quota() -> float | None:
    """:return: how many cores' time a container (a control group of Linux) may use, None where nothing limits it"""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota, period = ((_CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period"))
        return None if int(quota) <= 0 else int(quota) / int(period)
    return None


def start_of(pid: int) -> str | None:
    """
    :return: when a process started, as a text that no other process with its number has; None where it is gone, or the
        system does not tell
    """
    if (_PROC / "self" / "stat").exists():
        return _start_from_proc(pid)
    return None if sys.platform == "win32" else _start_from_ps(pid)


def still_runs(pid: int, start: str | None) -> bool | None:
    """
    :param start: what :func:`start_of` gave for it
    :return: whether that process runs; None where it cannot be told
    """
    if sys.platform == "win32" or pid <= 0:
        return None
    found = start_of(pid)
    if found is None:
        return False if _is_gone(pid) else None
    if found == _DEAD:
        return False
    return found == start if start is not None else None


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # it is there, but a system may show us only our own
        return False
    except (OSError, OverflowError):
        return True
    return False


def _start_from_proc(pid: int) -> str | None:
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    if len(fields) <= _START:
        return None
    return _DEAD if fields[_STATE] in ("Z", "X") else f"{_boot()}:{fields[_START]}"


@functools.cache
def _boot() -> str:
    """:return: what tells this start of the machine from others; ticks are counted from it"""
    try:
        return (_PROC / "sys" / "kernel" / "random" / "boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _start_from_ps(pid: int) -> str | None:
    try:
        done = subprocess.run(
            ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            timeout=5,
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    state, _, start = done.stdout.strip().partition(" ")
    if not start:
        return None
    return _DEAD if state.startswith("Z") else " ".join(start.split())
