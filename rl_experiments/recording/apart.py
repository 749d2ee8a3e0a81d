"""
Environments that are recorded, in a process of their own.

Renderers crash and hang, and take the process along that they draw in. Here that ends a recording, which is kept as far
as it came, and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import pickle
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from rl_experiments.core.interruption import wait_for_answer
from rl_experiments.core.isolation import Beat, ChildProcess, can_isolate, is_isolated
from rl_experiments.recording.pictures import LostError
from rl_experiments.recording.scene import News, Scene

PATIENCE = 120.0
"""Seconds for an answer; then the environment, or what draws it, hangs."""
_PATIENCE_AT_THE_END = 5.0
_KEPT_INFOS = ("episode", "TimeLimit.truncated", "terminal_observation", "is_success", "success")
Makers = list[Callable[[], gym.Env]]


class _NotPortableError(Exception):
    """An environment with spaces that cannot be sent to another process."""


def vector_of(scene: Scene) -> Callable[[Makers], VecEnv]:
    """
    :param scene: watches the environments, and is told what happens in them
    :return: what makes a vector of environments, in a process of its own where the system forks safely and this is not
        already one that may be lost
    """

    def make(makers: Makers) -> VecEnv:
        if can_isolate() and not is_isolated():
            with contextlib.suppress(_NotPortableError):
                return DistantVecEnv(makers, scene)
        return DummyVecEnv(makers)

    return make


class DistantVecEnv(VecEnv):
    """
    Several environments together in one other process.

    :param makers: make one environment each, there
    :param scene: watches them there, and tells here
    :raises LostError: here and from every method, if the process crashed or hangs
    """

    def __init__(self, makers: Makers, scene: Scene) -> None:
        self._scene, self._wants, self._lost = scene, scene.wants, ""
        self._connection, theirs = multiprocessing.get_context("fork").Pipe()
        try:
            self._child = ChildProcess(functools.partial(_serve, makers, scene, theirs, self._connection))
        finally:
            theirs.close()
        self._actions: np.ndarray | None = None
        try:
            super().__init__(len(makers), *self._answer())
        except BaseException:
            self._end()
            raise

    def inside(self, function: Callable[[VecEnv], Any]) -> Any:
        """:return: what a function of a module says about the environments, there"""
        return self._ask("inside", function)

    def reset(self) -> Any:
        observation, self.reset_infos = self._ask("reset", self._seeds, self._options)
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        return self._ask("step", self._actions)

    def close(self) -> None:
        """Let the environments close, and end the process."""
        with contextlib.suppress(OSError, EOFError):
            if not self._lost:
                self._connection.send(("close", (), None))
                deadline = time.monotonic() + _PATIENCE_AT_THE_END
                while self._connection.poll(max(0.0, deadline - time.monotonic())):
                    self._connection.recv_bytes()  # an answer that nobody waited for
        self._lost = self._lost or "it is closed"
        self._end()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return list(self._ask("get_attr", attr_name, indices))

    def has_attr(self, attr_name: str) -> bool:
        return bool(self._ask("has_attr", attr_name))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        self._ask("set_attr", attr_name, value, indices)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        return list(self._ask("env_method", method_name, method_args, indices, method_kwargs))

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return list(self._ask("env_is_wrapped", wrapper_class, indices))

    def _ask(self, name: str, *arguments: Any) -> Any:
        if self._lost:
            raise LostError(self._lost)
        wants = self._scene.wants if self._scene.wants is not self._wants else None
        try:
            self._connection.send((name, arguments, wants))
        except (BrokenPipeError, ConnectionError):
            self._lose(self._child.describe_crash())
        self._wants = self._scene.wants
        return self._answer()

    def _answer(self) -> Any:
        try:
            given_up = wait_for_answer(self._connection, PATIENCE)
            if given_up is not None:
                self._lose(given_up)
            error, value, news = self._connection.recv()
        except (EOFError, ConnectionError):
            self._lose(self._child.describe_crash())
        if error is not None:
            raise error
        self._scene.hear(news)
        return value

    def _lose(self, reason: str) -> None:
        self._lost = reason
        raise LostError(reason)

    def _end(self) -> None:
        self._child.end()
        self._connection.close()


def _serve(makers: Makers, scene: Scene, connection: Connection, other_end: Connection, beat: Beat) -> None:
    other_end.close()  # or the end of the program would not be seen
    scene.report()
    env: VecEnv | None = None
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionError):
        try:
            env = DummyVecEnv(makers)
        except BaseException as error:
            connection.send((portable(error), None, News()))
            return
        try:
            connection.send((None, (env.observation_space, env.action_space), scene.news()))
        except Exception:
            connection.send((_NotPortableError(), None, News()))
            return
        while True:
            name, arguments, wants = connection.recv()
            if name == "close":
                break
            scene.wants = wants or scene.wants
            _reply(connection, env, scene, name, arguments)
    if env is not None:
        env.close()


def _reply(connection: Connection, env: VecEnv, scene: Scene, name: str, arguments: Sequence[Any]) -> None:
    try:
        value = _DEEDS.get(name, functools.partial(_call, name))(env, *arguments)
    except BaseException as error:
        connection.send((portable(error), None, News()))
        return
    news = scene.news()
    try:
        connection.send((None, value, news))
    except (BrokenPipeError, ConnectionError):
        raise
    except Exception as error:  # what cannot be sent
        if name == "step":
            infos = [{key: info[key] for key in _KEPT_INFOS if key in info} for info in value[3]]
            connection.send((None, (*value[:3], infos), news))
        elif name == "reset":
            connection.send((None, (value[0], [{} for _ in value[1]]), news))
        else:
            connection.send((portable(error), None, News()))


def _call(name: str, env: VecEnv, *arguments: Any) -> Any:
    return getattr(env, name)(*arguments)


def _reset(env: Any, seeds: Any, options: Any) -> Any:
    env._seeds, env._options = seeds, options
    return env.reset(), env.reset_infos


def _method(env: VecEnv, name: str, arguments: Any, indices: Any, kwargs: Any) -> Any:
    return env.env_method(name, *arguments, indices=indices, **kwargs)


def _inside(env: VecEnv, function: Callable[[VecEnv], Any]) -> Any:
    return function(env)


_DEEDS: dict[str, Callable[..., Any]] = {"reset": _reset, "env_method": _method, "inside": _inside}


def portable(error: BaseException) -> Exception:
    """:return: the error, or one with the same name and text that can be sent to another process and raised there"""
    if isinstance(error, Exception):
        with contextlib.suppress(Exception):
            if str(pickle.loads(pickle.dumps(error))) == str(error):  # noqa: S301 (what was made here)
                return error
    return _LookalikeError(type(error), str(error))


class _LookalikeError(Exception):
    """Becomes, where it arrives, an error of the same class, or at least of the same name."""

    def __init__(self, cls: type[BaseException], text: str) -> None:
        super().__init__(text)
        self._cls, self._text = cls, text

    def __reduce__(self) -> Any:
        try:
            pickle.dumps(self._cls)
        except Exception:
            return _lookalike, (None, self._cls.__name__, self._text)
        return _lookalike, (self._cls, self._cls.__name__, self._text)


def _lookalike(cls: type[BaseException] | None, name: str, text: str) -> Exception:
    if cls is not None and issubclass(cls, Exception):
        with contextlib.suppress(Exception):
            error = cls.__new__(cls, text)
            error.args = (text,)
            return error
    return type(name, (Exception,), {})(text)
