"""Cores, memory, load, disks, folders and variables: what can be told without any package."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rl_experiments.core.files import cache_folder
from rl_experiments.core.memory import free_memory, memory_of_machine, readable_size
from rl_experiments.core.processes import affinity, cpu_quota
from rl_experiments.reporting.doctor.findings import BROKEN, GOOD, MISSING, NOTE, Finding
from rl_experiments.runs.record import processor_name
from rl_experiments.training.threads import free_cores

_FULL, _NEARLY_FULL = 100 << 20, 2 << 30
_LITTLE_MEMORY = 2 << 30
_MUCH_SWAP = 256 << 20
_MANY = 20_000
"""Files of a cache that are counted at most."""


def look_at_machine(log_folder: str) -> Iterator[Finding]:
    """:return: what this process has of the machine, and whether it can write where it must"""
    yield Finding("system", f"{platform.platform()}, Python {platform.python_version()}, {processor_name()}")
    yield _cores()
    yield _load()
    yield _memory()
    for name, folder in {
        "log folder": Path(log_folder),
        "cache folder": cache_folder(),
        "temporary folder": Path(tempfile.gettempdir()),
    }.items():
        yield _folder(name, folder)
    yield _caches(cache_folder())
    yield from _variables()


def _cores() -> Finding:
    quota, allowed, all_cores = cpu_quota(), affinity(), os.cpu_count() or 1
    data = {"machine": all_cores, "allowed": allowed, "quota": quota}
    text = f"{allowed} of {all_cores} may be used"
    if quota is None or quota >= allowed:
        return Finding("cores", text, GOOD, data=data)
    text += f", and the container's quota is the time of {quota:g}"
    return Finding("cores", text, NOTE if quota < 1 else GOOD, _QUOTA if quota < 1 else "", data)


_QUOTA = "Give the container a whole core or more (docker run --cpus 2, resources.limits.cpu in Kubernetes)"


def _load() -> Finding:
    free, allowed = free_cores(), affinity()
    data = {"free": free, "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None}
    shown = "" if data["load"] is None else f", load {data['load']:.1f}"
    text = f"{free} of {os.cpu_count()} cores are idle{shown}"
    if free >= allowed:
        return Finding("load now", text, GOOD, data=data)
    return Finding("load now", text, NOTE, "Other processes take time from a training: end them, or wait", data)


def _memory() -> Finding:
    total, free, swap = memory_of_machine(), free_memory(), _swap_used()
    if total is None or free is None:
        return Finding("memory", "the system does not tell")
    text = f"{readable_size(free)} of {readable_size(total)} are free"
    if swap:
        text += f", {readable_size(swap)} are swapped out"
    data = {"total": total, "free": free, "swapped": swap}
    if free < _LITTLE_MEMORY:
        return Finding("memory", text, NOTE, "End what needs memory, or train with -params buffer_size:10000", data)
    return Finding("memory", text, GOOD, data=data)


def _swap_used() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        used = (kilobytes["SwapTotal"] - kilobytes["SwapFree"]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return 0
    return used if used > _MUCH_SWAP else 0


def _folder(name: str, folder: Path) -> Finding:
    existing = next((part for part in (folder, *folder.absolute().parents) if part.exists()), Path("/"))
    try:
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Finding(name, f"{folder}: {error.strerror}", BROKEN, _OTHER[name])
    data = {"path": str(folder), "free": free}
    if not existing.is_dir():
        return Finding(name, f"{folder}: {existing} is no folder", BROKEN, _OTHER[name], data)
    reason = _why_not_writable(existing)
    if reason and free >= _FULL:
        return Finding(name, f"{folder}: {reason}", BROKEN, _OTHER[name], data)
    text = f"{folder}, {readable_size(free)} are free"
    if reason or free < _FULL:
        return Finding(name, f"{text}: the disk is full", BROKEN, f"Remove files there, or: {_OTHER[name]}", data)
    if free < _NEARLY_FULL:
        return Finding(name, text, NOTE, "Remove what is not needed: a replay buffer on disk takes gigabytes", data)
    return Finding(name, text, GOOD, data=data)


_OTHER = {
    "log folder": "name another folder with -f FOLDER",
    "cache folder": "name another folder in the variable RL_EXPERIMENTS_CACHE",
    "temporary folder": "name another folder in the variable TMPDIR",
}


def _why_not_writable(folder: Path) -> str | None:
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"0" * 4096)
            file.flush()
        os.listdir(folder)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def _caches(folder: Path) -> Finding:
    """Compiled code, and what was measured: without these, it is compiled and measured anew."""
    if not folder.is_dir():
        return Finding("caches", "none yet; the first training makes them", MISSING)
    sizes: dict[str, int] = {}
    unreadable = []
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        return Finding("caches", f"{folder}: {error.strerror}", BROKEN, f"chmod -R u+rwX {folder}")
    for entry in entries:
        if not os.access(entry, os.R_OK | os.W_OK | (os.X_OK if entry.is_dir() else 0)):
            unreadable.append(entry.name)
            continue
        files = [entry] if entry.is_file() else [file for _, file in zip(range(_MANY), entry.rglob("*"), strict=False)]
        sizes[entry.name] = sum(file.stat().st_size for file in files if file.is_file())
    text = ", ".join(f"{name} {readable_size(size)}" for name, size in sizes.items()) or "empty"
    if unreadable:
        names = ", ".join(unreadable)
        return Finding("caches", f"{text}; not readable: {names}", BROKEN, f"chmod -R u+rwX {folder}", {"sizes": sizes})
    return Finding("caches", text, data={"sizes": sizes})


def _variables() -> Iterator[Finding]:
    text = os.environ.get("OMP_NUM_THREADS")
    if text is not None:
        first = text.split(",")[0].strip()
        good = first.isdecimal() and 1 <= int(first) <= affinity()
        cure = "" if good else "unset OMP_NUM_THREADS: --num-threads auto measures what is best"
        why = "" if good else f", and {affinity()} cores may be used" if first.isdecimal() else ", which is no number"
        yield Finding("OMP_NUM_THREADS", f"{text}{why}", GOOD if good else BROKEN, cure, {"value": text})
    if os.environ.get("OMP_WAIT_POLICY", "").lower() == "active":
        cure = "unset OMP_WAIT_POLICY: waiting threads that spin make a training up to ten times slower beside others"
        yield Finding("OMP_WAIT_POLICY", "active", NOTE, cure)
