"""Images of the episodes that SB3's own ``evaluate_policy`` plays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.envs.rendering import prepare_offscreen_rendering
from rl_experiments.recording.images import ImageFolder, Selection
from rl_experiments.recording.scene import Moment, Scene

_BEGIN, _TAKE, _END = "begin_watching", "take_watched", "end_watching"


class FrameCallback:
    """
    Writes an image for each step of each environment, when it is handed to SB3's ``evaluate_policy``::

        env = make_vec_env("CartPole-v1", n_envs=4)
        frames = FrameCallback("evaluation", env)
        evaluate_policy(model, env, n_eval_episodes=8, callback=frames)
        print(frames.folder)  # evaluation/frames, with env-0/001/000000.png and so on

    An episode of T steps gives T + 1 images: step 0 is the picture after the reset, and step T shows how the episode
    ended. A callback alone can see neither, since ``evaluate_policy`` calls it for the first time after the first step,
    and a vector of environments begins the next episode within the last step of the one before: so it is told of the
    environment beforehand, and watches it. ``<folder>/frames`` (``frames_2``, ... if that is taken) is laid out as by
    :func:`rl_experiments.record_frames`. It may be used for several evaluations, each of which gets its own folder.

    :param folder: where ``frames`` goes
    :param env: the environment that is evaluated, made with ``render_mode="rgb_array"``: a vector in this process or in
        others, with any wrappers around it, or a single environment
    :param every: keep each so manieth step, counted from ``first``
    :param first: first step of each episode that is kept
    :param last: last step of each episode that is kept; if None, to the end
    :raises ConfigurationError: if the environment gives no pictures
    """

    def __init__(
        self, folder: str | Path, env: VecEnv | gym.Env, *, every: int = 1, first: int = 0, last: int | None = None
    ) -> None:
        self._parent, self._selection = Path(folder), Selection(every, first, last)
        self._env = env.unwrapped if isinstance(env, VecEnv) else env
        self._images: ImageFolder | None = None
        self._evaluation: object = None
        self._first_episodes: list[int] = []
        self.folder: Path | None = None
        """Where the images of the last evaluation are; its name ends in ``.partial`` if it was broken off."""
        modes = [env.render_mode] if isinstance(env, gym.Env) else env.get_attr("render_mode")
        if any(mode != "rgb_array" for mode in modes):
            raise ConfigurationError(
                f'The environment gives no pictures: expected render_mode="rgb_array", got {modes[0]}'
            )
        self._watches: list[_Watch] = []
        if isinstance(self._env, gym.Env):
            self._watches = [_Watch(self._env)]
        elif isinstance(self._env, DummyVecEnv):
            self._watches = [_Watch(each) for each in self._env.envs]
        else:
            self._watch_elsewhere(self._env)

    def __call__(self, local_values: Mapping[str, Any], global_values: Mapping[str, Any]) -> None:
        """
        Write what happened in one step of all environments.

        :param local_values: the variables of ``evaluate_policy``
        :param global_values: not needed
        """
        if local_values["episode_rewards"] is not self._evaluation:
            self._begin(local_values)
        if self._images is None:  # it ended with this step, at the call for an environment before this one
            return
        moments = self._take()  # at the first of the calls that follow a step; at the others there is nothing
        if not self._first_episodes and moments:
            self._first_episodes = [each[0].episode if each else 1 for each in moments]
        for index, each in enumerate(moments):
            before = self._first_episodes[index] - 1
            self._images.add([replace(moment, env_index=index, episode=moment.episode - before) for moment in each])
        if _is_last_step(local_values):
            self.folder = self._images.finish()
            self._images = None

    def close(self) -> None:
        """Stop watching: the environment is as it was."""
        if self._images is not None:
            self.folder, self._images = self._images.finish(is_whole=False), None
        for watch in self._watches:
            watch.end()
        if not self._watches and isinstance(self._env, VecEnv):
            self._env.env_method(_END)
        self._watches = []

    def _begin(self, local_values: Mapping[str, Any]) -> None:
        env = local_values["env"].unwrapped
        is_watched = env is self._env or (isinstance(env, DummyVecEnv) and env.envs[0] is self._env)
        if not is_watched:
            raise ConfigurationError("FrameCallback was told of another environment than the one that is evaluated")
        if self._images is not None:
            self._images.finish(is_whole=False)
        self._evaluation = local_values["episode_rewards"]
        self._first_episodes = []
        shares = [int(count) for count in local_values["episode_count_targets"]]
        self._images = ImageFolder(self._parent, lambda moment: moment.picture, self._selection, shares)

    def _take(self) -> list[list[Moment]]:
        if self._watches:
            return [watch.take() for watch in self._watches]
        assert isinstance(self._env, VecEnv)
        return list(self._env.env_method(_TAKE))

    def _watch_elsewhere(self, env: VecEnv) -> None:
        """In another process an environment can be given a class, and by it methods."""
        for index, cls in enumerate(env.get_attr("__class__")):
            env.set_attr("__class__", _WatchedClass(cls), indices=index)
        env.env_method(_BEGIN)


class _Watch:
    """Watches one environment, in place, for whoever holds it."""

    def __init__(self, env: gym.Env) -> None:
        prepare_offscreen_rendering(env.spec.entry_point if env.spec is not None else None)
        self._env, self._scene = env, Scene()
        original = _Original(env)
        watcher = self._scene.wrap(original)

        def step(action: Any) -> Any:
            self._scene.take()  # what nobody took is of no evaluation
            return watcher.step(action)

        self._patched = {"step": step, "reset": watcher.reset, "close": watcher.close}
        for name, function in self._patched.items():
            setattr(env, name, function)

    def take(self) -> list[Moment]:
        """:return: what happened since the last call"""
        return self._scene.take()

    def end(self) -> None:
        """Let the environment be as it was."""
        for name in self._patched:
            self._env.__dict__.pop(name, None)


class _Original(gym.Wrapper):
    """An environment as it was before it was watched."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self._step, self._reset, self._close = env.step, env.reset, env.close

    def step(self, action: Any) -> Any:
        return self._step(action)

    def reset(self, **kwargs: Any) -> Any:
        return self._reset(**kwargs)

    def close(self) -> None:
        self._close()


def _begin_watching(self: Any) -> None:
    self._watch = _Watch(self)


def _take_watched(self: Any) -> list[Moment]:
    return list(self._watch.take())


def _end_watching(self: Any) -> None:
    self._watch.end()


_METHODS = {_BEGIN: _begin_watching, _TAKE: _take_watched, _END: _end_watching}
"""What an environment in another process can do beside its own."""


class _WatchedClass:
    """Becomes, where it arrives, a class of environments that can be watched."""

    def __init__(self, cls: type) -> None:
        self._cls = cls

    def __reduce__(self) -> Any:
        return _watched, (self._cls,)


def _watched(cls: type) -> type:
    return type(cls.__name__, (cls,), {"__module__": cls.__module__, **_METHODS})


def _is_last_step(local_values: Mapping[str, Any]) -> bool:
    """Whether the evaluation ends with this step; those counted already have more, and their step is no more theirs."""
    counts, targets = local_values["episode_counts"], local_values["episode_count_targets"]
    dones, infos = local_values["dones"], local_values["infos"]
    if local_values["is_monitor_wrapped"]:
        ended = np.array([bool(done) and "episode" in info for done, info in zip(dones, infos, strict=True)])
    else:
        ended = np.asarray(dones, dtype=bool)
    later = np.arange(len(counts)) >= local_values["i"]  # the others were counted in this step
    return bool((counts + (ended & later) >= targets).all())
