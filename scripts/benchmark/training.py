"""How fast trainings are, and how soon they begin."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from .common import CHILDREN, BenchmarkError, Headline, Plan, Row, say
from .processes import LOADS, await_quiet, child_environment, run_child


@dataclass(frozen=True)
class Side:
    """
    :param name: as the table calls it
    :param module: the command
    :param threads: its ``--num-threads``
    :param more: further arguments
    """

    name: str
    module: str
    threads: str
    more: tuple[str, ...] = ()

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
    :param precision: of ours, where it is not the default
    """

    algo: str
    env: str
    entry: str
    warm_up: int
    changes: Mapping[str, Any] = field(default_factory=dict)
    precision: str = ""

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.algo.upper()} {self.env}" + (f", {self.precision}" if self.precision else "")


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


for _name in ("dqn-atari", "ppo-atari"):
    CASES[f"{_name}-bfloat16"] = replace(CASES[_name], precision="bfloat16")

AIMS = {"ppo-cartpole": 2.0, "ppo-atari": 1.6, "dqn-atari": 1.5, "dqn-atari-bfloat16": 2.5}
"""How many times faster than the better of the zoo's a training is to be."""


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


def first_step(plan: Plan) -> Iterator[Row]:
    """From the launch of ``train`` to the first step, with one thread on both sides."""
    ours, zoo = Side("ours", "rl_experiments.train", "1"), Side("zoo", "rl_zoo3.train", "1")
    for case in (CASES["ppo-cartpole"], CASES["dqn-atari"]):
        configuration, cache = write_configuration(case, plan), plan.new_folder()
        pairs = []
        for number in range(plan.rounds + 1):  # the first reads the files from the disk
            await_quiet(plan.patience)
            order = [ours, zoo][:: -1 if number % 2 else 1]
            found = {side.name: train(side, case, configuration, plan, cache, 0).start_seconds for side in order}
            say(f"first step, {case.name}, round {number}: {found}")
            pairs.append((found["ours"], found["zoo"]))
        times = tuple(theirs / own for own, theirs in pairs[1:])
        own, theirs = (median(side) for side in zip(*pairs[1:], strict=True))
        cells = {"training": case.name, "ours, s": f"{own:.2f}", "zoo, s": f"{theirs:.2f}"}
        cells["times faster"] = f"{median(times):.2f} ({min(times):.2f} to {max(times):.2f})"
        headline = Headline(f"first step of {case.name}", f"{own:.2f} s", f"{theirs:.2f} s", times)
        yield Row("First step, with one thread", cells, {"pairs_seconds": pairs[1:]}, headline)


def summary(results: Mapping[str, Measurement]) -> str:
    """:return: one round in a line"""
    return ", ".join(
        f"{name} {result.speed:.1f} steps/s with {result.threads} (others used {result.other_cores:.2f} cores)"
        for name, result in results.items()
    )


def write_configuration(case: Case, plan: Plan, callback: str = "benchmark_clock.Clock") -> Path:
    """:return: a YAML file with the zoo's hyperparameters and a callback, whose module is beside it"""
    spec = importlib.util.find_spec("rl_zoo3")
    if spec is None or not spec.submodule_search_locations:
        raise BenchmarkError("rl_zoo3 is not installed")
    source = Path(spec.submodule_search_locations[0]) / "hyperparams" / f"{case.algo}.yml"
    entry = yaml.safe_load(source.read_text(encoding="utf-8"))[case.entry]
    folder = plan.new_folder()
    shutil.copy(CHILDREN / f"{callback.partition('.')[0]}.py", folder)
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
    arguments = ["-m", side.module, *text.split(), "--num-threads", side.threads, *side.more]
    if side.is_ours and case.precision:
        arguments += ["--precision", case.precision]
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
        Headline(
            f"{case.name}, {'idle machine' if load == 'no' else 'beside a busy process'}",
            f"{median(speeds['ours']):.0f} steps/s",
            f"{median(max(zoo) for _, *zoo in zip(*speeds.values(), strict=True)):.0f} steps/s",
            tuple(ratios),
            next((AIMS.get(name) for name, one in CASES.items() if one == case), None) if load == "no" else None,
        ),
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
