"""Environments that fail, registered when this module is imported; each fault comes when its arguments say."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rl_experiments.core.errors import ConfigurationError


def _raise(error: BaseException) -> None:
    raise error


FAULTS: dict[str, Callable[[], Any]] = {
    "error": lambda: _raise(RuntimeError("the toy broke")),
    "eof": lambda: _raise(EOFError("the toy broke")),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "ours": lambda: _raise(ConfigurationError("the toy broke")),
    "exit": lambda: sys.exit(0),
    "exit-text": lambda: sys.exit("the toy broke"),
    "death": lambda: os._exit(7),
    "kill": lambda: os.kill(os.getpid(), 9),
    "pause": lambda: time.sleep(3600),
}


class Faulty(gym.Env):
    """
    :param fault: a name of ``FAULTS``; ``nan-reward``, ``nan-observation``, ``shape``
    :param where: ``make``, ``reset`` or ``step``
    :param at: the fault comes at so many calls, 1 for the first
    :param there: and only once this path is there
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self, fault: str = "", where: str = "step", at: int = 1, there: str = ".", render_mode: str | None = None
    ) -> None:
        self.render_mode = render_mode
        self.fault, self.where, self.at, self.there = fault, where, at, there
        self.observation_space: spaces.Space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.action_space: spaces.Space = spaces.Discrete(2)
        self.calls = dict.fromkeys(("make", "reset", "step"), 0)
        self.steps = 0
        self._count("make")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        self._count("reset")
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        wrong = self._count("step")
        observation = np.zeros(4 if wrong and self.fault == "shape" else 3, np.float32)
        if wrong and self.fault == "nan-observation":
            observation[0] = np.nan
        reward = float("nan") if wrong and self.fault == "nan-reward" else 1.0
        return observation, reward, self.steps >= 10, False, {}

    def _count(self, place: str) -> bool:
        self.calls[place] += 1
        come = self.where == place and self.calls[place] == self.at and os.path.exists(self.there)
        if come and self.fault in FAULTS:
            FAULTS[self.fault]()
        return come


class OddSpace(Faulty):
    """
    :param kind: which space its observations are of
    """

    SPACES: ClassVar[dict[str, Callable[[], spaces.Space]]] = {
        "text": lambda: spaces.Text(5),
        "sequence": lambda: spaces.Sequence(spaces.Discrete(3)),
        "graph": lambda: spaces.Graph(spaces.Box(0, 1, (2,)), None),
        "one-of": lambda: spaces.OneOf((spaces.Discrete(2), spaces.Box(0, 1, (2,)))),
        "tuple": lambda: spaces.Tuple((spaces.Discrete(2), spaces.Discrete(3))),
        "nested": lambda: spaces.Dict({"inner": spaces.Dict({"x": spaces.Discrete(2)})}),
        "text-in-dict": lambda: spaces.Dict({"word": spaces.Text(5), "x": spaces.Discrete(2)}),
        "shifted": lambda: spaces.Discrete(3, start=1),
        "discrete": lambda: spaces.Discrete(3),
    }

    def __init__(self, kind: str = "text", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.observation_space = self.SPACES[kind]()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), *super().step(action)[1:]


for _class in (Faulty, OddSpace):
    gym.register(f"Toy{_class.__name__}-v0", entry_point=_class)
for _fault in ("error", "death", "interrupt", "kill", "pause", "nan-reward"):
    _name = _fault.title().replace("-", "")
    gym.register(f"Toy{_name}-v0", entry_point=Faulty, kwargs={"fault": _fault, "at": 15})
