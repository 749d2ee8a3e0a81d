"""The registry knows each algorithm as its class is."""

from __future__ import annotations

import pytest

from rl_experiments.algorithms import Algorithm, algorithm_names, get_algorithm, register
from rl_experiments.algorithms.sb3 import model_parameters
from rl_experiments.core.errors import ConfigurationError


@pytest.mark.parametrize("name", algorithm_names("sb3"))
def test_an_entry_agrees_with_its_class(name: str) -> None:
    from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
    from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

    algorithm = get_algorithm(name)
    cls = algorithm.load_class()
    assert cls.__name__ == algorithm.class_name
    assert algorithm.off_policy == issubclass(cls, OffPolicyAlgorithm)
    policies = tuple(cls.policy_aliases.values())
    assert algorithm.recurrent == issubclass(policies[0], RecurrentActorCriticPolicy)
    assert algorithm.masked == issubclass(policies[0], MaskableActorCriticPolicy)
    assert algorithm.dict_observations == any(name.startswith("MultiInput") for name in cls.policy_aliases)


@pytest.mark.parametrize("name", algorithm_names("sb3"))
def test_what_we_give_ourselves_is_no_hyperparameter(name: str) -> None:
    parameters = model_parameters(get_algorithm(name))
    assert "policy" in parameters
    assert not {"env", "seed", "verbose", "device", "tensorboard_log", "self"} & set(parameters)


def test_an_unknown_algorithm_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="'ppo_lstm'"):
        get_algorithm("ppo_lsmt")


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="already"):
        register(Algorithm("ppo", "x.Y", frozenset(), "another"))
