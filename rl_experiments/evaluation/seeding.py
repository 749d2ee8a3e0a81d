"""Episodes that begin with given seeds, so that the scores of different agents compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym


class SeededEpisodes(gym.Wrapper):
    """
    Begins each episode with the next of some seeds; after the last, the environment goes on by itself.

    :param env: with all of its wrappers
    :param seeds: of the episodes, in order
    """

    def __init__(self, env: gym.Env, seeds: Sequence[int]) -> None:
        super().__init__(env)
        self._seeds = iter(tuple(seeds))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset with the next seed."""
        return self.env.reset(seed=next(self._seeds, seed), options=options)


def seeds_of(agent: object, seed: int, n_envs: int) -> tuple[int, ...]:
    """
    :param seed: that was asked for
    :return: the fixed seeds that an agent is scored with; none where another seed than the first, or several
        environments are asked for
    """
    return tuple(getattr(agent, "evaluation_seeds", ())) if seed == 0 and n_envs == 1 else ()
