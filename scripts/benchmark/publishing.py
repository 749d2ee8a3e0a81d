"""From the command to an agent that is published, on a Hub of this machine."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from .common import CHILDREN, REPOSITORY, BenchmarkError, Headline, Plan, Row, say
from .processes import await_quiet, child_environment, timed_child
from .recording import FILMED

_USER, _TOKEN = "benchmark", "hf_benchmark"


def publishing(plan: Plan) -> Iterator[Row]:
    """A DQN on Atari: scored in ten games, filmed, packed and uploaded, by both sides in turn."""
    sys.path.insert(0, str(REPOSITORY))
    from tests.helpers.hub_server import HubServer

    algo, env_id, training = FILMED["recording-atari"]
    folder, env = plan.new_folder(), child_environment(plan.new_folder())
    flags = ["--algo", algo, "--env", env_id, "-f", str(folder)]
    say("publish: an agent")
    timed_child(["-m", "rl_experiments.train", *flags, *training, "--eval-freq", "-1"], env, plan)
    commands = {"ours": ["-m", "rl_experiments.push_to_hub"], "zoo": [str(CHILDREN / "zoo_push.py")]}
    rounds: list[dict[str, tuple[float, float]]] = []
    for number in range(plan.rounds):
        rounds.append({})
        for side in list(commands)[:: -1 if number % 2 else 1]:
            await_quiet(plan.patience)
            with HubServer() as hub:
                hub.add_user(_USER, _TOKEN)
                where = {**env, **hub.environment(plan.new_folder(), _TOKEN)}
                words = [*commands[side], *flags, "-orga", _USER, "--num-threads", "1"]
                work = plan.new_folder()
                rounds[-1][side] = timed_child(words, where, plan, work)[:2]
                if "README.md" not in hub.repo(f"{_USER}/{algo}-{env_id}").files():
                    raise BenchmarkError(f"publish: {side} uploaded no card")
                shutil.rmtree(work, ignore_errors=True)
        say(f"publish, round {number + 1}: {rounds[-1]}")
    yield publish_row(f"{algo.upper()} {env_id}", rounds)


def publish_row(agent: str, rounds: Sequence[Mapping[str, Any]]) -> Row:
    """:return: seconds, and seconds of processor time, of both sides"""
    wall, cpu = ([each["zoo"][kind] / each["ours"][kind] for each in rounds] for kind in (0, 1))
    ours, zoo = (median(each[side][0] for each in rounds) for side in ("ours", "zoo"))
    return Row(
        "Publishing an agent, whole command",
        {
            "agent": agent,
            "ours, s": f"{ours:.1f}",
            "zoo, s": f"{zoo:.1f}",
            "times faster": f"{median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f})",
            "in processor time": f"{median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f})",
        },
        {"rounds": list(rounds)},
        Headline(f"publish {agent}", f"{ours:.1f} s", f"{zoo:.1f} s", tuple(wall), 3.0),
    )
