"""How fast environments are stepped, in each way that ``--vec-env`` names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from statistics import median

from .common import CHILDREN, Plan, Row, say
from .processes import await_quiet, child_environment, timed_child

_CASES = (
    ("SpaceInvadersNoFrameskip-v4", 1),
    ("SpaceInvadersNoFrameskip-v4", 8),
    ("CartPole-v1", 1),
    ("CartPole-v1", 8),
)
_BESIDE = "the zoo"


def vectors(plan: Plan) -> Iterator[Row]:
    """The same environments, stepped in every way in turn within one process: steps per second, and ratios."""
    env = child_environment(plan.new_folder(), OMP_NUM_THREADS="1")
    for env_id, n_envs in _CASES:
        rounds = []
        for number in range(plan.rounds):
            say(f"vec-env: {env_id}, {n_envs}, round {number + 1} of {plan.rounds}")
            await_quiet(plan.patience)
            order = json.dumps({"env": env_id, "n_envs": n_envs, "seconds": plan.seconds})
            *_, printed = timed_child([str(CHILDREN / "vectors.py"), order], env, plan)
            rounds.append(json.loads(printed.splitlines()[-1]))
        for kind in rounds[0]:
            yield _row(f"{env_id} ({n_envs})", kind, rounds)


def _row(name: str, kind: str, rounds: list[dict[str, dict[str, float]]]) -> Row:
    def speeds(of: str, clock: str) -> list[float]:
        return [one[of]["steps"] / max(one[of][clock], 1e-9) for one in rounds]

    cells = {"environments": name, "way": "the zoo (SB3's wrappers)" if kind == _BESIDE else f"`{kind}`"}
    for clock, column in (("seconds", "steps per second"), ("cpu", "per second of processor time")):
        ratios = [own / other for own, other in zip(speeds(kind, clock), speeds(_BESIDE, clock), strict=True)]
        cells[column] = f"{median(speeds(kind, clock)):,.0f}"
        cells[f"{column}, times the zoo's"] = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return Row(f"stepping environments at random ({len(rounds)} rounds)", cells, {"rounds": rounds})
