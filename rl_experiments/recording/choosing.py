"""The best and the worst of some episodes: all are played, and only what is wanted is drawn."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from rl_experiments.evaluation.evaluating import recipe_of
from rl_experiments.recording.images import place_folder
from rl_experiments.recording.recorder import OnMoments, OnProgress, Recording, act, staged
from rl_experiments.recording.scene import Moment, Scene
from rl_experiments.recording.sequences import ImageSequence
from rl_experiments.runs import LoadedAgent

Shoot = Callable[[Path, str, int, OnMoments], Recording | ImageSequence]
"""Records one episode: into which folder, under which name, with which seed, and who is told what happens."""


@dataclass(frozen=True)
class Take:
    """
    An episode that was played.

    :param number: 1 for the first
    :param seed: of its environment and of sampled actions
    :param total: its return, before any wrapper changed rewards
    :param digest: of all of its actions and rewards
    """

    number: int
    seed: int
    total: float
    digest: str


class Tally:
    """Counts an episode while it is played."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._total = 0.0
        self._is_over = False

    def add(self, moments: Sequence[Moment]) -> bool:
        """:return: whether the episode goes on"""
        for moment in moments:
            action = b"" if moment.action is None else np.ascontiguousarray(moment.action).tobytes()
            self._hash.update(repr((moment.reward, moment.done)).encode() + action)
            self._total, self._is_over = moment.total, moment.done
        return not self._is_over

    def take(self, number: int, seed: int) -> Take:
        """:return: what was counted"""
        return Take(number, seed, self._total, self._hash.hexdigest())


class Contest:
    """
    Episodes of which one is wanted; the i-th, from 0, has the seed ``seed + i``.

    :param shoot: records one
    :param until: called after each step; returning False ends the episode there
    """

    def __init__(
        self,
        agent: LoadedAgent,
        shoot: Shoot,
        n_steps: int,
        seed: int,
        deterministic: bool | None,
        until: OnProgress,
    ) -> None:
        self._agent, self._shoot, self._until = agent, shoot, until
        self._n_steps, self._seed, self._deterministic = n_steps, seed, deterministic
        self._takes: list[Take] = []

    def play(self, n_episodes: int) -> None:
        """Play so many episodes without drawing them."""
        recipe = recipe_of(self._agent, None)
        for index in range(n_episodes):
            seed = self._seed_of(index)
            tally, scene = Tally(), Scene(drawn=False)
            with staged(self._agent, recipe, scene, 1, seed, drawn=False) as env:
                act(
                    self._agent,
                    env,
                    scene,
                    tally,
                    recipe,
                    self._n_steps,
                    None,
                    self._deterministic,
                    on_progress=self._until,
                )
            self._takes.append(tally.take(index + 1, seed))

    def record(self, folder: Path, name: str, count: int, sign: int) -> Recording | ImageSequence:
        """
        Play the wanted episode again and record it; should it turn out another one, record all and keep the wanted.

        :param name: of the recording
        :param count: of the first so many episodes
        :param sign: 1 for the one with the largest return, -1 for the smallest
        """
        wanted = _first_of(self._takes[:count], sign)
        with _scratch(folder) as scratch:
            tally = Tally()
            recording = self._shoot(scratch, name, wanted.seed, tally.add)
            if recording.failure or tally.take(wanted.number, wanted.seed) == wanted:
                return _placed(recording, folder, _note(wanted, count, sign))
        return self._record_all(folder, name, count, sign)

    def _record_all(self, folder: Path, name: str, count: int, sign: int) -> Recording | ImageSequence:
        with _scratch(folder) as scratch:
            best: tuple[Take, Recording | ImageSequence] | None = None
            for index in range(count):
                tally = Tally()
                recording = self._shoot(scratch / str(index), name, self._seed_of(index), tally.add)
                take = tally.take(index + 1, self._seed_of(index))
                if best is None or _first_of([best[0], take], sign) is take:
                    best = take, recording
                if recording.failure:  # the next would not be drawn either
                    best = take, recording
                    break
            assert best is not None
            return _placed(best[1], folder, _note(best[0], count, sign))

    def _seed_of(self, index: int) -> int:
        return (self._seed + index) % 2**32


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder on the same disk, which goes with all that is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".recording-", dir=folder) as scratch:
        yield Path(scratch)


def _first_of(takes: Sequence[Take], sign: int) -> Take:
    """:return: the first with the largest return, or with the smallest; NaN is never the one if there is another"""
    return max(takes, key=lambda take: -math.inf if math.isnan(take.total) else sign * take.total)


def _note(take: Take, count: int, sign: int) -> str:
    word = "best" if sign > 0 else "worst"
    return f"the {word} of {count} episodes: number {take.number}, seed {take.seed}, return {take.total:.2f}"


def _placed(recording: Recording | ImageSequence, folder: Path, note: str) -> Recording | ImageSequence:
    if isinstance(recording, Recording):
        return replace(recording, path=recording.path.replace(folder / recording.path.name), note=note)
    return replace(recording, folder=place_folder(recording.folder, folder, is_whole=recording.is_whole), note=note)
