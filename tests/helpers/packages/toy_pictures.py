"""Environments whose pictures tell the step, or fail, registered when this module is imported."""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np
from toy_envs import Line
from toy_faults import FAULTS


class Painted(Line):
    """
    The line, with a fault in drawing.

    :param fault: a name of ``FAULTS``, or none
    :param at: it comes with so many pictures
    :param seconds: that each picture takes
    """

    def __init__(self, fault: str = "", at: int = 5, seconds: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fault, self.at, self.seconds, self.pictures = fault, at, seconds, 0

    def render(self) -> Any:
        self.pictures += 1
        time.sleep(self.seconds)
        if self.fault and self.pictures == self.at:
            FAULTS[self.fault]()
        return np.full((40, 48, 3), min(255, 20 * self.steps), np.uint8)


class Draws(Painted):
    """The line, whose length is drawn anew from its seed with each episode."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        result = super().reset(seed=seed)
        self.length = int(self.np_random.integers(3, 9))
        return result


gym.register("ToyPainted-v0", entry_point=Painted)
gym.register("ToyDraws-v0", entry_point=Draws)
