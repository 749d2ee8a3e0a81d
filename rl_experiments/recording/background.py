"""
Videos of an agent that is still being trained, recorded by a process beside the training.

That process is started before the training is: it has none of its threads, its GPU or its memory. For each video it
forks another, so that an environment that crashes or hangs costs one video and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from rl_experiments.algorithms.agent import Agent
from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.isolation import Beat, ChildProcess, IsolatedError, be_silent, can_isolate, run_isolated
from rl_experiments.envs import EnvironmentRecipe
from rl_experiments.recording.recorder import record
from rl_experiments.recording.resizing import write_preview

DEADLINE = 120.0
"""Seconds without a step after which a video is given up."""
_NICENESS = 10
_MOST_STARTS = 4


@dataclass(frozen=True)
class Order:
    """
    A video to be made.

    :param steps: of the training
    :param model: the file of the agent, which is removed afterwards
    :param statistics: the file of its normalisation, removed too, or None
    :param video: where the video goes
    :param preview: where a small GIF of it goes, or None
    :param cut: the video ends once this file is there, and what has not begun is not begun
    """

    steps: int
    model: Path
    statistics: Path | None
    video: Path
    preview: Path | None
    cut: Path


@dataclass(frozen=True)
class Outcome:
    """
    :param order: what was asked for
    :param video: the file, or None
    :param preview: the small GIF, or None
    :param returns: of the episodes that ended in it
    :param complete: whether the episode was recorded to its end
    :param reason: why there is no video, or no preview
    :param remarks: what the user should know, such as what is missing to draw
    """

    order: Order
    video: Path | None = None
    preview: Path | None = None
    returns: tuple[float, ...] = ()
    complete: bool = False
    reason: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class EpisodeFilm:
    """
    Makes videos of one evaluation episode.

    :param load: loads an agent from its file
    :param recipe: the environment that it is evaluated in
    :param seed: of the episode, the same for each video
    :param n_steps: longest length
    :param deterministic: the most probable actions instead of samples
    """

    load: Callable[[Path], Agent]
    recipe: EnvironmentRecipe
    seed: int
    n_steps: int
    deterministic: bool

    def __call__(self, order: Order, beat: Beat) -> Outcome:
        """Record the video of an order."""
        recipe = self.recipe
        if order.statistics is not None:
            recipe = replace(recipe, statistics=order.statistics)

        def goes_on(step: int) -> bool:
            beat(step)
            return not order.cut.exists()

        agent = self.load(order.model)
        remarks: list[str] = []
        beat(0)
        made = record(
            agent,
            order.video,
            recipe,
            n_steps=self.n_steps,
            seed=self.seed,
            deterministic=self.deterministic,
            say=remarks.append,
            on_progress=goes_on,
        )
        preview, reason = None, ""
        if order.preview is not None and not order.cut.exists():
            try:
                preview = write_preview(made.path, order.preview)
            except (RLExperimentsError, OSError) as error:
                reason = f"no small GIF of it can be made: {error}"
        returns = tuple(episode.total_reward for episode in made.episodes)
        return Outcome(order, made.path, preview, returns, made.complete, reason, tuple(remarks))


class BackgroundRecorder:
    """
    Takes orders for videos and makes them one after another, in processes of their own.

    :param film: makes one video; where the system does not fork, it must be possible to pickle it
    :param deadline: seconds without a step after which a video is given up; if None, :data:`DEADLINE`
    """

    def __init__(self, film: EpisodeFilm, deadline: float | None = None) -> None:
        self._film, self._deadline = film, DEADLINE if deadline is None else deadline
        self._orders: list[Order] = []
        self._starts = 0
        self._child: ChildProcess | None = None
        self._start()

    @property
    def waiting(self) -> list[Order]:
        """What was ordered and is not answered yet; the first is being made."""
        return list(self._orders)

    def order(self, order: Order) -> None:
        """Ask for a video."""
        if self._child is None and self._starts < _MOST_STARTS:
            self._start()
        self._orders.append(order)
        with contextlib.suppress(OSError):  # the process is gone, which is seen when its answers are taken
            self._connection.send(order)

    def finished(self, seconds: float = 0.0) -> list[Outcome]:
        """
        :param seconds: how long to wait for the first
        :return: the orders that were answered since the last call
        """
        outcomes: list[Outcome] = []
        try:
            while self._orders and self._connection.poll(0.0 if outcomes else seconds):
                outcome: Outcome = self._connection.recv()
                self._orders = [order for order in self._orders if order != outcome.order]
                outcomes.append(outcome)
        except (EOFError, OSError):
            return outcomes + self._give_up()
        return outcomes

    def close(self) -> None:
        """End the process, whatever it is at."""
        if self._child is not None:
            self._child.end()
            self._child = None
        self._connection.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork" if can_isolate() else "spawn")
        self._connection, theirs = context.Pipe()
        try:
            mine = self._connection if can_isolate() else None
            work = functools.partial(_serve, self._film, self._deadline, theirs, mine)
            self._child = ChildProcess(work)
        finally:
            theirs.close()
        self._starts += 1

    def _give_up(self) -> list[Outcome]:
        """What was being made when the process was killed is lost; another one takes the rest."""
        reason = "the process that records has ended" if self._child is None else self._child.describe_crash()
        self.close()
        lost, *rest = self._orders
        if self._starts >= _MOST_STARTS:
            lost_too, rest = rest, []
        else:
            lost_too = []
            self._start()
        self._orders = []
        for order in rest:
            self.order(order)
        return [Outcome(order, reason=reason) for order in (lost, *lost_too)]


def _serve(film: EpisodeFilm, deadline: float, orders: Connection, other_end: Connection | None, beat: Beat) -> None:
    if other_end is not None:
        other_end.close()  # or the end of the training would not be seen
    _be_quiet()
    while True:
        try:
            order: Order = orders.recv()
        except EOFError:
            return
        try:
            if order.cut.exists():
                raise IsolatedError("the training had ended")
            outcome = run_isolated(functools.partial(film, order), deadline)
        except IsolatedError as error:
            outcome = Outcome(order, reason=str(error))
        for file in (order.model, order.statistics):
            if file is not None:
                file.unlink(missing_ok=True)
        orders.send(outcome)


def _be_quiet() -> None:
    """The training comes first, and the terminal is its own."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    be_silent()


def wait_for(recorder: BackgroundRecorder, deadline: float, wanted: Callable[[], bool]) -> list[Outcome]:
    """
    :param deadline: on the monotonic clock
    :param wanted: asked several times a second whether to go on waiting
    :return: what was made meanwhile
    """
    outcomes: list[Outcome] = []
    while recorder.waiting and wanted() and (left := deadline - time.monotonic()) > 0:
        outcomes += recorder.finished(min(left, 0.2))
    return outcomes
