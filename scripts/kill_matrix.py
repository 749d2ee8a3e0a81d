#!/usr/bin/env python3
"""
Kill trainings, resume them, and see that they end as those that were never killed, bit for bit.

    .venv/bin/python scripts/kill_matrix.py --json kills.json            every cell, about 40 minutes on two cores
    .venv/bin/python scripts/kill_matrix.py --only sac --kills 5         the cells whose name has this in it
    .venv/bin/python scripts/kill_matrix.py --json kills.json --resume   those that the file lacks, or has as not equal

Each cell of kill_matrix.yml is trained once undisturbed. Then a second training of it is killed with SIGKILL at random
moments (while it learns, evaluates or writes, and while it starts and resumes), resumed with ``--resume`` after each,
and at last left alone. Compared are parameters, optimizers, evaluations, rows of the monitor files, normalisation,
the best model and the replay buffer. The table in Markdown goes to stdout; the exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = REPOSITORY / "tests" / "helpers" / "packages"
CELLS = Path(__file__).with_suffix(".yml")
OPTIONS = ("steps", "save_freq", "eval_freq", "vec_env", "eval_in_background")
EARLY = 0.25
"""Share of the kills that come while a process starts, or puts the training back to its checkpoint."""
PATIENCE, LEFT_OVER = 300.0, 60.0
"""Seconds that a training, and a worker whose parent was killed, may take."""

LIVE: set[int] = set()
"""Processes that this one has started, each with a group of its own."""


@dataclass(frozen=True)
class Cell:
    """
    :param name: of the combination
    :param algo: the algorithm
    :param env: the environment's id
    :param family: of environments
    :param hyperparameters: all of them
    :param options: of the command line
    """

    name: str
    algo: str
    env: str
    family: str
    hyperparameters: Mapping[str, Any]
    options: Mapping[str, Any]


@dataclass
class Result:
    """
    :param tried: kills
    :param survived: kills after which the training went on to its end
    :param equal: kills after which its end was the same
    :param moments: seconds after the launch, and what had been written until then
    :param differences: places at which the end was another, or why there was none
    :param remarks: what the run itself says of its resume
    """

    algo: str
    family: str
    tried: int = 0
    survived: int = 0
    equal: int = 0
    moments: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class TrialError(Exception):
    """A training did not end as it should."""


def read_cells(path: Path) -> list[Cell]:
    """:return: the cells of a file"""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    family = {env: name for name, envs in content["families"].items() for env in envs}
    cells = []
    for given in content["cells"]:
        algo, env = given["algo"], given["env"]
        own = {name: value for name, value in given.items() if name not in ("algo", "env")}
        merged = {"vec_env": "auto", "eval_in_background": "on", **content["algorithms"][algo], **own}
        kept = {name: value for name, value in merged.items() if name not in OPTIONS and value is not None}
        options = {name: merged[name] for name in OPTIONS}
        text = ", ".join(f"{name}={value}" for name, value in own.items() if value is not None)
        cells.append(Cell(f"{algo} {env} {text}".strip(), algo, env, family[env], kept, options))
    seen: Counter[str] = Counter()
    turns = {}
    for cell in cells:
        turns[cell.name] = seen[cell.family]
        seen[cell.family] += 1
    return sorted(cells, key=lambda cell: turns[cell.name])  # all families soon


# Processes


class Processes:
    """
    Starts trainings of one cell.

    :param folder: for everything that is written
    """

    def __init__(self, cell: Cell, folder: Path) -> None:
        self.cell = cell
        self.folder = folder
        self.configuration = folder / "cell.yml"
        self.configuration.write_text(yaml.safe_dump({cell.env: dict(cell.hyperparameters)}), encoding="utf-8")

    def start(self, logs: Path) -> subprocess.Popen[bytes]:
        """:return: a new training"""
        options = self.cell.options
        text = f"--algo {self.cell.algo} --env {self.cell.env} -n {options['steps']} --seed 7 --verbose 1 --device cpu"
        text += (
            f" --save-freq {options['save_freq']} --keep-last 1 --eval-freq {options['eval_freq']} --eval-episodes 1"
        )
        text += f" --vec-env {options['vec_env']} --num-threads 1 --save-replay-buffer"
        text += f" --eval-in-background {options['eval_in_background']}"
        if ":" in self.cell.env:
            text += f" --gym-packages {self.cell.env.partition(':')[0]}"
        return self._launch([*text.split(), "-conf", str(self.configuration), "-f", str(logs)])

    def resume(self, run: Path) -> subprocess.Popen[bytes]:
        """:return: the process that goes on with a run"""
        return self._launch(["--resume", str(run)])

    def _launch(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        paths = filter(None, [str(REPOSITORY), str(PACKAGES), os.environ.get("PYTHONPATH")])
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        with (self.folder / "output.txt").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "rl_experiments.train", *arguments],
                env=env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        LIVE.add(process.pid)
        return process

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for a training's end."""
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end_group(process)
        if code != 0:
            last = (self.folder / "output.txt").read_text(encoding="utf-8", errors="replace")[-600:]
            raise TrialError(f"ended with {code}: {last}")


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a process and of those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    LIVE.discard(process.pid)


def end_all(number: int, frame: object) -> None:
    """Leave nothing running when this process is to end."""
    for pid in LIVE:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    os._exit(128 + number)


def workers_end(process: subprocess.Popen[bytes]) -> bool:
    """:return: whether the workers of a killed process end by themselves"""
    deadline = time.monotonic() + LEFT_OVER
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            LIVE.discard(process.pid)
            return True
        time.sleep(0.05)
    return False


def record_of(run: Path | None) -> Mapping[str, Any]:
    """:return: what run.json says, or nothing while it is not there"""
    if run is not None:
        with contextlib.suppress(OSError, ValueError):
            content: Mapping[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
            return content
    return {}


def run_in(logs: Path) -> Path | None:
    """:return: the run in a log folder, once its process has begun to learn"""
    return next((path.parent for path in logs.glob("*/*/run.json")), None)


def wait_until_learning(process: subprocess.Popen[bytes], logs: Path) -> bool:
    """:return: whether it still runs when its run's record names it"""
    while process.poll() is None:
        if record_of(run_in(logs)).get("process", {}).get("pid") == process.pid:
            return True
        time.sleep(0.005)
    return False


# One cell


class Trial:
    """
    One cell: a training that is left alone, and one that is not.

    :param kills: how often
    :param seed: of the moments
    :param signals: to draw from
    """

    def __init__(self, cell: Cell, folder: Path, kills: int, seed: int, signals: Sequence[str] = ("KILL",)) -> None:
        self.processes = Processes(cell, folder)
        self.cell, self.folder, self.kills = cell, folder, kills
        self.signals = [signal.Signals[f"SIG{name}"] for name in signals]
        self.draw = random.Random(f"{seed} {cell.name}")
        self.result = Result(cell.algo, cell.family)
        self.start_seconds = self.learn_seconds = 0.0

    def run(self) -> Result:
        """:return: what came of it"""
        result = self.result
        try:
            whole = self._undisturbed()
            result.remarks = list(record_of(whole).get("remarks", ()))
            killed = self._killed()
            result.survived = result.tried
            result.differences += compare(whole, killed)
            result.equal = 0 if result.differences else result.tried
        except (TrialError, OSError, ValueError) as failure:
            result.differences.append(str(failure))
        return result

    def _undisturbed(self) -> Path:
        begin, logs = time.monotonic(), self.folder / "whole"
        process = self.processes.start(logs)
        wait_until_learning(process, logs)
        self.start_seconds = time.monotonic() - begin
        self.processes.finish(process)
        self.learn_seconds = time.monotonic() - begin - self.start_seconds
        run = run_in(logs)
        assert run is not None
        return run

    def _killed(self) -> Path:
        run = self._killed_in(self.folder / "killed", 1.0)
        # It may have been faster than the first.
        return run if self.result.tried else self._killed_in(self.folder / "killed soon", 0.3)

    def _killed_in(self, logs: Path, pace: float) -> Path:
        process = self.processes.start(logs)
        wait_until_learning(process, logs)
        run = run_in(logs)
        if run is None:
            self.processes.finish(process)
            raise TrialError("no run was begun")
        for number in range(self.kills):
            self._await_the_moment(process, logs, pace / (self.kills - number + 0.5))
            if process.poll() is not None:
                break
            process.send_signal(self.draw.choice(self.signals))
            process.wait(PATIENCE)
            if record_of(run).get("status") == "finished":
                end_group(process)
                return run
            self.result.tried += 1
            self.result.moments.append(written(run))
            if not workers_end(process):
                self.result.differences.append("a worker outlived its parent")
                end_group(process)
            process = self.processes.resume(run)
        self.processes.finish(process)
        return run

    def _await_the_moment(self, process: subprocess.Popen[bytes], logs: Path, share: float) -> None:
        is_first = self.result.tried == 0
        if not is_first and self.draw.random() < EARLY:
            delay = self.draw.uniform(0.5, 1.2) * self.start_seconds
        else:
            wait_until_learning(process, logs)
            delay = self.draw.uniform(0, 1.2) * self.learn_seconds * share
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay)


def written(run: Path) -> str:
    """:return: the checkpoints of a run, and whether one was half written"""
    names = sorted(path.name for path in (run / "checkpoints").glob("*"))
    whole = [str(int(name)) for name in names if name.isdecimal()]
    return ("..." if len(whole) < len(names) else "") + ("-".join(whole) or "none")


def compare(whole: Path, killed: Path) -> list[str]:
    """:return: the places at which two runs differ"""
    from rl_experiments.runs import open_run
    from tests.helpers.resuming import complete_outcome, differences, times_that_shrink

    first, second = open_run(whole), open_run(killed)
    return differences(complete_outcome(first), complete_outcome(second)) + times_that_shrink(second)


# All of them


def table(results: Mapping[str, Result]) -> str:
    """:return: Markdown: kills survived and bit-equal out of kills tried, for each algorithm and family"""
    families = list(dict.fromkeys(result.family for result in results.values()))
    algorithms = sorted({result.algo for result in results.values()})
    lines = [
        "Kills survived / bit-equal / tried (cells)",
        "",
        f"| algorithm | {' | '.join(families)} | all |",
        "|---" * (len(families) + 2) + "|",
    ]
    for algo in [*algorithms, "all"]:
        of_algo = [result for result in results.values() if algo in (result.algo, "all")]
        cells = [[result for result in of_algo if result.family == family] for family in families]
        lines.append(f"| {algo} | {' | '.join(map(entry, [*cells, of_algo]))} |")
    return "\n".join(lines)


def entry(results: Sequence[Result]) -> str:
    """:return: one cell of the table"""
    if not results:
        return ""
    survived, equal, tried = (sum(getattr(r, name) for r in results) for name in ("survived", "equal", "tried"))
    return f"{survived} / {equal} / {tried} ({len(results)})"


def build_parser() -> argparse.ArgumentParser:
    """:return: the parser"""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="TEXT", default="", help="Only cells whose name has this in it.")
    parser.add_argument("--kills", type=int, default=3, help="Kills of each cell's training. (default: %(default)s)")
    parser.add_argument("--signals", nargs="+", choices=("KILL", "TERM", "INT"), default=["KILL"], help="To draw from.")
    parser.add_argument("--jobs", type=int, default=1, help="Cells at the same time. (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="Of the random moments. (default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="Begin no cell after so many minutes.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Keep the results in this file.")
    parser.add_argument("--resume", action="store_true", help="Try what is not in the file of --json, or not equal.")
    parser.add_argument("--folder", type=Path, help="Keep everything in this folder; removed at the end by default.")
    parser.add_argument("--list", action="store_true", help="Only list the cells.")
    return parser


def try_cells(cells: Sequence[Cell], options: argparse.Namespace, folder: Path, results: dict[str, Result]) -> None:
    """Try each, and keep the results after each."""
    lock, begin = threading.Lock(), time.monotonic()

    def one(cell: Cell) -> None:
        if options.minutes is not None and time.monotonic() - begin > options.minutes * 60:
            return
        own = Path(tempfile.mkdtemp(dir=folder, prefix=f"{cell.algo}_"))
        result = Trial(cell, own, options.kills, options.seed, options.signals).run()
        with lock:
            results[cell.name] = result
            moments = ", ".join(result.moments)
            state = "equal" if result.equal == result.tried > 0 else f"DIFFERS in {own}: {result.differences[:4]}"
            print(
                f"{cell.name}: {result.tried} kills at {moments}: {state}",
                file=sys.stderr,
                flush=True,
            )
            if options.json:
                content = {name: asdict(found) for name, found in results.items()}
                options.json.write_text(json.dumps(content, indent=1), encoding="utf-8")

    with ThreadPoolExecutor(options.jobs) as pool:
        for _ in pool.map(one, cells):
            pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, resume, compare, and print the table."""
    options = build_parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, end_all)
    signal.signal(signal.SIGINT, end_all)
    sys.path[:0] = [str(REPOSITORY), str(PACKAGES)]
    results: dict[str, Result] = {}
    if options.resume and options.json and options.json.is_file():
        content = json.loads(options.json.read_text(encoding="utf-8"))
        results = {name: Result(**values) for name, values in content.items() if values["equal"] == values["tried"] > 0}
    cells = [cell for cell in read_cells(CELLS) if options.only in cell.name and cell.name not in results]
    if options.list:
        print("\n".join(cell.name for cell in cells))
        return 0
    place = contextlib.nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory(prefix="kills_")
    with place as folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        try_cells(cells, options, Path(folder), results)
    print(table(results))
    return 0 if all(result.equal == result.tried and not result.differences for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
