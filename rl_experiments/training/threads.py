"""
How many threads torch computes with: measured on the real network, because no rule holds.

Two threads halve the time of a large convolution on an idle machine, and make a small network, or any network beside
another busy
process, several times slower. The measurement takes a second or two; its result is remembered for the machine, the
network and how
busy the machine was. Since the count can change rounding, an experiment that is repeated uses the count that it used
before.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rl_experiments.core.files import cache_folder, write_text
from rl_experiments.core.processes import available_cores

MEMORY_SIZE = 2000
_REPETITIONS = 3
_SHORTEST_SAMPLE = 0.1
_LEAST_GAIN = 0.95
"""More threads must take at most this share of the time: they risk more than a few percent gain."""
_HOPELESS = 1.5
"""A count that takes so many times the best one's time is not tried again."""


@dataclass(frozen=True)
class ThreadChoice:
    """
    :param count: torch's number of threads
    :param reason: how it was chosen
    :param seconds_per_step: what was measured: threads to seconds for one environment step, acting and learning
        together
    """

    count: int
    reason: str
    seconds_per_step: Mapping[int, float] = field(default_factory=dict)

    def apply(self) -> None:
        """Make torch use it, where it is loaded."""
        if "torch" in sys.modules:  # what trains by a table does without it
            sys.modules["torch"].set_num_threads(self.count)

    def as_dict(self) -> dict[str, Any]:
        """:return: for ``run.json``"""
        return asdict(self)


def candidate_counts() -> list[int]:
    """:return: 1, 2, 4, ... up to the cores that this process may use"""
    cores = available_cores()
    counts = [1]
    while counts[-1] * 2 <= cores:
        counts.append(counts[-1] * 2)
    return counts


def free_cores(seconds: float = 0.5) -> int:
    """:return: how many cores were idle over a moment; all of them where the system does not tell"""
    before = _cpu_times()
    time.sleep(seconds)
    after = _cpu_times()
    if before is None or after is None or after[1] <= before[1]:
        return available_cores()
    idle = (after[0] - before[0]) / (after[1] - before[1])
    return round(idle * (os.cpu_count() or 1))


class IdleCores:
    """How many cores nobody used since a moment."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """The moment is now."""
        self._before = _cpu_times()

    def count(self) -> float:
        """:return: cores that were idle on average; all of them where the system does not tell"""
        after = _cpu_times()
        if self._before is None or after is None or after[1] <= self._before[1]:
            return float(available_cores())
        return (after[0] - self._before[0]) / (after[1] - self._before[1]) * (os.cpu_count() or 1)


def measure(model: Any, counts: list[int], steps: int, epochs: int = 1, **learn_arguments: Any) -> dict[int, float]:
    """
    Time acting and learning together, as the algorithm mixes them.

    A count that is far behind after its first turn gets no second one: threads that wait for one another on a busy
    machine can be twenty times slower.

    :param model: an SB3 model on environments that cost nothing
    :param counts: numbers of threads to try, in turn, several times
    :param steps: environment steps of the shortest piece in which it both acts and learns
    :param epochs: how often the real algorithm does the learning that the model does once
    :param learn_arguments: further arguments of the model's ``learn``
    :return: threads to seconds for one environment step, the best of the repetitions
    """
    learning = 0.0
    train: Any = getattr(model, "train", None)  # ARS has none

    def timed_train(*arguments: Any, **named: Any) -> None:
        nonlocal learning
        start = time.perf_counter()
        train(*arguments, **named)
        learning += time.perf_counter() - start

    def seconds(steps: int) -> float:
        nonlocal learning
        learning = 0.0
        start = time.perf_counter()
        model.learn(steps, log_interval=None, reset_num_timesteps=False, **learn_arguments)
        return time.perf_counter() - start

    if train is not None:
        model.train = timed_train
    import torch

    before = torch.get_num_threads()
    samples: dict[int, list[float]] = {count: [] for count in counts}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            torch.set_num_threads(counts[0])
            seconds(getattr(model, "learning_starts", 0) + steps)
            pieces = max(1, round(_SHORTEST_SAMPLE / max(seconds(steps), 1e-6)))
            for _ in range(_REPETITIONS):
                for count in _hopeful(samples):
                    torch.set_num_threads(count)
                    taken = seconds(pieces * steps) + (epochs - 1) * learning
                    samples[count].append(taken / (pieces * steps))
    finally:
        torch.set_num_threads(before)
    return {count: min(values) for count, values in samples.items()}


def _hopeful(samples: Mapping[int, list[float]]) -> list[int]:
    best = min((min(values) for values in samples.values() if values), default=float("inf"))
    return [count for count, values in samples.items() if not values or min(values) <= _HOPELESS * best]


def choose(seconds_per_step: Mapping[int, float]) -> int:
    """:return: the fastest count; more threads only where they gain something"""
    best = min(seconds_per_step)
    for count in sorted(seconds_per_step):
        if seconds_per_step[count] < _LEAST_GAIN * seconds_per_step[best]:
            best = count
    return best


class ThreadMemory:
    """Choices of the past, in a file of this machine; a damaged or unwritable file only costs a new measurement."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or cache_folder() / "threads.json"

    def recall(self, kind: str, key: str) -> int | None:
        """
        :param kind: ``networks`` or ``experiments``
        """
        count = self._read().get(kind, {}).get(key)
        return count if isinstance(count, int) and count > 0 else None

    def remember(self, kind: str, key: str, count: int) -> None:
        """Add a choice; the oldest go when there are too many."""
        content = self._read()
        entries = {name: value for name, value in content.get(kind, {}).items() if name != key}
        entries[key] = count
        content[kind] = dict(list(entries.items())[-MEMORY_SIZE:])
        with contextlib.suppress(OSError):
            write_text(self._path, json.dumps(content, indent=1))

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        valid = isinstance(content, dict) and all(isinstance(entries, dict) for entries in content.values())
        return content if valid else {}


def fingerprint(parts: Mapping[str, Any]) -> str:
    """:return: a short name for a combination of values"""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _cpu_times() -> tuple[float, float] | None:
    """:return: idle and total processor time since the system started, in ticks"""
    try:
        ticks = [float(word) for word in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]]
    except (OSError, ValueError, IndexError):
        return None
    return ticks[3] + ticks[4], sum(ticks[:8])
