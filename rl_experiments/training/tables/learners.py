"""From a prepared experiment to its learner, and a training that leaves no run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rl_experiments.algorithms.tabular.compiled import CompiledLearner
from rl_experiments.algorithms.tabular.learning import Learner
from rl_experiments.algorithms.tabular.stepping import SteppingLearner
from rl_experiments.algorithms.tabular.table import Table
from rl_experiments.envs import make_one
from rl_experiments.evaluation import Evaluation
from rl_experiments.training.stopping import StopRequest
from rl_experiments.training.tables.evaluating import TableEvaluations
from rl_experiments.training.tables.preparation import PreparedTable

_MOMENTS = 50
"""Between two evaluations, so often is asked whether to go on."""


def make_learner(prepared: PreparedTable, stops: Callable[[], bool], values: np.ndarray | None = None) -> Learner:
    """
    :param stops: asked after an episode, or some milliseconds, whether to come back
    :param values: the tables to begin with, or None
    """
    budget, settings, seed = prepared.budget, prepared.settings, prepared.experiment.seed
    if prepared.compiled:
        assert prepared.transitions is not None
        return CompiledLearner(prepared.transitions, settings, budget, seed, values, stops)
    env = make_one(prepared.configuration.recipe, disable_env_checker=True)
    return SteppingLearner(env, settings, budget, seed, values, stops)


def train_without_run(
    prepared: PreparedTable,
    n_evaluations: int,
    on_evaluation: Callable[[Evaluation], bool],
    goes_on: Callable[[], bool],
) -> None:
    """
    Train for the trial of a study.

    :param n_evaluations: evenly over the training
    :param on_evaluation: takes each; returning False ends the training
    :param goes_on: asked between evaluations
    """
    learner = make_learner(prepared, lambda: not goes_on())
    evaluations = TableEvaluations(prepared, None, StopRequest())
    moment = max(prepared.configuration.n_timesteps // (n_evaluations * _MOMENTS), 1)
    try:
        for count in range(1, n_evaluations + 1):
            while prepared.budget.progress(learner.episode, learner.steps) < count / n_evaluations:
                if not goes_on():
                    return
                learner.advance(learner.steps + moment)
            facts = {"variant": prepared.settings.variant}
            if not on_evaluation(evaluations.play(Table(learner.state().values, facts))):
                return
    finally:
        learner.close()
        evaluations.close()
