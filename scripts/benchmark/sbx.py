"""How fast ``--backend sbx`` is beside SB3, in the zoo and here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from statistics import median

from .common import Headline, Plan, Row, say
from .processes import await_quiet
from .training import Case, Measurement, Side, summary, train, write_configuration

SIDES = [
    Side("ours, sbx", "rl_experiments.train", "1", ("--backend", "sbx")),
    Side("ours, sb3", "rl_experiments.train", "1"),
    Side("zoo, 1 thread", "rl_zoo3.train", "1"),
]
MUJOCO = ("Hopper-v5",)
# They learn at each step once the warm-up is over.
CASES = [
    Case("sac", "Hopper-v5", "Hopper-v4", 1500, {"learning_starts": 1000}),
    Case("tqc", "Hopper-v5", "Hopper-v4", 1500, {"learning_starts": 1000}),
    Case("ppo", "CartPole-v1", "CartPole-v1", 1024),
    Case("dqn", "CartPole-v1", "CartPole-v1", 1536),
]


def sbx(plan: Plan) -> Iterator[Row]:
    """The same hyperparameters with either backend, in turn."""
    for case in CASES:
        configuration = write_configuration(case, plan)
        cache = plan.new_folder()
        rounds: list[dict[str, Measurement]] = []
        for number in range(plan.rounds):
            results = {}
            for side in SIDES[:: -1 if number % 2 else 1]:
                await_quiet(plan.patience)
                results[side.name] = train(side, case, configuration, plan, cache, plan.seconds)
            say(f"{case.name}, round {number + 1}: {summary(results)}")
            rounds.append(results)
        yield _row(case, rounds)


def _row(case: Case, rounds: list[dict[str, Measurement]]) -> Row:
    def ratio(of_speed: bool) -> float:
        return median(_speed(results["ours, sbx"], of_speed) / _best(results, of_speed) for results in rounds)

    return Row(
        "SBX, environment steps per second (median of the rounds)",
        {
            "training": case.name,
            **{side.name: f"{median(results[side.name].speed for results in rounds):.1f}" for side in SIDES},
            "sbx / best of sb3": f"{ratio(True):.2f}",
            "per processor second": f"{ratio(False):.2f}",
            "start of sbx, seconds": f"{median(results['ours, sbx'].start_seconds for results in rounds):.1f}",
            "cores used by others": f"{median(item.other_cores for found in rounds for item in found.values()):.2f}",
        },
        {"rounds": [{name: asdict(result) for name, result in results.items()} for results in rounds]},
        Headline(
            f"{case.name} with SBX",
            f"{median(results['ours, sbx'].speed for results in rounds):.0f} steps/s",
            f"{median(results['zoo, 1 thread'].speed for results in rounds):.0f} steps/s",
            tuple(results["ours, sbx"].speed / results["zoo, 1 thread"].speed for results in rounds),
            2.0 if case.env in MUJOCO else None,
        ),
    )


def _best(results: Mapping[str, Measurement], of_speed: bool) -> float:
    return max(_speed(result, of_speed) for name, result in results.items() if name != "ours, sbx")


def _speed(result: Measurement, of_speed: bool) -> float:
    return result.speed if of_speed else result.speed_per_core
