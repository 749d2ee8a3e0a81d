"""How much memory this machine has, and whether something fits."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from rl_experiments.core.errors import ConfigurationError

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says what a container may use."""
_MEMINFO = Path("/proc/meminfo")


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
    """:return: bytes that new processes could use now, or None where the system does not tell"""
    machine = memory_of_machine()
    with contextlib.suppress(OSError, ValueError, StopIteration):
        line = next(line for line in _MEMINFO.read_text().splitlines() if line.startswith("MemAvailable:"))
        available = int(line.split()[1]) * 1024
        return available if machine is None else min(machine, available)
    return machine


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
