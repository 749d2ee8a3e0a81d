"""What a training gains that does not wait for its evaluations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from .common import BenchmarkError, Plan, Row, say
from .processes import CHILD_LIMIT, await_quiet, child_environment, run_child

_MODES = ("off", "on")


@dataclass(frozen=True)
class Evaluated:
    """
    A training with its evaluations, at the zoo's hyperparameters.

    :param name: in the table
    :param arguments: of ``train``
    """

    name: str
    arguments: str


_QUICK = Evaluated("PPO CartPole-v1, 20,000 steps", "--algo ppo --env CartPole-v1 -n 20000 --eval-freq 5000")
_CASES = (
    Evaluated("PPO CartPole-v1", "--algo ppo --env CartPole-v1"),
    Evaluated("PPO SpaceInvaders", "--algo ppo --env SpaceInvadersNoFrameskip-v4 -n 25600 --eval-freq 8192"),
    Evaluated("SAC Hopper-v5", "--algo sac --env Hopper-v5 -n 20000 --eval-freq 5000 -params learning_starts:1000"),
)


def evaluation(plan: Plan) -> Iterator[Row]:
    """Each training with evaluations that it waits for and with those beside it, in turn."""
    for case in _CASES if plan.rounds > 1 else (_QUICK,):
        seconds: dict[str, list[float]] = {mode: [] for mode in _MODES}
        for number in range(plan.rounds):
            for mode in _MODES:
                say(f"evaluation: {case.name}, {mode}, round {number + 1} of {plan.rounds}")
                seconds[mode].append(_seconds(case, mode, plan))
        yield evaluation_row(case, seconds)


def evaluation_row(case: Evaluated, seconds: dict[str, list[float]]) -> Row:
    """:return: seconds of the training, and the median of the ratios in the same round"""
    ratios = [waiting / beside for waiting, beside in zip(seconds["off"], seconds["on"], strict=True)]
    return Row(
        "Evaluations beside the training (one thread, seconds of the training)",
        {
            "training": case.name,
            "waits for them, s": f"{median(seconds['off']):.1f}",
            "beside, s": f"{median(seconds['on']):.1f}",
            "ratio (range)": f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        },
        {"seconds": seconds, "ratios": ratios},
    )


def _seconds(case: Evaluated, mode: str, plan: Plan) -> float:
    await_quiet(plan.patience)
    folder = plan.new_folder()
    text = f"-m rl_experiments.train {case.arguments} --seed 1 --verbose 0 --device cpu --num-threads 1"
    text += f" --eval-in-background {mode} -f {folder / 'logs'}"
    done = run_child(text.split(), child_environment(folder / "cache"), folder, limit=CHILD_LIMIT * 6)
    if done.returncode:
        raise BenchmarkError(f"{text} ended with {done.returncode}: {done.stderr[-2000:]}")
    (record,) = (folder / "logs").glob("*/*/run.json")
    return float(json.loads(record.read_text(encoding="utf-8"))["timings"]["training_seconds"])
