"""
SB3's Atari wrappers and Gymnasium's own, stepped in one call; importing this module imports torch.

The environments and their wrappers stay the objects that they are, with all of their state: reset, rendering, random
numbers, ``monitor.csv`` and checkpoints are theirs. Only what happens in a step is done here without the way through
each of them, and gives the same bits. Where something else stands between them, or before they have checked
themselves in their first two steps, everything takes the usual way.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

import cv2
import gymnasium as gym
import numpy as np
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from stable_baselines3.common import atari_wrappers as atari
from stable_baselines3.common.monitor import Monitor

Step = tuple[Any, float, bool, bool, dict[str, Any]]
_GYMNASIUM: tuple[type, ...] = (TimeLimit, OrderEnforcing, PassiveEnvChecker)
_ATARI: tuple[type, ...] = (
    atari.ClipRewardEnv,
    atari.WarpFrame,
    atari.FireResetEnv,
    atari.EpisodicLifeEnv,
    atari.MaxAndSkipEnv,
    atari.NoopResetEnv,
    atari.StickyActionEnv,
    Monitor,
    *_GYMNASIUM,
)
_NEEDED = (atari.WarpFrame, atari.MaxAndSkipEnv, Monitor)


class _Answer:
    """Stands under Monitor for the last step of an episode, whose books it keeps itself."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def step(self, action: Any) -> Step:
        """What the environment has answered already."""
        return self._step


def end_in_monitor(monitor: Monitor, step: Step, action: Any) -> None:
    """Let Monitor take notice of a step that was made without it, and that ends the episode."""
    inner = monitor.env
    monitor.env = cast(Any, _Answer(step))
    try:
        monitor.step(action)
    finally:
        monitor.env = inner


def layers_in_order(env: gym.Env, known: tuple[type, ...]) -> tuple[dict[type, Any], gym.Env] | None:
    """
    :param known: wrappers from the outside in, each at most once
    :return: those that are there and the environment in them; None if there is another, or the order is another
    """
    found: dict[type, Any] = {}
    left = list(known)
    while isinstance(env, gym.Wrapper):
        if type(env) not in left or "step" in vars(env):
            return None
        del left[: left.index(type(env)) + 1]
        found[type(env)], env = env, env.env
    return found, env


def has_checked(checker: PassiveEnvChecker | None) -> bool:
    """Whether Gymnasium's checks of the first steps are behind it."""
    return checker is None or (checker.checked_step and checker.checked_data_reuse)


class FusedAtariWrapper(atari.AtariWrapper):
    """
    SB3's ``AtariWrapper``, about a third faster: the two screens that are shown are read, and no others.

    :param env: as for SB3's
    :param kwargs: as for SB3's
    """

    def __init__(self, env: gym.Env, **kwargs: Any) -> None:
        super().__init__(env, **kwargs)
        self.fused_step = FusedAtari.of(self.env)

    # So that an argument that it does not take is told with the nearest that it takes.
    __init__.__signature__ = inspect.signature(atari.AtariWrapper.__init__)  # type: ignore[attr-defined]

    def reset(self, **kwargs: Any) -> Any:
        """As SB3's; before it, another environment may have been put in."""
        self.fused_step = FusedAtari.of(self.env)
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        """As SB3's."""
        fused = self.fused_step
        return self.env.step(action) if fused is None or not fused.is_ready() else fused(action)


def faster(wrapper: Any) -> Any:
    """:return: our wrapper with the same bits for SB3's, and each other one as it is"""
    return FusedAtariWrapper if wrapper is atari.AtariWrapper else wrapper


class FusedAtari:
    """
    The step of an Atari environment in SB3's wrappers.

    :param layers: the wrappers, by their types
    :param env: of ALE's
    """

    def __init__(self, layers: dict[type, Any], env: Any) -> None:
        self._env, self._ale = env, env.ale
        self._actions = list(env._action_set)
        self._monitor: Monitor = layers[Monitor]
        self._checker: PassiveEnvChecker | None = layers.get(PassiveEnvChecker)
        self._limit = layers.get(TimeLimit)
        self._sticky: atari.StickyActionEnv | None = layers.get(atari.StickyActionEnv)
        self._lives: atari.EpisodicLifeEnv | None = layers.get(atari.EpisodicLifeEnv)
        self._clips = atari.ClipRewardEnv in layers
        skip, warp = layers[atari.MaxAndSkipEnv], layers[atari.WarpFrame]
        self._skip, self._screens = skip, skip._obs_buffer
        self._size = (warp.width, warp.height)
        self._brighter = np.empty_like(self._screens[0])
        self._gray = np.empty(self._brighter.shape[:2], np.uint8)

    @staticmethod
    def of(env: gym.Env) -> FusedAtari | None:
        """:return: the step of this environment, or None if something is in it that is not known"""
        from ale_py.env import AtariEnv

        found = layers_in_order(env, _ATARI)
        if found is None or type(found[1]) is not AtariEnv or any(need not in found[0] for need in _NEEDED):
            return None
        layers, inner = found[0], cast(Any, found[1])
        plain = inner._frameskip == 1 and inner._obs_type == "rgb" and not inner.continuous and not inner.sound_obs
        return FusedAtari(layers, inner) if plain and "step" not in vars(inner) else None

    def is_ready(self) -> bool:
        """Whether an episode is under way that takes no further checks."""
        if self._screens is not self._skip._obs_buffer:  # a state was put into the wrapper
            self._screens = self._skip._obs_buffer
        return self._ale is self._env.ale and not self._monitor.needs_reset and has_checked(self._checker)

    def __call__(self, action: Any) -> Step:
        """
        :param action: the number of the action
        :return: what the wrappers' ``step`` returns
        """
        reward, terminated, truncated, info = self._frames(action)
        if self._lives is not None:
            self._lives.was_real_done = terminated or truncated
            lives = info["lives"]
            terminated = terminated or 0 < lives < self._lives.lives
            self._lives.lives = lives
        return self._picture(), np.sign(reward) if self._clips else reward, terminated, truncated, info

    def _frames(self, action: Any) -> tuple[float, bool, bool, dict[str, Any]]:
        ale, monitor, rewards, count = self._ale, self._monitor, self._monitor.rewards, self._skip._skip
        total, terminated, truncated = 0.0, False, False
        console_action = self._actions[action]
        for index in range(count):
            if self._sticky is not None:
                console_action = self._actions[self._repeated(action)]
            reward = float(ale.act(console_action, 1.0))
            if index >= count - 2:
                ale.getScreenRGB(self._screens[index - count + 2])
            terminated, truncated = ale.game_over(with_truncation=False), ale.game_truncated()
            if self._limit is not None:
                self._limit._elapsed_steps += 1
                truncated = truncated or self._limit._elapsed_steps >= self._limit._max_episode_steps
            total += reward
            if terminated or truncated:
                info = self._info()
                end_in_monitor(monitor, (None, reward, terminated, truncated, info), action)
                return total, terminated, truncated, info
            rewards.append(reward)
            monitor.total_steps += 1
        return total, terminated, truncated, self._info()

    def _info(self) -> dict[str, Any]:
        ale = self._ale
        return {
            "lives": ale.lives(),
            "episode_frame_number": ale.getEpisodeFrameNumber(),
            "frame_number": ale.getFrameNumber(),
        }

    def _repeated(self, action: Any) -> Any:
        sticky = self._sticky
        assert sticky is not None
        if self._env.np_random.random() >= sticky.action_repeat_probability:
            sticky._sticky_action = action
        return sticky._sticky_action

    def _picture(self) -> np.ndarray:
        np.maximum(self._screens[0], self._screens[1], out=self._brighter)
        cv2.cvtColor(self._brighter, cv2.COLOR_RGB2GRAY, dst=self._gray)
        return cv2.resize(self._gray, self._size, interpolation=cv2.INTER_AREA)[:, :, None]
