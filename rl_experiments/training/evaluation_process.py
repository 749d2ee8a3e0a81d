"""
A process that plays evaluations beside the training.

It is forked from the training, and so has its agent and its evaluation environments as they are at that moment. With
each order it gets the parameters and the statistics of the normalisation; with each answer it gives the state that the
environments were left in, so that the training can go on from there by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import mmap
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Space
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize

from rl_experiments.algorithms.sb3.archive import model_bytes
from rl_experiments.core import pickles
from rl_experiments.core.isolation import Beat, ChildProcess, IsolatedError, Parent, be_silent, run_isolated
from rl_experiments.core.symbols import Trust
from rl_experiments.envs.state import put_space_state, space_state, take_state
from rl_experiments.evaluation import Evaluation, play

_STEPS_OF_PROBE = 32
_DEADLINE_OF_PROBE = 60.0
_DONT_NEED = 4
_LEAST_TO_DROP = 1 << 20


@dataclass(frozen=True)
class Moment:
    """
    An agent at a moment of its training.

    :param steps: of the training
    :param model: the file of the model
    :param statistics: the file of its normalisation, if it has one
    :param exploration_rate: of actions that it takes at random, if it does
    """

    steps: int
    model: bytes
    statistics: bytes | None
    exploration_rate: float | None = None

    @classmethod
    def of(cls, model: Any) -> Moment:
        """:return: what an SB3 model is now"""
        normalization = model.get_vec_normalize_env()
        statistics = None if normalization is None else pickle.dumps(normalization)  # as VecNormalize.save does
        return cls(model.num_timesteps, model_bytes(model), statistics, getattr(model, "exploration_rate", None))


@dataclass(frozen=True)
class Games:
    """
    What an evaluation consists of.

    :param agent: an SB3 model, as an agent
    :param env: environments of its own
    :param n_episodes: to play
    :param deterministic: the most probable actions instead of samples
    :param seed: of what an evaluation draws
    :param trust: what of the user's own may be read
    """

    agent: Any
    env: VecEnv
    n_episodes: int
    deterministic: bool
    seed: int
    trust: Trust = field(default_factory=Trust)

    def put(self, moment: Moment) -> None:
        """Let the agent and the normalisation be those of a moment."""
        model = self.agent.model
        _, parameters, _ = load_from_zip_file(io.BytesIO(moment.model), device=model.device, load_data=False)
        model.policy.load_state_dict(parameters["policy"])
        if moment.exploration_rate is not None:
            model.exploration_rate = moment.exploration_rate
        if moment.statistics is not None:
            saved = vars(pickles.loads_trusting(moment.statistics, self.trust))
            for layer in normalizations(self.env):
                vars(layer).update({name: saved[name] for name in ("obs_rms", "ret_rms") if name in saved})

    def play(
        self, steps: int, on_step: Callable[[Any], bool | None] | None = None, limit: int | None = None
    ) -> Evaluation:
        """
        Play with random numbers of its own, and with one thread: more would be no faster, and change the last bits.

        :param steps: of the training; they choose the random numbers
        :param on_step: called after each step; returning False ends the play
        :param limit: play so many steps at most
        """
        with one_thread(), own_random_numbers(self.agent.model.action_space, (self.seed, steps)):
            return play(
                self.agent,
                self.env,
                n_episodes=self.n_episodes,
                n_steps=limit,
                deterministic=self.deterministic,
                on_step=on_step,
            )


@dataclass(frozen=True)
class Played:
    """
    :param result: of an evaluation
    :param state: that the environments were left in; None where it cannot be had
    """

    result: Evaluation
    state: dict[str, Any] | None


def missing_state(games: Games) -> list[str]:
    """
    Play a few steps in a process of its own, of which nothing stays.

    :return: what of the environments' state cannot be had
    :raises IsolatedError: if that fails
    """

    def work(beat: Beat) -> list[str]:
        be_silent()
        games.play(0, limit=_STEPS_OF_PROBE)
        return take_state(games.env)[1]

    return list(run_isolated(work, _DEADLINE_OF_PROBE))


class EvaluationProcess:
    """
    The process.

    :param games: what it plays, with what it has at this moment
    :param with_state: whether the state of the environments can be had
    """

    def __init__(self, games: Games, with_state: bool) -> None:
        self._child = ChildProcess(functools.partial(_serve, games, with_state))

    def order(self, moment: Moment) -> None:
        """Ask for an evaluation."""
        self._child.answer(moment)

    def answer(self, seconds: float) -> Played | None:
        """
        :param seconds: to wait for it
        :return: the evaluation that was asked for, if it is there
        :raises IsolatedError: if the evaluation failed, or the process is gone
        """
        try:
            while self._child.receiver.poll(seconds):
                kind, value = self._child.receiver.recv()
                if kind == "error":
                    raise IsolatedError(value)
                if isinstance(value, Played):
                    return value
        except (EOFError, OSError):
            raise IsolatedError(self._child.describe_crash()) from None
        return None

    def end(self) -> None:
        """End it, whatever it is at."""
        self._child.end()


def _serve(games: Games, with_state: bool, parent: Parent) -> None:
    _drop_buffers(games.agent.model)
    played: Played | None = None
    while True:
        try:
            moment = parent.ask(played)
        except EOFError:  # the training has ended
            return
        games.put(moment)
        result = games.play(moment.steps)
        played = Played(result, take_state(games.env)[0] if with_state else None)


def _drop_buffers(model: Any) -> None:
    """Here nobody needs them: whatever the training writes into them from now on would be there twice."""
    if sys.platform != "linux":
        return
    advise = ctypes.CDLL(None).madvise
    for name in ("replay_buffer", "rollout_buffer"):
        for array in _arrays(vars(getattr(model, name, None) or object)):
            start = -(-array.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
            length = (array.ctypes.data + array.nbytes - start) // mmap.PAGESIZE * mmap.PAGESIZE
            advise(ctypes.c_void_p(start), ctypes.c_size_t(length), _DONT_NEED)


def _arrays(values: Any) -> Iterator[np.ndarray]:
    for value in values.values():
        if isinstance(value, dict):
            yield from _arrays(value)
        elif isinstance(value, np.ndarray) and _is_droppable(value):
            yield value


def _is_droppable(array: np.ndarray) -> bool:
    """Not what is a view of something, such as a file in memory, which the training shares."""
    return array.dtype != object and array.nbytes >= _LEAST_TO_DROP and array.base is None and array.flags.c_contiguous


def normalizations(env: Any) -> list[VecNormalize]:
    """:return: the layers around a vector of environments that normalise"""
    found = []
    while isinstance(env, VecEnvWrapper):
        if isinstance(env, VecNormalize):
            found.append(env)
        env = env.venv
    return found


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def keeping_generators() -> Iterator[None]:
    """The state of an environment holds the generators of its process: here they stay the training's."""
    of_python, of_numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        torch.set_rng_state(of_torch)


@contextlib.contextmanager
def own_random_numbers(space: Space, seed: tuple[int, int]) -> Iterator[None]:
    """
    Whether an evaluation draws random numbers or not, the training draws the same ones after it.

    :param space: of the agent's actions, from which it may draw
    :param seed: chooses the numbers
    """
    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    of_space = space_state(space)
    with keeping_generators():
        random.seed(number)
        np.random.seed(number)
        torch.default_generator.manual_seed(number)
        space.seed(number)
        try:
            yield
        finally:
            put_space_state(space, of_space)
