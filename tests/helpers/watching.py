"""What an agent's environment showed, picture by picture, without a video in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from rl_experiments import EnvironmentRecipe
from rl_experiments.algorithms.agent import Agent
from rl_experiments.recording.looks import Look
from rl_experiments.recording.recorder import act, staged
from rl_experiments.recording.scene import Moment, Scene


class _Collecting:
    def __init__(self, after: Callable[[int], None]) -> None:
        self.moments: list[Moment] = []
        self._after = after

    def add(self, moments: Sequence[Moment]) -> bool:
        self.moments += moments
        self._after(len(self.moments))
        return True


def moments_of(
    agent: Agent,
    recipe: EnvironmentRecipe,
    n_steps: int,
    *,
    seed: int = 0,
    look: Look | None = None,
    after: Callable[[int], None] = lambda _: None,
    said: list[str] | None = None,
) -> list[Moment]:
    """
    :param after: called with the number of moments after each step
    :param said: takes what the user should know
    """
    collecting = _Collecting(after)
    scene = Scene(look=look, say=[].append if said is None else said.append)
    with staged(agent, recipe, scene, 1, seed) as env:
        act(agent, env, scene, collecting, recipe, n_steps, None, True)
    return collecting.moments


class RawScreens(gym.Wrapper):
    """Innermost around an Atari environment that skips nothing: all screens of the game so far."""

    seen: ClassVar[list[np.ndarray]] = []

    def reset(self, **kwargs: Any) -> Any:
        result = self.env.reset(**kwargs)
        RawScreens.seen[:] = [self.env.unwrapped.ale.getScreenRGB()]  # type: ignore[attr-defined]
        return result

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        RawScreens.seen.append(self.env.unwrapped.ale.getScreenRGB())  # type: ignore[attr-defined]
        return result


class LastTwoScreens(gym.Wrapper):
    """Outermost: the maximum of the last two of :class:`RawScreens` after each step."""

    seen: ClassVar[list[np.ndarray]] = []

    def reset(self, **kwargs: Any) -> Any:
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        LastTwoScreens.seen.append(np.maximum.reduce(RawScreens.seen[-2:]))
        return result
