"""What happens in the environments of a recording: each picture with the step that led to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.monitor import Monitor

from rl_experiments.recording.looks import Look
from rl_experiments.recording.pictures import Grabber, PicturesEndedError, say_aside

NOTHING = np.zeros((0, 0, 3), np.uint8)
"""The picture of what is played without being drawn."""


@dataclass(frozen=True)
class Moment:
    """
    An environment after its reset or after a step.

    :param picture: shape (height, width, 3), uint8
    :param env_index: which environment
    :param episode: of this environment, from 1
    :param step: of this episode; 0 after the reset
    :param reward: of this step, before any wrapper changed it (for Atari the sum over the emulator's frames)
    :param total: sum of the episode's rewards so far
    :param done: whether the episode ended with this step; a lost life is no end
    :param action: what led here, as the environment got it; None after the reset
    """

    picture: np.ndarray
    env_index: int
    episode: int
    step: int
    reward: float
    total: float
    done: bool = False
    action: Any = None


@dataclass
class News:
    """
    What a scene in another process has to tell.

    :param moments: what happened
    :param first: the first moment, told once, before anything is stepped
    :param said: what the user should know
    :param ended: why an environment cannot be drawn any more
    """

    moments: list[Moment] = field(default_factory=list)
    first: Moment | None = None
    said: list[str] = field(default_factory=list)
    ended: str | None = None


def everything(env_index: int, episode: int, step: int) -> bool:
    """Each moment is wanted."""
    return True


def nothing(env_index: int, episode: int, step: int) -> bool:
    """No moment is wanted any more."""
    return False


def first_episodes(env_index: int, episode: int, step: int) -> bool:
    """The first episode of each environment is wanted."""
    return episode == 1


class Scene:
    """
    Watches environments that are stepped together, in this process or in another one
    (:mod:`rl_experiments.recording.apart`).

    :param drawn: whether their pictures are wanted
    :param look: how their pictures look
    :param say: takes what the user should know, such as what is missing to draw
    """

    def __init__(self, drawn: bool = True, look: Look | None = None, say: Callable[[str], None] = say_aside) -> None:
        self._drawn = drawn
        self.look, self._say = look, say
        self.on_first: Callable[[Moment], None] | None = None
        """Called with the first moment, before anything is stepped."""
        self.wants: Callable[[int, int, int], bool] = everything
        """Which moments need a picture; the first one has one in any case. It must be possible to pickle it."""
        self.on_end: Callable[[PicturesEndedError], None] | None = None
        """Called when an environment cannot be drawn any more; if None, that is an error."""
        self._watchers: list[_Watcher] = []
        self._heard: list[Moment] = []
        self._news = News()

    def wrap(self, env: gym.Env) -> gym.Env:
        """:param env: the next environment, with all of its wrappers"""
        grabber = Grabber(self.look, self._say) if self._drawn else None
        watcher = _Watcher(env, len(self._watchers), grabber, self)
        self._watchers.append(watcher)
        return watcher

    def take(self) -> list[Moment]:
        """
        :return: what happened since the last call, of each environment in order; the first moment of a further episode
            comes together with the one after it, so that a recording ends with the end of an episode
        """
        heard, self._heard = self._heard, []
        return heard + [moment for watcher in self._watchers for moment in watcher.take()]

    def report(self) -> None:
        """Collect what happens here for the scene of another process, which is told of it."""
        self._say = lambda text: self._news.said.append(text)

        def keep_first(moment: Moment) -> None:
            self._news.first = moment

        def keep_end(error: PicturesEndedError) -> None:
            self._news.ended = str(error)

        self.on_first, self.on_end = keep_first, keep_end

    def news(self) -> News:
        """:return: what was collected since the last call"""
        news, self._news = self._news, News()
        news.moments = self.take()
        return news

    def hear(self, news: News) -> None:
        """
        :param news: of a scene in another process
        :raises PicturesEndedError: if an environment cannot be drawn any more, and nobody asked to be told
        """
        for text in news.said:
            self._say(text)
        if news.ended is not None:
            if self.on_end is None:
                raise PicturesEndedError(news.ended)
            self.on_end(PicturesEndedError(news.ended))
        if news.first is not None and self.on_first is not None:
            self.on_first(news.first)
        self._heard += news.moments


class _Watcher(gym.Wrapper):
    def __init__(self, env: gym.Env, index: int, grabber: Grabber | None, scene: Scene) -> None:
        super().__init__(grabber.wrap(env) if grabber else env)
        self._index, self._grabber, self._scene = index, grabber, scene
        self._monitor = _monitor_of(env)
        self._moments: list[Moment] = []
        self._rewards: list[float] = []
        self._n_seen = 0
        self._episode = self._step = 0
        self._total = 0.0

    def reset(self, **kwargs: Any) -> Any:
        self._wake(self._episode + 1, 0)
        result = self.env.reset(**kwargs)
        picture = self._picture()
        if self._episode and self._monitor is not None and self._monitor.rewards is self._rewards:
            return (
                result  # only a life was lost: the episode goes on, and this step of the wrapper is none of the agent
            )
        if self._moments:
            self._moments[-1] = replace(self._moments[-1], done=True)
        self._episode, self._step, self._total, self._n_seen = self._episode + 1, 0, 0.0, 0
        self._rewards = self._monitor.rewards if self._monitor is not None else []
        self._moments.append(Moment(picture, self._index, self._episode, 0, 0.0, self._count(0.0)[1]))
        if self._episode == 1 and self._index == 0 and self._scene.on_first is not None:
            self._scene.on_first(self._moments[-1])
        return result

    def step(self, action: Any) -> Any:
        self._wake(self._episode, self._step + 1)
        result = self.env.step(action)
        picture = self._picture()
        self._step += 1
        reward, total = self._count(float(result[1]))
        done = bool(result[2] or result[3]) if self._monitor is None else self._monitor.needs_reset
        self._moments.append(
            Moment(picture, self._index, self._episode, self._step, reward, total, done, np.array(action))
        )
        return result

    def take(self) -> list[Moment]:
        waits = len(self._moments) > 0 and self._moments[-1].step == 0
        taken = self._moments[: len(self._moments) - waits]
        self._moments = self._moments[len(taken) :]
        return taken

    def _wake(self, episode: int, step: int) -> None:
        if self._grabber is not None:
            self._grabber.on_end = self._scene.on_end
            self._grabber.is_awake = (episode, step) == (1, 0) or self._scene.wants(self._index, episode, step)

    def _picture(self) -> np.ndarray:
        taken = self._grabber.take() if self._grabber is not None else []
        return taken[-1] if taken else NOTHING

    def _count(self, reward: float) -> tuple[float, float]:
        """:return: the rewards since the last moment, and those of the whole episode"""
        if self._monitor is None:
            self._total += reward
            return reward, self._total
        new = self._rewards[self._n_seen :]
        self._n_seen += len(new)
        for value in new:  # one by one, so that the sum is Monitor's to the last bit
            self._total += value
        return sum(new), self._total


def _monitor_of(env: gym.Env) -> Monitor | None:
    layer: Any = env
    while isinstance(layer, gym.Wrapper):
        if isinstance(layer, Monitor):
            return layer
        layer = layer.env
    return None
