"""One trial of a study: sampled hyperparameters, trained and scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.algorithms.sb3 import SB3Agent, build_model
from rl_experiments.config import grammar
from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core.errors import TrainingError
from rl_experiments.core.names import folder_name
from rl_experiments.envs import make_envs
from rl_experiments.evaluation import Evaluation
from rl_experiments.runs import Run
from rl_experiments.training.callbacks import PeriodicEvaluation
from rl_experiments.training.configuration import EVALUATION_SEED_OFFSET
from rl_experiments.training.learning import learn_arguments
from rl_experiments.training.preparation import Prepared, prepare
from rl_experiments.training.resolving import make_callbacks
from rl_experiments.training.tables.learners import train_without_run
from rl_experiments.training.tables.preparation import PreparedTable
from rl_experiments.tuning.planning import Plan

HYPERPARAMETERS, SEED, FAILURE = "hyperparameters", "seed", "failure"
"""User attributes of a trial: what it was trained with, and why it failed."""


def run_trial(plan: Plan, trial: optuna.Trial, asked_to_stop: Callable[[], bool]) -> float:
    """
    Sample, train and score.

    :param asked_to_stop: asked at each step
    :return: the mean return of the last evaluation
    :raises optuna.TrialPruned: if the pruner ended it
    :raises KeyboardInterrupt: if it was asked to stop
    :raises Exception: whatever training raises
    """
    seed = (plan.experiment.seed + trial.number) % 2**32
    values = plan.space.sample(trial, plan.context)
    trial.set_user_attr(HYPERPARAMETERS, as_json(values))
    trial.set_user_attr(SEED, seed)
    prepared = prepare(replace(plan.experiment, seed=seed), (f"trial {trial.number}", values))
    judge = _Judge(trial, plan.n_evaluations, asked_to_stop)
    _train(plan, prepared, judge)
    if judge.stopped:
        raise KeyboardInterrupt
    if judge.pruned:
        raise optuna.TrialPruned
    if judge.score is None:
        raise TrainingError("it ended before its first evaluation")
    return judge.score


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """:return: hyperparameters as a study keeps them: those with names of classes as text"""
    return {name: grammar.to_text(value) if grammar.holds_symbol(value) else value for name, value in values.items()}


def from_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """:return: what :func:`as_json` was given"""
    hyperparameters = Hyperparameters(values, dict.fromkeys(values, "study"))
    return {name: hyperparameters.parsed(name) for name in hyperparameters}


class _Judge:
    """Reports the evaluations of a trial to its study, and says when it is over."""

    def __init__(self, trial: optuna.Trial, n_evaluations: int, asked_to_stop: Callable[[], bool]) -> None:
        self.score: float | None = None
        self.pruned = False
        self.stopped = False
        self.over = False
        self.number = trial.number
        self._trial = trial
        self._n_evaluations = n_evaluations
        self._asked_to_stop = asked_to_stop
        self._count = 0

    def hear(self, evaluation: Evaluation) -> bool:
        """:return: whether to go on; after the last evaluation there is nothing to prune"""
        score = float(evaluation.returns.mean())
        if np.isnan(score):
            raise TrainingError("the mean return is NaN")
        self._count += 1
        self.score = score
        self._trial.report(score, self._count)
        if self._count >= self._n_evaluations:
            self.over = True
        elif self._trial.should_prune():
            self.pruned = self.over = True
        return not self.over

    def goes_on(self) -> bool:
        """:return: whether to go on, between evaluations"""
        if not self.over and self._asked_to_stop():
            self.stopped = self.over = True
        return not self.over


class _TrialOverError(Exception):
    """Ends the training of an algorithm that does not listen to its callbacks."""


class _Ending(BaseCallback):
    """Ends the training when the judge says so: politely first, since ARS alone does not listen."""

    def __init__(self, judge: _Judge) -> None:
        super().__init__()
        self._judge = judge
        self._asked = False

    def _on_step(self) -> bool:
        if self._asked:
            raise _TrialOverError
        self._asked = not self._judge.goes_on()
        return not self._asked


def _train(plan: Plan, prepared: Prepared, judge: _Judge) -> None:
    experiment, configuration = prepared.experiment, prepared.configuration
    if isinstance(prepared, PreparedTable):
        train_without_run(prepared, plan.n_evaluations, judge.hear, judge.goes_on)
        return
    verbose = experiment.verbose if experiment.verbose >= 2 else 0
    with _environments(prepared) as (env, evaluation_env):
        model = build_model(
            configuration.algorithm,
            configuration.hyperparameters,
            env,
            seed=experiment.seed,
            verbose=verbose,
            device=experiment.device,
            trust=configuration.trust,
        )
        evaluation = PeriodicEvaluation(
            SB3Agent(model, configuration.algorithm),
            evaluation_env,
            _folder(plan, judge.number),
            # ARS counts a step for all its evaluators at once, as the others do for all their environments.
            max(configuration.n_timesteps // plan.n_evaluations // configuration.hyperparameters.n_envs, 1),
            experiment.eval_episodes,
            not configuration.recipe.acts_stochastically,
            verbose,
            on_evaluation=judge.hear,
        )
        own = make_callbacks(configuration.hyperparameters, configuration.trust)
        arguments = learn_arguments(experiment, configuration, env, model)
        try:
            model.learn(
                configuration.n_timesteps, callback=CallbackList([*own, evaluation, _Ending(judge)]), **arguments
            )
        except _TrialOverError:
            pass
        finally:
            evaluators = arguments.get("async_eval")
            if evaluators is not None and not evaluators.closed:
                evaluators.close()


@contextmanager
def _environments(prepared: Prepared) -> Iterator[tuple[VecEnv, VecEnv]]:
    """Environments to train and to score in."""
    experiment, configuration = prepared.experiment, prepared.configuration
    opened: list[VecEnv] = []
    try:
        for recipe, n_envs, offset, training in (
            (configuration.recipe, configuration.n_envs, 0, True),
            (configuration.evaluation_recipe, experiment.n_eval_envs, EVALUATION_SEED_OFFSET, False),
        ):
            seed = (experiment.seed + offset) % 2**32
            opened.append(make_envs(recipe, n_envs, seed, vec_env=experiment.vec_env, training=training))
        yield opened[0], opened[1]
    finally:
        for env in opened:
            try:
                env.close()
            except (EOFError, BrokenPipeError, ConnectionError):
                continue  # a worker process that is gone needs no closing


def _folder(plan: Plan, number: int) -> Run | None:
    """Where the evaluations and the best model of a trial go, if anywhere."""
    folder = plan.experiment.optimization_log_path
    if folder is None:
        return None
    return Run(Path(folder) / f"trial_{number}", plan.experiment.algo, folder_name(plan.experiment.env))
