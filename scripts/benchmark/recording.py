"""What a video costs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from .common import CHILDREN, Headline, Plan, Row, say
from .processes import await_quiet, child_environment, timed_child

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
    script = CHILDREN / "recording.py"
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
        Headline(
            f"record {steps} steps of {name}",
            f"{median(found['ours'][0] for found in rounds):.1f} s",
            f"{median(found['zoo'][0] for found in rounds):.1f} s",
            tuple(1 / ratio for ratio in ratios("ours", "zoo", 0)),
        ),
    )
