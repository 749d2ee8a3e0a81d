#!/usr/bin/env python3
"""
How fast we are beside RL Baselines3 Zoo: both sides in turn, on this machine, with the same hyperparameters.

    .venv/bin/python scripts/benchmark.py                     everything, about 25 minutes on two cores
    .venv/bin/python scripts/benchmark.py --quick             one short round, to see that it works
    .venv/bin/python scripts/benchmark.py --only dqn-atari --rounds 5 --json speed.json

It prints tables in Markdown on stdout, and what it is doing on stderr. A speed is environment steps per second of the
learning itself: a callback, the same for both sides, takes the time between the beginnings of two rollouts, after the
warm-up. A ratio is one of ours over the better of the zoo's in the same round; the table has its median over the
rounds, and the same for steps per second of processor time, which other processes disturb less. A row for
something new is one more function in ``BENCHMARKS``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("rl_zoo3", "stable_baselines3", "torch", "gymnasium", "numpy", "ale_py")
HEAVY = ("torch", "gymnasium", "numpy", "stable_baselines3", "jax")
CHILD_LIMIT = 600.0
QUIET = 0.1
"""Cores in use, below which the machine counts as idle."""

BUSY_LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"

CLOCK = '''
"""The callback with which both sides are timed."""
import json
import os
import time

import torch
from stable_baselines3.common.callbacks import BaseCallback


def cores_time():
    """Processor time of this process and of the whole machine, in seconds, and the time itself."""
    total = 0.0
    if os.path.exists("/proc/stat"):
        with open("/proc/stat") as file:
            user, nice, system, _, _, interrupts, soft_interrupts, *_ = map(int, file.readline().split()[1:])
        total = (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")
    return time.process_time(), total, time.perf_counter()


class Clock(BaseCallback):
    """Counts steps between the beginnings of two rollouts, then ends the training."""

    def __init__(self):
        super().__init__()
        self.order = json.loads(os.environ["BENCHMARK_CLOCK"])
        self.begin = None
        self.done = False

    def _on_training_start(self):
        self.started = time.time()

    def _on_rollout_start(self):
        if self.done or self.num_timesteps < self.order["warm_up"]:
            return
        now = cores_time()
        if self.begin is None:
            self.begin, self.begin_steps = now, self.num_timesteps
        own, total, seconds = (new - old for new, old in zip(now, self.begin))
        if seconds >= self.order["seconds"]:
            self.done = True
            self.write(self.num_timesteps - self.begin_steps, max(seconds, 1e-9), own, total)

    def write(self, steps, seconds, own, total):
        content = {
            "started": self.started,
            "steps": steps,
            "seconds": seconds,
            "threads": torch.get_num_threads(),
            "own_cores": own / seconds,
            "other_cores": max(0.0, total - own) / seconds,
        }
        with open(self.order["path"], "w") as file:
            json.dump(content, file)

    def _on_step(self):
        return not self.done
'''

STOPWATCH = '''
"""The callback that takes the time of checkpoints: written, read back, and the steps between them."""
import json
import os
import time

from stable_baselines3.common.callbacks import BaseCallback

from rl_experiments.training.checkpoint_files import CheckpointFiles
from rl_experiments.training.checkpointing import ResumableCheckpoints


def note(kind, steps, seconds):
    with open(os.environ["BENCHMARK_STOPWATCH"], "a") as file:
        file.write(json.dumps([kind, int(steps), seconds, time.perf_counter()]) + "\\n")


def timed(owner, name, kind, steps_of):
    call = getattr(owner, name)

    def with_time(self, *arguments, **named):
        begin = time.perf_counter()
        result = call(self, *arguments, **named)
        note(kind, steps_of(self), time.perf_counter() - begin)
        return result

    setattr(owner, name, with_time)


timed(ResumableCheckpoints, "save", "written", lambda self: self.model.num_timesteps)
timed(CheckpointFiles, "restore", "read", lambda self: self._model.num_timesteps)


class Stopwatch(BaseCallback):
    """Notes the time every so many steps."""

    def _on_training_start(self):
        buffer = self.model.replay_buffer
        note("memory", buffer.buffer_size, buffer.observations.nbytes)

    def _on_step(self):
        if self.num_timesteps % 100 == 0:
            note("steps", self.num_timesteps, 0.0)
        return True
'''


class BenchmarkError(Exception):
    """A side did not do what was to be timed."""


@dataclass(frozen=True)
class Plan:
    """
    :param folder: for everything that is written; it goes at the end
    :param rounds: how often each side is measured
    :param seconds: how long the learning is timed, at least
    :param start_ups: how often each command line is timed
    :param patience: how many seconds to wait for a quiet machine, before each training that is to have one
    """

    folder: Path
    rounds: int
    seconds: float
    start_ups: int
    patience: float

    def new_folder(self) -> Path:
        """:return: an empty folder"""
        return Path(tempfile.mkdtemp(dir=self.folder))


@dataclass(frozen=True)
class Row:
    """
    :param table: the title of the table that it stands in
    :param cells: column to text
    :param data: everything that was measured, for ``--json``
    """

    table: str
    cells: Mapping[str, str]
    data: Mapping[str, Any]


# Processes


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


def say(text: str) -> None:
    """Tell what is being done."""
    print(text, file=sys.stderr, flush=True)


# Start-up


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


# Training


@dataclass(frozen=True)
class Side:
    """
    :param name: as the table calls it
    :param module: the command
    :param threads: its ``--num-threads``
    """

    name: str
    module: str
    threads: str

    @property
    def is_ours(self) -> bool:
        """Whether it is our command."""
        return self.module.startswith("rl_experiments")


def sides() -> list[Side]:
    """:return: ours, and the zoo with one thread, with two, and with its default, the number of cores"""
    counts = sorted({1, 2, os.cpu_count() or 1})
    zoo = [Side(f"zoo, {count} thread{'s' * (count > 1)}", "rl_zoo3.train", str(count)) for count in counts]
    return [Side("ours", "rl_experiments.train", "auto"), *zoo]


@dataclass(frozen=True)
class Case:
    """
    One training that both sides do.

    :param algo: the algorithm
    :param env: the environment's id
    :param entry: the entry of the zoo's YAML
    :param warm_up: steps before the clock starts
    :param changes: what differs from the zoo's YAML, so that a measurement takes seconds; learning is what it was
    """

    algo: str
    env: str
    entry: str
    warm_up: int
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.algo.upper()} {self.env}"


CASES = {
    "ppo-cartpole": Case("ppo", "CartPole-v1", "CartPole-v1", 1024),
    # Past the warm-up it learns, and acts by its network as in the later nine tenths of a long training.
    "dqn-atari": Case(
        "dqn",
        "SpaceInvadersNoFrameskip-v4",
        "atari",
        1100,
        {"learning_starts": 1000, "buffer_size": 10_000, "exploration_fraction": 1e-4},
    ),
    # A quarter of the rollout, in a quarter of the minibatches: the same work for each step.
    "ppo-atari": Case("ppo", "SpaceInvadersNoFrameskip-v4", "atari", 256, {"n_steps": 32}),
}


@dataclass(frozen=True)
class Measurement:
    """
    :param speed: environment steps per second
    :param threads: torch's number of threads
    :param start_seconds: from the launch of the process to the first step, calibration included
    :param own_cores: how many cores it used
    :param other_cores: how many cores all others used at that time, a busy loop of ours included
    :param calibration: what run.json says of the choice of threads
    """

    speed: float
    threads: int
    start_seconds: float
    own_cores: float
    other_cores: float
    calibration: Mapping[str, Any] | None = None

    @property
    def speed_per_core(self) -> float:
        """Steps for each second of processor time: what others do beside it matters little to this."""
        return self.speed / max(self.own_cores, 1e-9)


def training(case: Case, plan: Plan) -> Iterator[Row]:
    """Speed and start of one training, with the rest of the machine idle and busy."""
    configuration = write_configuration(case, plan)
    for load, keep in LOADS.items():
        rounds: list[dict[str, Measurement]] = []
        with keep():
            for number in range(plan.rounds):
                cache = plan.new_folder()  # ours chooses its threads anew in each round
                order = sides()[:: -1 if number % 2 else 1]
                results = {}
                for side in order:
                    await_quiet(plan.patience if load == "no" else 0)
                    results[side.name] = train(side, case, configuration, plan, cache, plan.seconds)
                say(f"{case.name}, busy loop: {load}, round {number + 1}: {summary(results)}")
                rounds.append(results)
            remembered = train(sides()[0], case, configuration, plan, cache, 0)
        yield speed_row(case, load, rounds)
        yield start_row(case, load, rounds, remembered)


def summary(results: Mapping[str, Measurement]) -> str:
    """:return: one round in a line"""
    return ", ".join(
        f"{name} {result.speed:.1f} steps/s with {result.threads} (others used {result.other_cores:.2f} cores)"
        for name, result in results.items()
    )


def write_configuration(case: Case, plan: Plan, callback: str = "benchmark_clock.Clock", code: str = CLOCK) -> Path:
    """:return: a YAML file with the zoo's hyperparameters and a callback, whose module is beside it"""
    spec = importlib.util.find_spec("rl_zoo3")
    if spec is None or not spec.submodule_search_locations:
        raise BenchmarkError("rl_zoo3 is not installed")
    source = Path(spec.submodule_search_locations[0]) / "hyperparams" / f"{case.algo}.yml"
    entry = yaml.safe_load(source.read_text(encoding="utf-8"))[case.entry]
    folder = plan.new_folder()
    (folder / f"{callback.partition('.')[0]}.py").write_text(code, encoding="utf-8")
    path = folder / f"{case.algo}.yml"
    content = {case.env: {**entry, **case.changes, "callback": callback}}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def train(side: Side, case: Case, configuration: Path, plan: Plan, cache: Path, seconds: float) -> Measurement:
    """Train once in a process of its own, until the clock has what it needs."""
    folder = plan.new_folder()
    path = folder / "clock.json"
    clock = {"path": str(path), "warm_up": case.warm_up if seconds > 0 else 0, "seconds": seconds}
    env = child_environment(cache, BENCHMARK_CLOCK=json.dumps(clock))
    env["PYTHONPATH"] = os.pathsep.join([str(configuration.parent), env["PYTHONPATH"]])
    text = f"--algo {case.algo} --env {case.env} -n 10000000 --seed 1 --eval-freq -1 --verbose 0 --device cpu"
    arguments = ["-m", side.module, *text.split(), "--num-threads", side.threads]
    launched = time.time()
    result = run_child([*arguments, "-conf", str(configuration), "-f", str(folder / "logs")], env, folder)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BenchmarkError(f"{side.name} did not train: {(result.stdout + result.stderr)[-2000:]}") from None
    records = list((folder / "logs").glob("*/*/run.json"))
    calibration = json.loads(records[0].read_text(encoding="utf-8")).get("threads") if records else None
    shutil.rmtree(folder, ignore_errors=True)
    return Measurement(
        content["steps"] / content["seconds"],
        content["threads"],
        content["started"] - launched,
        content["own_cores"],
        content["other_cores"],
        calibration,
    )


def speed_row(case: Case, load: str, rounds: Sequence[Mapping[str, Measurement]]) -> Row:
    """:return: steps per second, and ours over the better of the zoo's"""
    names = [side.name for side in sides()]
    speeds = {name: [results[name].speed for results in rounds] for name in names}
    ratios = [ours / max(zoo) for ours, *zoo in zip(*speeds.values(), strict=True)]
    threads = "/".join(str(results["ours"].threads) for results in rounds)
    per_core = median(
        results["ours"].speed_per_core / max(zoo.speed_per_core for name, zoo in results.items() if name != "ours")
        for results in rounds
    )
    others = median(result.other_cores for results in rounds for result in results.values())
    return Row(
        "Training, environment steps per second (median of the rounds)",
        {
            "training": case.name,
            "busy loop": load,
            **{name: f"{median(values):.1f}" for name, values in speeds.items()},
            "our threads": threads,
            "ours / best of zoo": f"{median(ratios):.2f}",
            "range": f"{min(ratios):.2f} to {max(ratios):.2f}",
            "per processor second": f"{per_core:.2f}",
            "cores used by others": f"{others:.2f}",
        },
        {
            "rounds": [{name: asdict(result) for name, result in results.items()} for results in rounds],
            "ratio": median(ratios),
            "ratios": ratios,
            "ratio_per_core": per_core,
        },
    )


def start_row(case: Case, load: str, rounds: Sequence[Mapping[str, Measurement]], remembered: Measurement) -> Row:
    """:return: seconds from the launch to the first step, and what choosing the threads took of them"""
    starts = {side.name: median(results[side.name].start_seconds for results in rounds) for side in sides()}
    zoo = min(seconds for name, seconds in starts.items() if name != "ours")
    return Row(
        "Seconds from the launch to the first step",
        {
            "training": case.name,
            "busy loop": load,
            "ours, first time": f"{starts['ours']:.1f}",
            "ours, remembered": f"{remembered.start_seconds:.1f}",
            "zoo": f"{zoo:.1f}",
            "calibration": f"{starts['ours'] - remembered.start_seconds:.1f}",
        },
        {"starts": starts, "remembered": asdict(remembered)},
    )


# Checkpoints


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
    configuration = write_configuration(case, plan, "benchmark_stopwatch.Stopwatch", STOPWATCH)
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


# Tables

TABLES = '''
"""25,000 episodes of Taxi with the hyperparameters of the Deep RL Course, by one of three ways."""
import json
import sys
import time

began = time.perf_counter()
way, episodes = sys.argv[1], int(sys.argv[2])
import gymnasium

env = gymnasium.make("Taxi-v4", max_episode_steps=99, disable_env_checker=way != "course")
if way == "course":
    import random

    import numpy

    table = numpy.zeros((500, 6))

    def choose(state, epsilon):
        return numpy.argmax(table[state][:]) if random.uniform(0, 1) > epsilon else env.action_space.sample()

    steps, learning = 0, time.perf_counter()
    for episode in range(episodes):
        epsilon = 0.05 + 0.95 * numpy.exp(-0.005 * episode)
        state, _ = env.reset()
        for _ in range(99):
            action = choose(state, epsilon)
            following, reward, terminated, truncated, _ = env.step(action)
            table[state][action] = table[state][action] + 0.7 * (
                reward + 0.95 * numpy.max(table[following]) - table[state][action]
            )
            steps += 1
            if terminated or truncated:
                break
            state = following
else:
    from rl_experiments.algorithms.tabular.algorithm import Budget, QLearning
    from rl_experiments.algorithms.tabular.compiled import CompiledLearner
    from rl_experiments.algorithms.tabular.stepping import SteppingLearner
    from rl_experiments.algorithms.tabular.transitions import read_transitions

    settings, budget = QLearning(decay_rate=0.005), Budget(episodes)
    if way == "stepping":
        learner = SteppingLearner(env, settings, budget, 0)
    else:
        learner = CompiledLearner(read_transitions(env), settings, Budget(1), 0)
        learner.advance(1)  # compiled, or read from the disk
        learner = CompiledLearner(read_transitions(env), settings, budget, 0)
    learning = time.perf_counter()
    learner.advance(10**12)
    steps = learner.steps
    if way == "seeds":
        learning = time.perf_counter()
        from rl_experiments.algorithms.tabular.compiled import learn_many

        steps = sum(one.steps for one in learn_many(read_transitions(env), settings, budget, range(20)))
ended = time.perf_counter()
print(json.dumps({"steps": steps, "learning": ended - learning, "whole": ended - began}))
'''
"""Times from the first line of a new process on, so that imports and compiling count."""
_WAYS = {
    "the course's loop": ("course", False),
    "stepping": ("stepping", False),
    "compiled, first time": ("compiled", True),
    "compiled, from the disk": ("compiled", False),
    "compiled, 20 seeds": ("seeds", False),
    "train, first time": ("train", True),
    "train, from the disk": ("train", False),
}
_TRAIN_TABLE = (
    *("-m", "rl_experiments.train", "--algo", "q_learning", "--env", "Taxi-v4", "--seed", "0"),
    *("-c", "hyperparams/q_learning.yml#course-Taxi", "-f"),
)
"""The command with the course's hyperparameters: imports, checks, evaluations and files count too."""


def tables(plan: Plan) -> Iterator[Row]:
    """25,000 episodes of Taxi, each way in turn."""
    script = plan.new_folder() / "tables.py"
    script.write_text(TABLES, encoding="utf-8")
    kept = plan.new_folder()
    episodes = 25_000 if plan.seconds >= 5 else 2_500
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(plan.rounds + 1):
        say(f"tables: round {number}")
        measured = {}
        for name, (way, is_first) in _WAYS.items():
            env = child_environment(plan.new_folder() if is_first else kept)
            logs = plan.new_folder()
            arguments = [*_TRAIN_TABLE, str(logs), "-params", f"n_episodes:{episodes}"]
            began = time.perf_counter()
            done = run_child(arguments if way == "train" else [str(script), way, str(episodes)], env, plan.folder)
            seconds = time.perf_counter() - began
            if done.returncode:
                raise BenchmarkError(f"tables, {name}: {done.stderr[-500:]}")
            if way == "train":
                record = json.loads((logs / "q_learning" / "Taxi-v4_1" / "run.json").read_text(encoding="utf-8"))
                learning = record["timings"]["training_seconds"]
                measured[name] = {"steps": record["steps"], "learning": learning, "whole": seconds}
            else:
                measured[name] = json.loads(done.stdout)
        rounds.append(measured)
    for name in _WAYS:
        # The first round fills the memory of compiled code.
        pairs = [(measured[name], measured["the course's loop"]) for measured in rounds[1:]]
        speeds = [ours["steps"] / ours["learning"] for ours, _ in pairs]
        ratios = [speed / (loop["steps"] / loop["learning"]) for speed, (_, loop) in zip(speeds, pairs, strict=True)]
        faster = [loop["whole"] / ours["whole"] for ours, loop in pairs]
        yield Row(
            f"Q-learning on Taxi-v4, {episodes:,} episodes",
            {
                "way": name,
                "steps per second": f"{median(speeds):,.0f}",
                "times the course's": f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                "whole process, s": f"{median(ours['whole'] for ours, _ in pairs):.2f}",
                "times faster than the course's": f"{median(faster):.2f} ({min(faster):.2f} to {max(faster):.2f})",
            },
            {"rounds": [measured[name] for measured in rounds[1:]], "ratios": ratios, "faster": faster},
        )


# Tuning


@dataclass(frozen=True)
class TuningSide:
    """One way to make the trials of a study."""

    module: str
    n_jobs: int


_TUNERS = {
    "two at once": TuningSide("rl_experiments.train", 2),
    "one at a time": TuningSide("rl_experiments.train", 1),
    "the zoo's --n-jobs 2": TuningSide("rl_zoo3.train", 2),
}
_SAMPLED = {
    "n_steps_pow": 7,
    "batch_size_pow": 7,
    "one_minus_gamma": 0.01,
    "one_minus_gae_lambda": 0.05,
    "ent_coef": 0.001,
    "clip_range": 0.2,
    "n_epochs": 5,
    "max_grad_norm": 0.5,
    "net_arch": "small",
    "activation_fn": "tanh",
}


def tuning(plan: Plan) -> Iterator[Row]:
    """The same trials of PPO on CartPole-v1, waiting in a study, made in each way in turn."""
    n_trials, steps = (12, 20_000) if plan.seconds >= 5 else (2, 2_000)
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(plan.rounds):
        rounds.append({})
        for name, side in _TUNERS.items():
            say(f"tuning: round {number + 1} of {plan.rounds}, {name}")
            await_quiet(plan.patience)
            rounds[-1][name] = tune(side, n_trials, steps, plan)
    for name in _TUNERS:
        measured = [one[name] for one in rounds]
        ratios = [one["two at once"]["per_hour"] / one[name]["per_hour"] for one in rounds]
        yield Row(
            f"{n_trials} trials of PPO on CartPole-v1, {steps:,} steps each ({plan.rounds} rounds)",
            {
                "way": name,
                "trials per hour": f"{median(one['per_hour'] for one in measured):,.0f}",
                "two at once, times that": f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                "processor seconds per trial": f"{median(one['cpu'] for one in measured) / n_trials:.2f}",
                "cores kept busy": f"{median(one['cpu'] / one['seconds'] for one in measured):.2f}",
            },
            {"rounds": measured, "ratios": ratios},
        )


def tune(side: TuningSide, n_trials: int, steps: int, plan: Plan) -> dict[str, float]:
    """:return: how long a process took to the end of its last trial, and what it worked"""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    folder = plan.new_folder()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(folder / "study.log")))
    study = optuna.create_study(storage=storage, study_name="study", direction="maximize")
    for number in range(n_trials):
        study.enqueue_trial({**_SAMPLED, "learning_rate": 0.0003 * (1 + number)})
    arguments = [
        *("-m", side.module, "-optimize", "--algo", "ppo", "--env", "CartPole-v1", "-n", str(steps)),
        *("--n-trials", str(n_trials), "--n-jobs", str(side.n_jobs), "--pruner", "none", "--n-evaluations", "2"),
        *("--storage", "study.log", "--study-name", "study", "--num-threads", "1", "--seed", "1"),
        *("--no-optim-plots", "--verbose", "0", "-f", "logs"),
    ]
    before, began = os.times(), time.time()
    done = run_child(arguments, child_environment(plan.new_folder()), folder)
    after = os.times()
    trials = [trial for trial in study.get_trials() if trial.state.name == "COMPLETE" and trial.datetime_complete]
    if len(trials) < n_trials:  # the zoo's process fails later, at its report
        raise BenchmarkError(f"tuning, {side.module}: {len(trials)} of {n_trials} trials: {done.stderr[-500:]}")
    seconds = max(trial.datetime_complete.timestamp() for trial in trials if trial.datetime_complete) - began
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": seconds, "cpu": cpu, "per_hour": 3600 * n_trials / seconds}


# Recording

RECORDING = '''
"""An agent in the recorder's environment: its pictures only, or the video of them too."""
import json
import resource
import sys
import time
from pathlib import Path

from rl_experiments import load_agent, record
from rl_experiments.recording.recorder import act, staged
from rl_experiments.recording.scene import Scene
from rl_experiments.recording.video import working_codec
from rl_experiments.runs import find_run

folder, algo, env_id, steps, ways = sys.argv[1:]
agent = load_agent(find_run(folder, algo, env_id))
working_codec(".mp4")


class Nothing:
    def add(self, moments):
        return True


def drawn():
    scene = Scene()
    with staged(agent, agent.recipe, scene, 1, 0) as env:
        act(agent, env, scene, Nothing(), agent.recipe, int(steps), None, None)


def recorded():
    record(agent, Path(folder) / "video.mp4", n_steps=int(steps), across_episodes=True)


def used():
    each = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in each)


found = {}
for way in ways.split(","):
    begin, before = time.perf_counter(), used()
    {"drawn": drawn, "recorded": recorded}[way]()
    found[way] = [time.perf_counter() - begin, used() - before]
found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(found))
'''

FILMED = {
    "recording": ("ppo", "Ant-v5", ["-n", "128", "-params", "n_steps:64", "batch_size:64", "n_envs:1"]),
    "recording-atari": (
        "dqn",
        "SpaceInvadersNoFrameskip-v4",
        ["-n", "200", "-params", "learning_starts:100", "buffer_size:500"],
    ),
}
"""Whom to film: algorithm, environment, and a training that takes no time."""


def recording(name: str, plan: Plan) -> Iterator[Row]:
    """A video: beside the stepping and drawing alone, and beside the zoo's."""
    algo, env_id, training_flags = FILMED[name]
    steps = 1000 if plan.seconds >= 5 else 100
    folder, cache = plan.new_folder(), plan.new_folder()
    env = child_environment(cache)
    flags = ["--algo", algo, "--env", env_id, "-f", str(folder)]
    say(f"{name}: an agent")
    timed_child(["-m", "rl_experiments.train", *flags, *training_flags, "--eval-freq", "-1"], env, plan)
    script = plan.new_folder() / "recording.py"
    script.write_text(RECORDING, encoding="utf-8")
    zoo_env = {**env, "MUJOCO_GL": mujoco_backend(env, plan)}
    rounds = []
    for number in range(plan.rounds):
        ways = ["drawn", "recorded"][:: -1 if number % 2 else 1]
        await_quiet(plan.patience)
        arguments = [str(script), str(folder), algo, env_id, str(steps), ",".join(ways)]
        found = json.loads(timed_child(arguments, env, plan)[2].splitlines()[-1])
        sides = {"ours": ("rl_experiments", env), "zoo": ("rl_zoo3", zoo_env)}
        for side in list(sides)[:: -1 if number % 2 else 1]:
            package, variables = sides[side]
            video = ["-m", f"{package}.record_video", *flags, "-n", str(steps), "-o", str(plan.new_folder())]
            found[side] = timed_child(video, variables, plan)[:2]
        say(f"{name}, round {number + 1}: {found}")
        rounds.append(found)
    yield recording_row(f"{algo.upper()} {env_id}", steps, rounds)


def timed_child(arguments: Sequence[str], env: Mapping[str, str], plan: Plan) -> tuple[float, float, str]:
    """:return: seconds, seconds of processor time with all that it started, and what it printed"""
    begin, before = time.perf_counter(), os.times()
    done = run_child(arguments, env, plan.folder, limit=CHILD_LIMIT * 6)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    if done.returncode:
        raise BenchmarkError(f"{shlex.join(arguments)} ended with {done.returncode}: {done.stderr[-500:]}")
    return time.perf_counter() - begin, used, done.stdout


def mujoco_backend(env: Mapping[str, str], plan: Plan) -> str:
    """:return: what MuJoCo draws with here, which the zoo has to be told"""
    code = "from rl_experiments.envs.graphics import choose_graphics; print(choose_graphics().backend)"
    return timed_child(["-c", code], env, plan)[2].strip()


def recording_row(name: str, steps: int, rounds: Sequence[Mapping[str, Any]]) -> Row:
    """:return: what a video costs: ratios of the same round, in seconds and in seconds of processor time"""

    def ratios(above: str, below: str, kind: int) -> list[float]:
        return [found[above][kind] / found[below][kind] for found in rounds]

    def shown(values: Sequence[float]) -> str:
        return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    more = [found["recorded"][0] - found["drawn"][0] for found in rounds]
    return Row(
        f"Recording {steps} steps as a video",
        {
            "agent": name,
            "stepping and drawing alone, s": f"{median(found['drawn'][0] for found in rounds):.1f}",
            "recording, s": f"{median(found['recorded'][0] for found in rounds):.1f}",
            "more, s": shown(more),
            "recording / alone": shown(ratios("recorded", "drawn", 0)),
            "in processor time": shown(ratios("recorded", "drawn", 1)),
            "our command, s": f"{median(found['ours'][0] for found in rounds):.1f}",
            "zoo's, s": f"{median(found['zoo'][0] for found in rounds):.1f}",
            "ours / zoo": shown(ratios("ours", "zoo", 0)),
            "ours / zoo in processor time": shown(ratios("ours", "zoo", 1)),
            "memory, MB": f"{max(found['peak_mb'] for found in rounds):.0f}",
        },
        {"rounds": list(rounds)},
    )


# Everything together


BENCHMARKS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "startup": start_up,
    **{name: partial(training, case) for name, case in CASES.items()},
    "checkpoints": checkpoints,
    "tables": tables,
    "tuning": tuning,
    **{name: partial(recording, name) for name in FILMED},
}


def machine() -> dict[str, str]:
    """:return: what the numbers depend on"""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "processor": processor,
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "commit": git("describe", "--always", "--dirty"),
        "python": platform.python_version(),
        **versions,
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
        "load at the start": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
    }


def git(*arguments: str) -> str:
    """:return: what git says of this checkout"""
    try:
        return (
            subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()
            or "unknown"
        )
    except OSError:
        return "unknown"


def markdown(rows: Sequence[Row]) -> str:
    """:return: one table for each title"""
    lines: list[str] = []
    for title in dict.fromkeys(row.table for row in rows):
        members = [row for row in rows if row.table == title]
        columns = list(members[0].cells)
        lines += ["", f"### {title}", "", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
        lines += [f"| {' | '.join(row.cells.get(column, '') for column in columns)} |" for row in members]
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    """:return: the parser"""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(BENCHMARKS), help="Only this one.")
    parser.add_argument("--rounds", type=int, help="Rounds, in each of which each side trains once. (default: 3)")
    parser.add_argument("--quick", action="store_true", help="Short measurements, and one round if not told otherwise.")
    parser.add_argument(
        "--patience",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="How long to wait for a quiet machine before each training on an idle one. (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write everything that was measured to this file.")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    options = build_parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that nothing is left running
    names = [options.only] if options.only else list(BENCHMARKS)
    about = machine()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
        rounds = max(1, options.rounds or (1 if options.quick else 3))
        seconds, start_ups = (2.0, 2) if options.quick else (5.0, 5)
        plan = Plan(Path(folder), rounds, seconds, start_ups, options.patience)
        try:
            for name in names:
                rows.extend(BENCHMARKS[name](plan))
        except (BenchmarkError, subprocess.TimeoutExpired) as error:
            say(f"benchmark.py: {error}")
            return 1
        finally:
            if rows:
                print("\n".join(f"- {name}: {value}" for name, value in about.items()))
                print(markdown(rows), flush=True)
            if options.json:
                content = {"machine": about, "rounds": rounds, "rows": [asdict(row) for row in rows]}
                options.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
