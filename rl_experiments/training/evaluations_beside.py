"""Whether evaluations can be played beside the training with the same results, and whether a core is free for it."""

from __future__ import annotations

import os

from stable_baselines3.common.vec_env import DummyVecEnv

from rl_experiments.core.isolation import IsolatedError, can_isolate
from rl_experiments.core.processes import available_cores
from rl_experiments.envs.lean import LeanVecEnv
from rl_experiments.envs.state import put_state
from rl_experiments.training.evaluation_process import (
    EvaluationProcess,
    Games,
    Moment,
    Played,
    keeping_generators,
    missing_state,
    normalizations,
)
from rl_experiments.training.stopping import to_stderr
from rl_experiments.training.threads import IdleCores

AUTO, ON, OFF = MODES = ("auto", "on", "off")
VARIABLE = "RL_EXPERIMENTS_EVAL_IN_BACKGROUND"
"""What ``auto`` is on this machine: for measurements and tests, where times may not depend on what else runs."""
_FORKED_SAFELY = ("gymnasium.envs.box2d", "ale_py")
"""Environments in memory alone, although their state cannot be had."""
_MOST_REMEMBERED = 1 << 28
_LEAST_IDLE = 0.5
"""Cores that nobody used since the last evaluation."""


class EvaluationsBeside:
    """
    Plays evaluations in a process beside the training, where their results are those of a training that waits.

    :param games: an evaluation
    :param mode: ``on`` does not ask for a free core, ``off`` is never
    :param n_threads: torch's in the training
    :param hindrance: why the training has to wait for its evaluations, if something is known already
    """

    def __init__(self, games: Games, mode: str, n_threads: int, hindrance: str | None = None) -> None:
        self.games = games
        if mode == AUTO and os.environ.get(VARIABLE) in MODES:
            mode = os.environ[VARIABLE]
        self._mode, self._n_threads = mode, n_threads
        self.hindrance = "it was asked for" if mode == OFF else hindrance or _hindrance(games)
        self.with_state = False
        """Whether the environments here are always put to where the evaluations left them."""
        self.unseen: list[Moment] = []
        """What was evaluated in the process alone, in environments that leave no state."""
        self._has_forgotten = False
        self._probed = False
        self._process: EvaluationProcess | None = None
        self._current: Moment | None = None
        self._idle = IdleCores()
        if mode == ON:
            self._tell_why()

    @property
    def is_busy(self) -> bool:
        """Whether there is a process that has an order."""
        return self._process is not None and self._current is not None

    def is_possible(self) -> bool:
        """Whether the next evaluation can be played beside the training, and should."""
        if self.hindrance is None and not self._probed and self._has_a_core():
            self._probe()
        return self.hindrance is None and self._has_a_core()

    def order(self, moment: Moment) -> None:
        """
        Ask for an evaluation of an agent.

        :raises OSError: if there is no room for another process
        """
        if self._process is None:
            self._process = EvaluationProcess(self.games, self.with_state)
        self._current = moment
        self._process.order(moment)

    def answer(self, seconds: float) -> Played | None:
        """
        :return: what was asked for, if it is there after so many seconds
        :raises IsolatedError: if nothing will come; the environments are as they were before, where that is possible
        """
        assert self._process is not None
        try:
            played = self._process.answer(seconds)
        except IsolatedError:
            self._end()
            raise
        if played is None:
            return None
        if not self.with_state and self._current is not None:
            self._remember(self._current)
        self._current = None
        self._idle.begin()
        if played.state is not None:
            with keeping_generators():
                put_state(self.games.env, played.state)
        return played

    def renew(self) -> None:
        """End the process: the environments begin anew, here, and what it has played there no longer matters."""
        self._end()
        self.unseen.clear()
        self._has_forgotten = False

    def take_over(self) -> list[Moment]:
        """
        End the process, because the training plays in its own environments.

        :return: what has to be played in them before
        """
        if self._has_forgotten:
            to_stderr(
                "The episodes of the evaluations are not those of a training that waits for them: the process"
                " that played them has ended, and the state of the environment cannot be had"
            )
        missed = list(self.unseen)
        self.renew()
        return missed

    def _remember(self, moment: Moment) -> None:
        self.unseen.append(moment)
        if sum(len(moment.model) for moment in self.unseen) > _MOST_REMEMBERED:
            self.unseen.clear()
            self._has_forgotten = True

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
        self._process, self._current = None, None

    def _has_a_core(self) -> bool:
        if self._mode == ON or self.unseen or self._has_forgotten:
            return True
        return available_cores() > self._n_threads and self._idle.count() >= _LEAST_IDLE

    def _probe(self) -> None:
        self._probed = True
        try:
            missing = missing_state(self.games)
        except (IsolatedError, OSError) as error:
            self.hindrance = f"it cannot be tried in another process: {error}"
        else:
            self.with_state = not missing
            if missing and not _is_safe(self.games):
                self.hindrance = f"the state of the environment cannot be had ({missing[0]})"
        if self._mode == ON:
            self._tell_why()

    def _tell_why(self) -> None:
        if self.hindrance is not None:
            to_stderr(f"--eval-in-background on: the training waits for its evaluations all the same: {self.hindrance}")


def _hindrance(games: Games) -> str | None:
    env, model = games.env, games.agent.model
    if not can_isolate():
        return "this system, or JAX in this process, does not let it fork"
    if model.device.type != "cpu":
        return "what is on a GPU does not survive a fork"
    if not games.deterministic and getattr(model, "use_sde", False):
        return "the noise of the actions goes on from one evaluation to the next"
    vector = env.unwrapped
    if not isinstance(vector, DummyVecEnv) or type(vector) not in (DummyVecEnv, LeanVecEnv):
        return "the environments have processes or threads of their own"
    if any(single.render_mode is not None for single in vector.envs):
        return "the environments draw pictures"
    if len(normalizations(env)) > 1:
        return "the environment is normalised twice"
    return None


def _is_safe(games: Games) -> bool:
    modules = [type(single.unwrapped).__module__ for single in games.env.unwrapped.envs]  # type: ignore[attr-defined]
    return all(module.startswith(_FORKED_SAFELY) for module in modules)
