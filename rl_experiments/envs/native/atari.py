"""
ALE's vector of Atari games, whose emulators run in threads of their own.

It gives the screens in colour and their size, and they become observations here, as in SB3's ``WarpFrame``: ALE's own
gray pictures are the maximum of two gray screens, SB3's the gray of the maximum, which are different pixels wherever
something moves. So made, observations, scores and ends are those of SB3's wrappers for the same actions from the same
moment on. What stays different: the number of no-ops at the start is drawn from ALE's generator, a lost life is
followed by no step of no-op and FIRE, and the emulators' state cannot be saved.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from rl_experiments.envs.native.sources import Batch


class AtariSource:
    """
    :param game: as ALE names its ROM
    :param num_envs: number of environments
    :param num_threads: that step them
    :param size: width and height of the pictures
    :param frame_skip: frames of one step
    :param noop_max: most frames without an action at the start
    :param life_ends: whether a lost life ends an episode for the learner
    :param clips: whether its rewards are clipped to their sign
    :param kwargs: further arguments of ``AtariVectorEnv``
    """

    name = "ALE's AtariVectorEnv"
    render_mode: str | None = None

    def __init__(
        self,
        game: str,
        num_envs: int,
        num_threads: int,
        *,
        size: int = 84,
        frame_skip: int = 4,
        noop_max: int = 30,
        life_ends: bool = True,
        clips: bool = True,
        **kwargs: Any,
    ) -> None:
        from ale_py.vector_env import AtariVectorEnv

        self.num_envs, self.frames = num_envs, frame_skip
        self._size, self._clips = (size, size), clips
        height, width = _screen_of(game)
        self._venv = AtariVectorEnv(
            game,
            num_envs,
            num_threads=min(num_threads, num_envs),
            autoreset_mode=AutoresetMode.SAME_STEP,
            img_height=height,
            img_width=width,
            grayscale=False,
            stack_num=1,
            frameskip=frame_skip,
            noop_max=noop_max,
            episodic_life=False,
            life_loss_info=life_ends,
            reward_clipping=False,
            **kwargs,
        )
        self.action_space = self._venv.single_action_space
        self.observation_space: spaces.Space = spaces.Box(0, 255, (size, size, 1), np.uint8)
        self._gray = np.empty((height, width), np.uint8)
        self._frame_numbers = np.zeros(num_envs, np.int64)

    def reset(self, seeds: list[int] | None) -> np.ndarray:
        """Begin a game in each."""
        given = None if seeds is None else np.array([seed % 2**31 for seed in seeds])
        screens, info = self._venv.reset(seed=given)
        self._frame_numbers = info["episode_frame_number"].astype(np.int64)
        return self._pictures(screens)

    def step(self, actions: np.ndarray) -> Batch:
        """Act for some frames in each."""
        screens, scores, terminated, truncated, info = self._venv.step(actions.astype(np.int64))
        before, now = self._frame_numbers, info["episode_frame_number"].astype(np.int64)
        self._frame_numbers = now
        ended = terminated | truncated
        # A game that goes on after a lost life goes on counting.
        finished = ended & ~((before < now) & (now <= before + self.frames))
        observations = self._pictures(screens)
        last = {
            int(index): self._picture(info["final_obs"][index, 0]) if finished[index] else observations[index].copy()
            for index in np.flatnonzero(ended)
        }
        told = zip(info["lives"].tolist(), now.tolist(), info["frame_number"].tolist(), strict=True)
        infos = [{"lives": lives, "episode_frame_number": own, "frame_number": all_} for lives, own, all_ in told]
        rewards = np.sign(scores) if self._clips else scores
        return Batch(observations, rewards, scores, terminated, truncated, finished, last, infos)

    def _pictures(self, screens: np.ndarray) -> np.ndarray:
        pictures = np.empty((self.num_envs, *self._size, 1), np.uint8)
        for index in range(self.num_envs):
            pictures[index] = self._picture(screens[index, 0])
        return pictures

    def _picture(self, screen: np.ndarray) -> np.ndarray:
        gray = cv2.cvtColor(screen, cv2.COLOR_RGB2GRAY, dst=self._gray)
        return cv2.resize(gray, self._size, interpolation=cv2.INTER_AREA)[:, :, None]

    def render(self) -> list[np.ndarray]:
        """There are no pictures for people."""
        raise NotImplementedError

    def take(self) -> None:
        """The emulators give none of their state."""

    def put(self, state: dict[str, Any]) -> None:
        """There is none to put."""

    def close(self) -> None:
        """Its threads end with it."""
        del self._venv


def _screen_of(game: str) -> tuple[int, int]:
    """:return: height and width of a game's screens, which differ between games"""
    import ale_py

    console = ale_py.ALEInterface()
    rom = ale_py.roms.get_rom_path(game)
    assert rom is not None
    console.loadROM(rom)
    height, width = console.getScreenDims()
    return int(height), int(width)
