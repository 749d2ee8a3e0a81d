"""An agent that plays one episode in a process of its own, and hands its pictures over one by one."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from rl_experiments.core.interruption import wait_for_answer
from rl_experiments.core.isolation import Beat, ChildProcess, can_isolate
from rl_experiments.evaluation.evaluating import recipe_of
from rl_experiments.recording.composing import dimmed
from rl_experiments.recording.looks import Look
from rl_experiments.recording.pictures import frames_per_second, say_aside
from rl_experiments.recording.recorder import act, staged
from rl_experiments.recording.scene import Moment, Scene
from rl_experiments.runs import LoadedAgent

DEADLINE = 120.0
"""Seconds without a picture after which an agent is given up."""
_PATIENCE_WITH_THE_RESULT = 30.0


@dataclass(frozen=True)
class Part:
    """
    What an agent plays.

    :param load: loads it
    :param n_steps: longest length
    :param seed: of the episode
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides
    :param look: size and quality of the pictures
    :param say: takes what the user should know, such as what is missing to draw
    """

    load: Callable[[], LoadedAgent]
    n_steps: int
    seed: int
    deterministic: bool | None
    look: Look | None = None
    say: Callable[[str], None] = say_aside


class Performer:
    """
    One agent at play. It waits for its pictures to be taken, so that never more than two are in memory.

    :param part: what it plays
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        context = multiprocessing.get_context("fork" if can_isolate() else "spawn")
        self._pictures, sender = context.Pipe(duplex=False)
        try:
            receiver = self._pictures if can_isolate() else None
            self._child = ChildProcess(functools.partial(_perform, part, sender, receiver))
        finally:
            sender.close()
        self.shape = (0, 0, 3)
        self.fps = 0.0
        self.picture: np.ndarray | None = None
        """What is to be seen of it now; dimmed once its episode is over. None if there was never anything."""
        self.plays = True
        self.failure: str | None = None
        """Why it ended before the end of its episode, or before it began."""
        self.total: float | None = None
        """Return of the episode, if it came to its end."""

    def advance(self) -> None:
        """Take the next picture, if there is one."""
        try:
            given_up = wait_for_answer(self._pictures, DEADLINE)
            if given_up is not None:
                self._end(given_up)
                return
            if self.picture is None:
                self.fps, self.shape = self._pictures.recv()
            content = self._pictures.recv_bytes()
            self.picture = np.frombuffer(content, np.uint8).reshape(self.shape)
        except EOFError:
            self._hear()
        except ValueError:
            self._end("its pictures change their size")

    def close(self) -> None:
        """End its process."""
        self._child.end()
        self._pictures.close()

    def _hear(self) -> None:
        try:
            while self._child.receiver.poll(_PATIENCE_WITH_THE_RESULT):
                kind, value = self._child.receiver.recv()
                if kind != "beat":
                    self.total = value if kind == "result" else None
                    self._end(value if kind == "error" else None)
                    return
            self._end("it does not end")
        except EOFError:
            self._end(self._child.describe_crash())

    def _end(self, failure: str | None) -> None:
        self.plays, self.failure = False, failure
        if self.picture is not None:
            self.picture = dimmed(self.picture)


class _Handover:
    """A sink that sends the pictures of one episode to another process."""

    def __init__(self, sender: Connection, fps: float) -> None:
        self._sender, self._fps = sender, fps
        self._began = False
        self.total: float | None = None

    def add(self, moments: Sequence[Moment]) -> bool:
        for moment in moments:
            if not self._began:
                self._began = True
                self._sender.send((self._fps, moment.picture.shape))
            self._sender.send_bytes(moment.picture.tobytes())
            if moment.done:
                self.total = moment.total
                return False
        return True


def _perform(part: Part, sender: Connection, receiver: Connection | None, beat: Beat) -> float | None:
    if receiver is not None:
        receiver.close()
    with sender:
        agent = part.load()
        recipe = recipe_of(agent, None)
        scene = Scene(look=part.look, say=part.say)
        with staged(agent, recipe, scene, 1, part.seed) as env:
            handover = _Handover(sender, frames_per_second(recipe, env.get_attr("metadata")[0]))
            act(agent, env, scene, handover, recipe, part.n_steps, None, part.deterministic, on_progress=beat)
    return handover.total
