"""How much memory this machine has, and whether something fits."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from rl_experiments.core.errors import ConfigurationError

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says what a container may use."""
_USES = (
    (_LIMITS[0], Path("/sys/fs/cgroup/memory.current")),
    (_LIMITS[1], Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
_RECLAIMABLE = ("inactive_file", "total_inactive_file")


def memory_of_machine() -> int | None:
    """:return: bytes that this process could use at most, or None where the system does not tell"""
    try:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    for file in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the word "max"
            available = min(available, int(file.read_text(encoding="ascii")))
    return available


def free_memory() -> int | None:
    """:return: bytes that nobody uses, or that the system gives back at once; None where it does not tell"""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return memory_of_machine()
    for limit, used in _USES:
        with contextlib.suppress(OSError, ValueError):
            free = min(free, int(limit.read_text(encoding="ascii")) - _used(used))
    return max(free, 0)


def _used(file: Path) -> int:
    """:return: what a container uses, without the copies of files that it would give back"""
    used = int(file.read_text(encoding="ascii"))
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = (file.parent / "memory.stat").read_text(encoding="ascii").splitlines()
        used -= next(int(line.split()[1]) for line in lines if line.split()[0] in _RECLAIMABLE)
    return max(used, 0)


def require_memory(what: str, needed: float) -> None:
    """
    :param what: what needs it, as the subject of a sentence
    :param needed: bytes
    :raises ConfigurationError: if this machine has less
    """
    available = memory_of_machine()
    if available is not None and needed > available:
        raise ConfigurationError(
            f"{what} needs {readable_size(needed)} of memory, and this machine has {readable_size(available)}"
        )


def readable_size(size: float) -> str:
    """:return: bytes for people"""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:,.0f} TiB"
