"""Processes that are timed, and the load beside them."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from .common import REPOSITORY, BenchmarkError, Plan

CHILD_LIMIT = 600.0
QUIET = 0.1
"""Cores in use, below which the machine counts as idle."""

BUSY_LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"


def child_environment(cache: Path, **more: str) -> dict[str, str]:
    """:return: ours without what sets thread counts, and with a memory of its own"""
    prefixes = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "RL_EXPERIMENTS_CACHE": str(cache), **more}


def run_child(
    arguments: Sequence[str], env: Mapping[str, str], folder: Path, limit: float = CHILD_LIMIT
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments; it is killed when the time is up, or when this process is to end."""
    return subprocess.run(
        [sys.executable, *arguments], env=env, cwd=folder, capture_output=True, text=True, timeout=limit
    )


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    """Keep one core busy with another process while the block runs."""
    process = subprocess.Popen([sys.executable, "-c", BUSY_LOOP])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def busy_seconds() -> float | None:
    """:return: what all cores together have worked since the system started, where it tells"""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return None
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def await_quiet(patience: float) -> None:
    """Wait until the machine has had nothing to do for a second, but no longer than this many seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before = busy_seconds()
        time.sleep(1)
        after = busy_seconds()
        if before is None or after is None or after - before < QUIET:
            return


LOADS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "no": contextlib.nullcontext,
    "yes": busy_process,
}
"""Whether another process keeps a core busy, of our own starting; that others are quiet is hoped, and measured."""


def timed_child(
    arguments: Sequence[str], env: Mapping[str, str], plan: Plan, folder: Path | None = None
) -> tuple[float, float, str]:
    """
    :param folder: where it runs; the plan's if None
    :return: seconds, seconds of processor time with all that it started, and what it printed
    """
    begin, before = time.perf_counter(), os.times()
    done = run_child(arguments, env, folder or plan.folder, limit=CHILD_LIMIT * 6)
    after, elapsed = os.times(), time.perf_counter() - begin
    used = after.children_user + after.children_system - before.children_user - before.children_system
    if done.returncode:
        raise BenchmarkError(f"{shlex.join(arguments)} ended with {done.returncode}: {done.stderr[-500:]}")
    return elapsed, used, done.stdout
