"""What checkpoints of a replay buffer take of the time and of the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .common import BenchmarkError, Plan, Row, say
from .processes import CHILD_LIMIT, child_environment, run_child
from .training import Case, write_configuration


@dataclass(frozen=True)
class Filling:
    """
    DQN on Atari fills its replay buffer by random actions, then learns for a while.

    :param rows: of the buffer
    :param every: steps between two checkpoints
    :param learning: steps that it learns for
    """

    rows: int
    every: int
    learning: int

    @property
    def steps(self) -> int:
        """Of the whole training; it ends a little after a checkpoint."""
        return self.rows + self.learning + 100


def checkpoints(plan: Plan) -> Iterator[Row]:
    """What checkpoints of a large replay buffer take of the time and of the disk, and how fast one is read back."""
    filling = Filling(100_000, 10_000, 10_000) if plan.rounds > 1 else Filling(10_000, 1000, 1000)
    changes = {"buffer_size": filling.rows, "learning_starts": filling.rows, "exploration_fraction": 1e-4}
    case = Case("dqn", "PongNoFrameskip-v4", "atari", 0, changes)
    folder = plan.new_folder()
    configuration = write_configuration(case, plan, "benchmark_stopwatch.Stopwatch")
    text = f"--algo {case.algo} --env {case.env} -n {filling.steps} --seed 1 --eval-freq -1 --verbose 0 --device cpu"
    text += f" --save-freq {filling.every} --keep-last 1 -conf {configuration} -f {folder / 'logs'}"
    say(f"checkpoints: {filling.rows} random steps, then {filling.learning} of learning")
    events = stopwatch_events(text.split(), configuration, folder, plan)
    (run,) = (path.parent for path in (folder / "logs").glob("*/*/run.json"))
    newest = sorted((run / "checkpoints").iterdir())[-1]
    size = sum(file.stat().st_size for file in newest.glob("replay*"))
    say("checkpoints: reading one back")
    again = stopwatch_events(["--resume", str(run), "-n", str(filling.steps + 100)], configuration, folder, plan)
    yield checkpoint_row(case, filling, events, again, size)


def stopwatch_events(arguments: list[str], configuration: Path, folder: Path, plan: Plan) -> list[list[Any]]:
    """:return: what the stopwatch noted in a process of its own: kind, steps, seconds, time"""
    path = plan.new_folder() / "events.jsonl"
    env = child_environment(folder / "cache", BENCHMARK_STOPWATCH=str(path))
    env["PYTHONPATH"] = os.pathsep.join([str(configuration.parent), env["PYTHONPATH"]])
    result = run_child(["-m", "rl_experiments.train", *arguments], env, folder, limit=CHILD_LIMIT * 6)
    if result.returncode != 0 or not path.is_file():
        raise BenchmarkError(f"the training ended with {result.returncode}: {(result.stdout + result.stderr)[-2000:]}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def checkpoint_row(
    case: Case, filling: Filling, events: Sequence[Sequence[Any]], again: Sequence[Sequence[Any]], size: int
) -> Row:
    """:return: shares of the time and of the disk"""
    written = [seconds for kind, _, seconds, _ in events if kind == "written"]
    learned = [event for event in events if event[1] > filling.rows + 100 and event[0] in ("steps", "written")]
    pauses = sum(event[2] for event in learned[1:] if event[0] == "written")
    elapsed = learned[-1][3] - learned[0][3]
    speed = (learned[-1][1] - learned[0][1]) / (elapsed - pauses)
    later = median(written[1:])
    share = later / (later + filling.every / speed)
    memory = next(event[2] for event in events if event[0] == "memory")
    reading = next(event[2] for event in again if event[0] == "read")
    return Row(
        f"Checkpoints every {filling.every} steps of a replay buffer of {filling.rows} rows",
        {
            "training": case.name,
            "stacked observations in memory, MB": f"{memory / 1e6:.0f}",
            "buffer on disk, MB": f"{size / 1e6:.0f}",
            "disk / memory": f"{size / memory:.3f}",
            "first, s": f"{written[0]:.2f}",
            "later (largest), s": f"{later:.2f} ({max(written[1:]):.2f})",
            "learning, steps/s": f"{speed:.0f}",
            "share of the time": f"{100 * share:.2f} %",
            "read back, s": f"{reading:.1f}",
            "replayed, s": f"{filling.rows / speed:.0f}",
        },
        {
            "written_seconds": written,
            "steps_per_second": speed,
            "share": share,
            "share_while_learning": pauses / elapsed,
            "memory_bytes": memory,
            "disk_bytes": size,
            "read_seconds": reading,
        },
    )
