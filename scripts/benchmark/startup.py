"""How long a command takes to answer or to reject a command line."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from .common import CHILDREN, BenchmarkError, Headline, Plan, Row, say
from .processes import child_environment, run_child

HEAVY = ("torch", "gymnasium", "numpy", "stable_baselines3", "jax")
START_UPS = {
    "--help": (["--help"], 0),
    "an unknown flag": (["--no-such-flag"], 2),
    "an unknown algorithm": (["--algo", "ppoo"], 2),
    "a missing value": (["--algo"], 2),
}
"""What the command line of ``train`` is to them: flags, and the exit code that we owe."""
_OF_ALL = ("--help", "an unknown flag")
_MODULES = {
    "train": "rl_zoo3.train",
    "tune": "rl_zoo3.train",
    "enjoy": "rl_zoo3.enjoy",
    "record_video": "rl_zoo3.record_video",
    "record_training": "rl_zoo3.record_training",
    "benchmark": "rl_zoo3.benchmark",
    "plot": "rl_zoo3.plots.plot_train",
    "push_to_hub": "",
    "load_from_hub": "rl_zoo3.load_from_hub",
}
"""Our command to the zoo's; with those that the zoo has not, its ``train`` is compared."""


def start_up(plan: Plan) -> Iterator[Row]:
    """Wall time of whole processes that only answer or reject a command line."""
    from importlib import import_module

    listed = import_module("rl_experiments.__main__")
    env = child_environment(plan.new_folder())
    ratios: list[list[float]] = []
    sums: list[tuple[float, float]] = []
    for command in listed.COMMANDS:
        module = listed._MODULES.get(command, command)
        for name, (flags, code) in START_UPS.items():
            if command != "train" and name not in _OF_ALL:
                continue
            say(f"start-up: {command}, {name}")
            pairs = _pairs(module, _words_of_zoo(command), flags, code, env, plan)
            heavy = heavy_imports(["-m", f"rl_experiments.{module}", *flags], env, plan.folder)
            row = start_up_row(command, name, pairs, heavy)
            ratios.append([zoo / ours for ours, zoo in pairs])
            sums.append((median(ours for ours, _ in pairs), median(zoo for _, zoo in pairs)))
            yield row
    times = tuple(median(of_round) for of_round in zip(*ratios, strict=True))
    ours, zoo = (median(side) for side in zip(*sums, strict=True))
    headline = Headline(
        "start of a command, median of all", f"{1000 * ours:.0f} ms", f"{1000 * zoo:.0f} ms", times, 10.0
    )
    cells = {"command": "median of all", "ours, ms": f"{1000 * ours:.0f}", "zoo, ms": f"{1000 * zoo:.0f}"}
    yield Row(_TITLE, cells, {"times": times}, headline)


_TITLE = "Start-up, whole process"


def _words_of_zoo(command: str) -> list[str]:
    module = _MODULES.get(command, "rl_zoo3.train")
    return ["-m", module] if module else [str(CHILDREN / "zoo_push.py")]


def _pairs(
    module: str, zoo: list[str], flags: list[str], code: int, env: Mapping[str, str], plan: Plan
) -> list[tuple[float, float]]:
    def seconds(words: Sequence[str], expected: int | None) -> float:
        begin = time.perf_counter()
        result = run_child([*words, *flags], env, plan.folder)
        elapsed = time.perf_counter() - begin
        if expected is not None and result.returncode != expected:
            raise BenchmarkError(f"{shlex.join(words)} {shlex.join(flags)} ended with {result.returncode}: "
                                 f"{result.stderr[-500:]}")  # fmt: skip
        return elapsed

    ours = ["-m", f"rl_experiments.{module}"]
    # The first pair reads the files from the disk. What the zoo's ends with is its affair.
    return [(seconds(ours, code), seconds(zoo, None)) for _ in range(plan.start_ups + 1)][1:]


def start_up_row(command: str, name: str, pairs: Sequence[tuple[float, float]], heavy: list[str]) -> Row:
    """:return: one command line"""
    ours, zoo = (median(times) for times in zip(*pairs, strict=True))
    times = [other / own for own, other in pairs]
    return Row(
        _TITLE,
        {
            "command": command,
            "command line": name,
            "ours, ms": f"{1000 * ours:.0f}",
            "zoo, ms": f"{1000 * zoo:.0f}",
            "times faster": f"{median(times):.1f} ({min(times):.1f} to {max(times):.1f})",
            "heavy imports": ", ".join(heavy) or "none",
        },
        {"pairs_seconds": list(pairs), "ratio": 1 / median(times), "heavy_imports": heavy},
    )


def heavy_imports(arguments: list[str], env: Mapping[str, str], folder: Path) -> list[str]:
    """:return: which of the heavy packages a command line imports"""
    lines = run_child(["-X", "importtime", *arguments], env, folder).stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    if "argparse" not in imported:
        raise BenchmarkError("Python did not tell what it imported")
    return [name for name in HEAVY if name in imported]
