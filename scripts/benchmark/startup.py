"""How long a command takes to answer or to reject a command line."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

from .common import BenchmarkError, Plan, Row, say
from .processes import child_environment, run_child

HEAVY = ("torch", "gymnasium", "numpy", "stable_baselines3", "jax")

START_UPS = {
    "--help": (["--help"], 0),
    "an unknown flag": (["--no-such-flag"], 2),
    "an unknown algorithm": (["--algo", "ppoo"], 2),
    "a missing value": (["--algo"], 2),
}
"""What the command line is to them: flags, and the exit code that we owe."""


def start_up(plan: Plan) -> Iterator[Row]:
    """Wall time of whole processes that only answer or reject a command line."""
    env = child_environment(plan.new_folder())

    def seconds(module: str, flags: list[str], expected: int) -> float:
        begin = time.perf_counter()
        result = run_child(["-m", module, *flags], env, plan.folder)
        elapsed = time.perf_counter() - begin
        if result.returncode != expected:
            raise BenchmarkError(f"{module} {shlex.join(flags)} ended with {result.returncode}: {result.stderr[-500:]}")
        return elapsed

    for name, (flags, code) in START_UPS.items():
        say(f"start-up: {name}")
        heavy = heavy_imports(["-m", "rl_experiments.train", *flags], env, plan.folder)
        pairs = [
            (seconds("rl_experiments.train", flags, code), seconds("rl_zoo3.train", flags, code))
            for _ in range(plan.start_ups + 1)
        ][1:]  # the first reads the files from the disk
        ours, zoo = (median(times) for times in zip(*pairs, strict=True))
        ratio = median(ours / zoo for ours, zoo in pairs)
        yield Row(
            "Start-up of `train`, whole process",
            {
                "command line": name,
                "ours, ms": f"{1000 * ours:.0f}",
                "zoo, ms": f"{1000 * zoo:.0f}",
                "ours / zoo": f"{ratio:.3f}",
                "heavy imports": ", ".join(heavy) or "none",
            },
            {"pairs_seconds": pairs, "ratio": ratio, "heavy_imports": heavy},
        )


def heavy_imports(arguments: list[str], env: Mapping[str, str], folder: Path) -> list[str]:
    """:return: which of the heavy packages a command line imports"""
    lines = run_child(["-X", "importtime", *arguments], env, folder).stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    if "argparse" not in imported:
        raise BenchmarkError("Python did not tell what it imported")
    return [name for name in HEAVY if name in imported]
