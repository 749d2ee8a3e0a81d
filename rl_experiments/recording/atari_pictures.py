"""Atari's pictures: the brighter of the last two of the console, because sprites are drawn in every other one."""

from __future__ import annotations

from typing import Any, cast

import gymnasium as gym
import numpy as np


def is_atari(env: gym.Env) -> bool:
    """Whether there is an Atari console in it."""
    console = getattr(env.unwrapped, "ale", None)
    return all(hasattr(console, name) for name in ("act", "reset_game", "getScreenRGB"))


class AtariPictures:
    """
    The maximum of the last two frames of the console.

    It is what max-pooling gives the agent, whoever skips frames: ``AtariWrapper`` or the environment itself. Frames of
    an earlier game do not count.

    :param env: an Atari environment, which gets a stand-in for its emulator
    """

    def __init__(self, env: gym.Env) -> None:
        self._env, self._unwrapped = env, cast(Any, env.unwrapped)
        self._console = _Console(self._unwrapped.ale)
        self._unwrapped.ale = self._console

    def __call__(self) -> Any:
        """:return: what ``render()`` gives, with both frames"""
        self._unwrapped.render = self._console.picture
        try:
            return self._env.render()
        finally:
            del self._unwrapped.render

    def close(self) -> None:
        """Give the environment its emulator back."""
        self._unwrapped.ale = self._console.emulator


class _Console:
    """Stands in for the emulator, and remembers its screens."""

    def __init__(self, ale: Any) -> None:
        self.emulator = ale
        self._before: np.ndarray | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.emulator, name)

    def act(self, *arguments: Any) -> Any:
        """Go on by one frame."""
        self._before = self.emulator.getScreenRGB()
        return self.emulator.act(*arguments)

    def reset_game(self) -> None:
        """Begin a game."""
        self._before = None
        self.emulator.reset_game()

    def picture(self) -> np.ndarray:
        """:return: shape (210, 160, 3), for most games, uint8"""
        screen: np.ndarray = self.emulator.getScreenRGB()
        return screen if self._before is None else np.maximum(self._before, screen)
