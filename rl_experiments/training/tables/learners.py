"""From a prepared experiment to its learner."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rl_experiments.algorithms.tabular.compiled import CompiledLearner
from rl_experiments.algorithms.tabular.learning import Learner
from rl_experiments.algorithms.tabular.stepping import SteppingLearner
from rl_experiments.envs import make_one
from rl_experiments.training.tables.preparation import PreparedTable


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
