"""``--precision``: another experiment where it changes numbers, and refused where it would change none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.training.preparation import prepare
from rl_experiments.training.settings import Experiment


@pytest.mark.parametrize(("algo", "env"), [("ppo", "CartPole-v1"), ("q_learning", "FrozenLake-v1")])
def test_it_is_refused_where_there_are_no_convolutions(algo: str, env: str) -> None:
    with pytest.raises(ConfigurationError, match=r"precision bfloat16 is for the convolutions .* Expected float32"):
        prepare(Experiment(algo=algo, env=env, precision="bfloat16"))


def test_it_makes_another_experiment_and_the_default_the_same_as_before() -> None:
    prepared = prepare(Experiment(env="CartPole-v1", seed=1))
    other = replace(prepared, experiment=replace(prepared.experiment, precision="bfloat16"))
    assert other.identity != prepared.identity
