"""Tables that learn: three ways of ours beside the loop of the Deep RL Course."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from statistics import median

from .common import CHILDREN, BenchmarkError, Headline, Plan, Row, say
from .processes import child_environment, run_child

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
    script = CHILDREN / "tables.py"
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
            Headline(
                f"Q-learning on Taxi, {episodes:,} episodes, against the course's loop",
                f"{median(ours['whole'] for ours, _ in pairs):.1f} s",
                f"{median(loop['whole'] for _, loop in pairs):.1f} s",
                tuple(faster),
            )
            if name == "train, from the disk"
            else None,
        )
