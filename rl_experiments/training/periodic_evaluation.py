"""The callback that scores the agent every so often, here or in a process beside the training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import sync_envs_normalization

from rl_experiments.core.files import replacing, write_bytes
from rl_experiments.core.isolation import IsolatedError
from rl_experiments.evaluation import Evaluation
from rl_experiments.runs import Run, checkpoints
from rl_experiments.training.callbacks import save_with_statistics
from rl_experiments.training.evaluation_process import Games, Moment
from rl_experiments.training.evaluations_beside import EvaluationsBeside
from rl_experiments.training.held_log import HeldLog
from rl_experiments.training.stopping import StopRequest, to_stderr

_BETWEEN_LOOKS, _BETWEEN_SIGNALS = 0.01, 0.1


class PeriodicEvaluation(BaseCallback):
    """
    Scores the agent every so often, keeps the results in ``evaluations.npz``, and the best model with its
    normalisation.

    Where the training need not wait, it goes on meanwhile, and leaves the same files and the same log.

    :param games: the agent in training, and environments of its own, with the same recipe and another seed
    :param beside: plays evaluations beside the training, where that is possible
    :param run: where the results go; nothing is written if None
    :param freq: every so many calls
    :param on_evaluation: called with each result; returning False ends the training
    :param stop: once it has heard a signal, an evaluation ends at its next step and counts for nothing
    """

    def __init__(
        self,
        games: Games,
        beside: EvaluationsBeside,
        run: Run | None,
        freq: int,
        verbose: int = 1,
        on_evaluation: Callable[[Evaluation], bool] | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        super().__init__(verbose)
        self.games = games
        self.beside = beside
        self.run = run
        self.freq = freq
        self.on_evaluation = on_evaluation
        self.stop = stop or StopRequest()
        self.best_mean_reward = -np.inf
        self.last: Evaluation | None = None
        self._timesteps: list[int] = []
        self._evaluations: list[Evaluation] = []
        self._pending: dict[str, Any] | None = None
        """The moment that is being evaluated: a checkpoint holds it, for a training that goes on there to play it."""
        self._held: HeldLog | None = None

    @property
    def scores(self) -> dict[str, float | None]:
        """The last and the best mean return as the run's record names them; nothing before the first evaluation."""
        if self.last is None:
            return {}
        return {"last_mean_reward": self.last.mean_reward, "best_mean_reward": float(self.best_mean_reward)}

    @property
    def facts(self) -> dict[str, Any]:
        """What a checkpoint's manifest tells: the last score, or the steps at which one is still being found."""
        if self._pending is not None:
            return {"score": None, "scored_at": self._pending["steps"]}
        return {"score": None if self.last is None else self.last.mean_reward}

    def rewrite(self) -> None:
        """Write the evaluations so far: those that came after a checkpoint go."""
        if self.run is not None and self._evaluations:
            self._write(self.run)
        elif self.run is not None:
            self.run.evaluations_file.unlink(missing_ok=True)

    def settle(self) -> bool:
        """
        Wait for the evaluation that is being played.

        :return: whether the training may go on; not after a signal, which leaves the evaluation as it is
        """
        while self._pending is not None:
            if self.stop.signal is not None:
                return False
            if not self._look(_BETWEEN_SIGNALS):
                return False
        return True

    def renew(self) -> bool:
        """
        The environments are about to begin anew: wait for what is played in them as they are.

        :return: whether they may; not after a signal, which leaves the evaluation as it is
        """
        settled = self.settle()
        if settled:
            self.beside.renew()
        return settled

    def close(self) -> None:
        """End the process beside the training; what it is at counts for nothing."""
        self.beside.renew()
        if self._held is not None:
            self._held.discard()
        self._pending = self._held = None

    def _on_step(self) -> bool:
        is_due = self.n_calls % self.freq == 0
        if self._pending is not None and not (self.settle() if is_due else self._look(0.0)):
            return False
        if not is_due:
            return True
        if self.beside.is_possible() and self._order():
            return True
        result = self._play()
        if len(result.episodes) < self.games.n_episodes:
            return False
        self._keep(result, self.num_timesteps, lambda run: save_with_statistics(*_best(self.model, run)))
        return self.on_evaluation is None or self.on_evaluation(result)

    @property
    def _moment(self) -> Moment:
        assert self._pending is not None
        return Moment(**{name: value for name, value in self._pending.items() if name != "log"})

    def _order(self) -> bool:
        """:return: whether the evaluation is played beside the training"""
        moment = Moment.of(self.model)
        try:
            self.beside.order(moment)
        except OSError:
            return False
        self._held = HeldLog(self.logger)
        self._pending = {**vars(moment), "log": self._held.plain}
        return True

    def _look(self, seconds: float) -> bool:
        """
        Take the evaluation that is being played, if it is over.

        :param seconds: to wait for it
        :return: whether the training may go on
        """
        assert self._pending is not None
        if self._held is None:  # the training goes on from a checkpoint
            self._held = HeldLog(self.logger, self._pending["log"])
        try:
            if not self.beside.is_busy:
                if not self.beside.is_possible():
                    return self._take(self._play_again([self._moment]))
                self.beside.order(self._moment)
            played = self.beside.answer(seconds)
        except (IsolatedError, OSError) as error:
            to_stderr(f"The evaluation at {self._pending['steps']} steps is played again, by the training: {error}")
            return self._take(self._play_again([self._moment]))
        return True if played is None else self._take(played.result)

    def _take(self, result: Evaluation) -> bool:
        pending, held = self._pending, self._held
        assert pending is not None
        assert held is not None
        if len(result.episodes) < self.games.n_episodes:
            return False
        self._pending = self._held = None

        def save(run: Run) -> None:
            if pending["statistics"] is not None:
                write_bytes(run.best_statistics, pending["statistics"])
            write_bytes(run.best_model, pending["model"])

        held.release(lambda: self._keep(result, pending["steps"], save))
        if self.run is not None:
            checkpoints.rate(self.run, pending["steps"], result.mean_reward)
        return self.on_evaluation is None or self.on_evaluation(result)

    def _play_again(self, moments: list[Moment]) -> Evaluation:
        """Play here, with the agent as it was; what the process played alone comes first."""
        newer = replace(Moment.of(self.model), statistics=None)
        try:
            for moment in [*self.beside.take_over(), *moments]:
                self.games.put(moment)
                result = self.games.play(moment.steps, self._goes_on)
            return result
        finally:
            self.games.put(newer)

    def _play(self) -> Evaluation:
        if self.beside.unseen:
            self._play_again([])
        self.beside.take_over()
        if self.model.get_vec_normalize_env() is not None:
            sync_envs_normalization(self.training_env, self.games.env)
        return self.games.play(self.num_timesteps, self._goes_on)

    def _goes_on(self, step: Any) -> bool:
        return self.stop.signal is None

    def _keep(self, result: Evaluation, steps: int, save: Callable[[Run], object]) -> None:
        """
        :param save: writes the agent of that moment as the run's best
        """
        self.last = result
        self._timesteps.append(steps)
        self._evaluations.append(result)
        if self.run is not None:
            self._write(self.run)
        mean, std = float(result.returns.mean()), float(result.returns.std())
        if self.verbose > 0:
            print(f"Eval num_timesteps={steps}, episode_reward={mean:.2f} +/- {std:.2f}")
            print(f"Episode length: {result.lengths.mean():.2f} +/- {result.lengths.std():.2f}")
        self.logger.record("eval/mean_reward", mean)
        self.logger.record("eval/mean_ep_length", float(result.lengths.mean()))
        if result.success_rate is not None:
            self.logger.record("eval/success_rate", result.success_rate)
        self.logger.record("time/total_timesteps", steps, exclude="tensorboard")
        self.logger.dump(steps)
        if mean > self.best_mean_reward:
            if self.verbose > 0:
                print("New best mean reward!")
            self.best_mean_reward = mean
            if self.run is not None:
                save(self.run)

    def _write(self, run: Run) -> None:
        successes = [[episode.success for episode in result.episodes] for result in self._evaluations]
        reported: dict[str, Any] = {}
        if all(success is not None for row in successes for success in row):
            reported["successes"] = np.array(successes)
        with replacing(run.evaluations_file) as temporary:
            np.savez(
                temporary,
                timesteps=np.array(self._timesteps),
                results=np.array([result.returns for result in self._evaluations]),
                ep_lengths=np.array([result.lengths for result in self._evaluations]),
                **reported,
            )


def _best(model: Any, run: Run) -> tuple[Any, Any, Any]:
    return model, run.best_model, run.best_statistics
