"""What happens beside the learning: evaluations, checkpoints, progress, and stopping when asked to."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, sync_envs_normalization

from rl_experiments.algorithms.agent import Agent
from rl_experiments.algorithms.sb3 import save_model
from rl_experiments.core.errors import TrainingError
from rl_experiments.core.files import replacing
from rl_experiments.core.progress import progress_bar
from rl_experiments.evaluation import Evaluation, play
from rl_experiments.runs import Run
from rl_experiments.training.stopping import StopRequest


def save_with_statistics(model: Any, path: Path, statistics: Path) -> list[Path]:
    """
    Write a model and, where it has one, the normalisation of this moment.

    :return: the files, the model first
    """
    normalization = model.get_vec_normalize_env()
    if normalization is not None:
        with replacing(statistics) as temporary:
            normalization.save(str(temporary))
    save_model(model, path)
    return [path] if normalization is None else [path, statistics]


class PeriodicEvaluation(BaseCallback):
    """
    Scores the agent every so often, keeps the results in ``evaluations.npz``, and the best model with its
    normalisation.

    :param agent: the model in training, as an agent
    :param env: environments of its own, with the same recipe and another seed
    :param run: where the results go; nothing is written if None
    :param freq: every so many calls
    :param n_episodes: episodes of one evaluation
    :param deterministic: the most probable actions instead of samples
    :param on_evaluation: called with each result; returning False ends the training
    :param stop: once it has heard a signal, an evaluation ends at its next step and counts for nothing
    """

    def __init__(
        self,
        agent: Agent,
        env: VecEnv,
        run: Run | None,
        freq: int,
        n_episodes: int,
        deterministic: bool,
        verbose: int = 1,
        on_evaluation: Callable[[Evaluation], bool] | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        super().__init__(verbose)
        self.agent = agent
        self.env = env
        self.run = run
        self.freq = freq
        self.n_episodes = n_episodes
        self.deterministic = deterministic
        self.on_evaluation = on_evaluation
        self.stop = stop or StopRequest()
        self.best_mean_reward = -np.inf
        self.last: Evaluation | None = None
        self._timesteps: list[int] = []
        self._evaluations: list[Evaluation] = []

    @property
    def scores(self) -> dict[str, float | None]:
        """The last and the best mean return as the run's record names them; nothing before the first evaluation."""
        if self.last is None:
            return {}
        return {"last_mean_reward": self.last.mean_reward, "best_mean_reward": float(self.best_mean_reward)}

    def _on_step(self) -> bool:
        if self.n_calls % self.freq == 0:
            result = self._play()
            if len(result.episodes) < self.n_episodes:
                return False
            self._keep(result)
            return self.on_evaluation is None or self.on_evaluation(result)
        return True

    def rewrite(self) -> None:
        """Write the evaluations so far: those that came after a checkpoint go."""
        if self.run is not None and self._evaluations:
            self._write(self.run)
        elif self.run is not None:
            self.run.evaluations_file.unlink(missing_ok=True)

    def _play(self) -> Evaluation:
        if self.model.get_vec_normalize_env() is not None:
            sync_envs_normalization(self.training_env, self.env)
        return play(
            self.agent,
            self.env,
            n_episodes=self.n_episodes,
            deterministic=self.deterministic,
            on_step=lambda step: self.stop.signal is None,
        )

    def _keep(self, result: Evaluation) -> None:
        self.last = result
        self._timesteps.append(self.num_timesteps)
        self._evaluations.append(result)
        if self.run is not None:
            self._write(self.run)
        mean, std = float(result.returns.mean()), float(result.returns.std())
        if self.verbose > 0:
            print(f"Eval num_timesteps={self.num_timesteps}, episode_reward={mean:.2f} +/- {std:.2f}")
            print(f"Episode length: {result.lengths.mean():.2f} +/- {result.lengths.std():.2f}")
        self.logger.record("eval/mean_reward", mean)
        self.logger.record("eval/mean_ep_length", float(result.lengths.mean()))
        if result.success_rate is not None:
            self.logger.record("eval/success_rate", result.success_rate)
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)
        if mean > self.best_mean_reward:
            if self.verbose > 0:
                print("New best mean reward!")
            self.best_mean_reward = mean
            if self.run is not None:
                save_with_statistics(self.model, self.run.best_model, self.run.best_statistics)

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


class PeriodicCheckpoint(BaseCallback):
    """
    Keeps the model every so often, under the zoo's name, with the normalisation of that moment.

    :param run: where it goes
    :param freq: every so many calls
    :param with_replay_buffer: save the replay buffer too, where there is one
    :param keep_last: how many of those that it wrote itself stay; all if None
    """

    def __init__(
        self,
        run: Run,
        freq: int,
        with_replay_buffer: bool = False,
        verbose: int = 1,
        keep_last: int | None = None,
    ) -> None:
        super().__init__(verbose)
        self.run = run
        self.freq = freq
        self.with_replay_buffer = with_replay_buffer
        self.keep_last = keep_last
        self.written: list[list[str]] = []

    def _on_step(self) -> bool:
        if self.n_calls % self.freq == 0:
            self.written.append([file.name for file in self._save()])
            if self.keep_last is not None:
                self._remove(self.keep_last)
        return True

    def _save(self) -> list[Path]:
        """:return: the files of the checkpoint, the model first"""
        steps = self.num_timesteps
        files = save_with_statistics(self.model, self.run.checkpoint(steps), self.run.checkpoint_statistics(steps))
        if self.with_replay_buffer and getattr(self.model, "replay_buffer", None) is not None:
            files.append(self.run.path / f"rl_model_replay_buffer_{steps}_steps.pkl")
            with replacing(files[-1]) as temporary:
                self.model.save_replay_buffer(temporary)  # type: ignore[attr-defined]
        if self.verbose > 1:
            print(f"Saving model checkpoint to {files[0]}")
        return files

    def _remove(self, keep_last: int) -> None:
        """The model goes first: alone, it would be taken for one with the normalisation at the end."""
        while len(self.written) > keep_last:
            for name in self.written.pop(0):
                with contextlib.suppress(OSError):
                    (self.run.path / name).unlink()


class KeepRecord(BaseCallback):
    """
    Keeps the run's record true while it trains: after each evaluation, and once a minute between them.

    :param write: writes the record
    :param evaluation: what evaluates, if anything does
    :param seconds: between two records at most
    """

    def __init__(
        self, write: Callable[[], None], evaluation: PeriodicEvaluation | None = None, seconds: float = 60.0
    ) -> None:
        super().__init__()
        self.write = write
        self.evaluation = evaluation
        self.seconds = seconds
        self._written = 0.0
        self._seen: Evaluation | None = None

    def _on_training_start(self) -> None:
        self._written = time.monotonic()

    def _on_step(self) -> bool:
        newest = None if self.evaluation is None else self.evaluation.last
        if newest is not self._seen or time.monotonic() - self._written >= self.seconds:
            with contextlib.suppress(OSError):  # a moment without the disk is no end of a training
                self.write()
            self._seen, self._written = newest, time.monotonic()
        return True


class RefuseNaN(BaseCallback):
    """Ends the training with an error where the environment gives no numbers: the network would become NaN too."""

    def _on_step(self) -> bool:
        # Sums are a fast first look, at each of millions of steps.
        rewards = self.locals.get("rewards")
        if rewards is not None and not math.isfinite(rewards.sum()) and not np.isfinite(rewards).all():
            raise TrainingError(f"the environment gave the reward {rewards[~np.isfinite(rewards)][0]}")
        observations = self.locals.get("new_obs")
        for part in observations.values() if isinstance(observations, dict) else (observations,):
            if part is not None and part.dtype.kind == "f" and math.isnan(part.sum()) and np.isnan(part).any():
                raise TrainingError("the environment gave an observation with NaN")
        return True


class Progress(BaseCallback):
    """
    A bar over the steps, if the output is a terminal.

    :param total: steps to train for
    """

    def __init__(self, total: int) -> None:
        super().__init__()
        self._bar = progress_bar(total, "training", "step")

    def _on_step(self) -> bool:
        self._bar.update(self.num_timesteps - self._bar.n)
        return True

    def begin(self, steps: int) -> None:
        """Begin at a later step than the first."""
        self._bar.initial = steps
        self._bar.reset()
        self._bar.update(steps - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


class StopWhenAsked(BaseCallback):
    """
    Ends the training at the next step once a signal has come.

    :param stop: what hears the signals
    :param by_raising: the algorithm ignores what callbacks return (ARS): a signal is raised where it stands
    :param waits: asked at each step once a signal has come: whether the training goes on for a moment
    """

    def __init__(self, stop: StopRequest, by_raising: bool = False, waits: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self.stop = stop
        self.by_raising = by_raising
        self.waits = waits

    def _on_step(self) -> bool:
        self.stop.waits = not self.by_raising
        if self.by_raising:
            self.stop.check()
        return self.stop.signal is None or self.waits()
