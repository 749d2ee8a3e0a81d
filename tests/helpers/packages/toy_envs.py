"""Small environments with every kind of space, registered when this module is imported."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

LENGTH = 10
"""Steps after which every environment here ends an episode."""


class Line(gym.Env):
    """A point on a line; the reward is the number of the step, so that returns can be computed by hand."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, render_mode: str | None = None, scale: float = 1.0, length: int = LENGTH) -> None:
        self.render_mode = render_mode
        self.scale = scale
        self.length = length
        self.observation_space = spaces.Box(-10.0, 10.0, (3,), np.float32)
        self.action_space: spaces.Space = spaces.Discrete(3)
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self._observation(), self.scale * self.steps, self.steps >= self.length, False, {}

    def render(self) -> Any:
        """A picture of odd size whose brightness tells the step."""
        return np.full((21, 33, 3), min(255, 20 * self.steps), np.uint8)

    def _observation(self) -> Any:
        return np.array([self.steps / 10, self.scale, self.np_random.normal()], np.float32)


class Continuous(Line):
    """The line with continuous actions."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)


class MultiDiscrete(Line):
    """The line with two discrete actions at once."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.action_space = spaces.MultiDiscrete([2, 3])


class MultiBinary(Line):
    """The line with three switches as action."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.action_space = spaces.MultiBinary(3)


class Dictionary(Line):
    """The line with a dictionary of two vectors as observation."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        box = spaces.Box(-10.0, 10.0, (3,), np.float32)
        self.observation_space = spaces.Dict({"left": box, "right": box})

    def _observation(self) -> Any:
        vector = super()._observation()
        return {"left": vector, "right": -vector}


class Masked(Line):
    """The line where the only allowed action is the number of the step, modulo 3; any other is an error."""

    def action_masks(self) -> Any:
        return np.arange(3) == self.steps % 3

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if int(action) != self.steps % 3:
            raise ValueError(f"action {action} was masked at step {self.steps}")
        return super().step(action)


class Goal(gym.Env):
    """Move a point to a goal within 20 steps; success is a distance below a half."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        box = spaces.Box(-5.0, 5.0, (1,), np.float32)
        self.observation_space = spaces.Dict({"observation": box, "achieved_goal": box, "desired_goal": box})
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = np.zeros(1, np.float32)
        self.goal = self.np_random.uniform(-2, 2, 1).astype(np.float32)
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.position = np.clip(self.position + np.asarray(action, np.float32), -5, 5)
        reward = float(self.compute_reward(self.position, self.goal, {}))
        return self._observation(), reward, False, False, {"is_success": reward == 0.0}

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        distance = np.linalg.norm(np.asarray(achieved_goal) - np.asarray(desired_goal), axis=-1)
        return -(distance > 0.5).astype(np.float32)

    def _observation(self) -> Any:
        return {"observation": self.position, "achieved_goal": self.position, "desired_goal": self.goal}


class Breaks(Line):
    """The line that raises at its 100th step."""

    total = 0

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.total += 1
        if self.total >= 100:
            raise RuntimeError("the line broke")
        return super().step(action)


class BreaksAtReset(Line):
    """The line that raises at its second reset."""

    resets = 0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        self.resets += 1
        if self.resets > 1:
            raise RuntimeError("the line\nwas not laid again")
        return super().reset(**kwargs)


class NotANumber(Line):
    """The line whose second reward is NaN."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, *rest = super().step(action)
        return observation, float("nan") if self.steps == 2 else reward, *rest


class Slow(Line):
    """The line with a pause in every step."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        time.sleep(0.005)
        return super().step(action)


class Endless(Line):
    """The line without an end."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"length": 10**9, **kwargs})


class Troubled(Line):
    """The line that does what ``TOY_FAULT`` says, as in ``hang:render:5``: raise, exit, crash or hang at a call."""

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        self._maybe("reset", 0)
        return super().reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._maybe("step", self.steps)
        return super().step(action)

    def render(self) -> Any:
        self._maybe("render", self.steps)
        return super().render()

    def _maybe(self, call: str, number: int) -> None:
        kind, where, when = os.environ.get("TOY_FAULT", "none:none:0").split(":")
        if where != call or number < int(when):
            return
        if kind == "raise":
            raise RuntimeError("the line broke")
        if kind == "exit":
            sys.exit(7)
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if kind == "pause":
            time.sleep(0.3)
        while kind == "hang":
            time.sleep(0.1)


class Invisible(Line):
    """The line without pictures."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def render(self) -> Any:
        raise NotImplementedError("nothing to see")


class Fate(Line):
    """The line whose length is drawn from the seed."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draw the length of the episode."""
        result = super().reset(seed=seed)
        self.length = int(self.np_random.integers(2, 12))
        return result


class Restless(Line):
    """The line that is one step longer in each episode, whatever the seed."""

    n_episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a longer episode."""
        Restless.n_episodes += 1
        self.length = Restless.n_episodes
        return super().reset(seed=seed)


class Fades(Line):
    """The line that is drawn five times, and never again."""

    def render(self) -> Any:
        if self.steps >= 5:
            raise OSError("the lamp went out")
        return super().render()


class OnlyHere(Line):
    """The line that cannot be made in a process that another one started."""

    def __init__(self, **kwargs: Any) -> None:
        if multiprocessing.parent_process() is not None:
            raise RuntimeError("not in a child process")
        super().__init__(**kwargs)


class Shifted(Line):
    """A walk on the whole numbers from -3 to 3, by actions 1 and 2; the reward is where it is."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.observation_space = spaces.Discrete(7, start=-3)
        self.action_space = spaces.Discrete(2, start=1)
        self.place = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.place = 0
        return super().reset(seed=seed)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place = max(-3, min(3, self.place + {1: -1, 2: 1}[int(action)]))
        _, _, terminated, truncated, info = super().step(action)
        return self.place, float(self.place), terminated, truncated, info

    def _observation(self) -> Any:
        return self.place


class AddsOne(gym.ObservationWrapper):
    """A wrapper of the user's own."""

    def __init__(self, env: gym.Env, amount: float = 1.0) -> None:
        super().__init__(env)
        self.amount = amount

    def observation(self, observation: Any) -> Any:
        return observation + np.float32(self.amount)


for _class in (
    Line,
    Continuous,
    MultiDiscrete,
    MultiBinary,
    Dictionary,
    Masked,
    Breaks,
    Troubled,
    BreaksAtReset,
    NotANumber,
    Slow,
    Endless,
    Invisible,
    OnlyHere,
    Shifted,
    Fades,
    Fate,
    Restless,
):
    gym.register(f"Toy{_class.__name__}-v0", entry_point=_class)
gym.register("ToyGoal-v0", entry_point=Goal, max_episode_steps=20)
