"""The grammar of search spaces, and the spaces that come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest

from rl_experiments import Experiment
from rl_experiments.algorithms import algorithm_names
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.symbols import Symbol
from rl_experiments.tuning.expressions import Expression
from rl_experiments.tuning.planning import Plan, check_sample, make_plan
from rl_experiments.tuning.settings import Study
from rl_experiments.tuning.sources import EdgeSource, RandomSource
from rl_experiments.tuning.space import load_space, parse_space

CONTINUOUS = ("crossq", "ddpg", "sac", "td3", "tqc")
HINDSIGHT = {"replay_buffer_class": "HerReplayBuffer", "learning_starts": 30}


def environment_of(algorithm: str) -> str:
    return {"ppo_mask": "toy_envs:ToyMasked-v0", "q_learning": "FrozenLake-v1"}.get(
        algorithm, "Pendulum-v1" if algorithm in CONTINUOUS else "CartPole-v1"
    )


def plan_of(algorithm: str, **settings: Any) -> Plan:
    return make_plan(Experiment(algo=algorithm, seed=1, **{"env": environment_of(algorithm), **settings}), Study())


@pytest.mark.parametrize("algorithm", algorithm_names())
def test_every_sample_of_every_space_is_accepted(algorithm: str) -> None:
    plan = plan_of(algorithm)
    for seed in range(25):
        check_sample(plan, RandomSource(seed))
    assert set(plan.space.roots) <= set(plan.context) | {"noise_type", "noise_std"}


@pytest.mark.parametrize("algorithm", ["ddpg", "sac", "td3", "tqc"])
def test_hindsight_is_tuned_where_it_is_used(algorithm: str) -> None:
    given = {**HINDSIGHT, "policy": "MultiInputPolicy"}
    plan = plan_of(algorithm, env="toy_envs:ToyGoal-v0", hyperparams=given)
    values = plan.space.sample(RandomSource(0), plan.context)
    assert set(values["replay_buffer_kwargs"]) == {"n_sampled_goal", "goal_selection_strategy"}
    assert "replay_buffer_kwargs" not in plan.space.sample(
        RandomSource(0), {**plan.context, "replay_buffer_class": None}
    )


@pytest.mark.parametrize("algorithm", ["ppo", "ppo_lstm", "ppo_mask", "trpo"])
def test_a_batch_is_no_larger_than_a_rollout(algorithm: str) -> None:
    space = load_space(algorithm)
    for n_envs in (1, 3):
        batches = [space.sample(RandomSource(seed), {"n_envs": n_envs}) for seed in range(200)]
        assert all(values["batch_size"] <= values["n_steps"] * n_envs for values in batches)
        assert any(values["batch_size"] == values["n_steps"] * n_envs for values in batches)


def test_what_is_sampled() -> None:
    space = parse_space(
        {
            "learning_rate": {"float": [1e-5, 1e-3], "log": True},
            "n_steps": {"power_of_two": [5, 6]},
            "gamma": {"one_minus": [0.01, 0.02]},
            "share": {"float": [0, 1], "helper": True},
            "n_top": {"value": "max(int(share * n_steps), 1)"},
            "noise_type": {"choices": ["normal", None]},
            "noise_std": {"float": [0.1, 0.2], "when": {"noise_type": "normal"}, "otherwise": None},
            "policy_kwargs.activation_fn": {"choices": {"relu": "nn.ReLU"}},
        },
        "here",
    )
    assert space.sample(EdgeSource(largest=False), {}) == {
        "learning_rate": 1e-5,
        "n_steps": 32,
        "gamma": 0.99,
        "n_top": 1,
        "noise_type": "normal",
        "noise_std": 0.1,
        "policy_kwargs": {"activation_fn": Symbol("nn.ReLU")},
    }
    largest = space.sample(EdgeSource(largest=True), {})
    assert (largest["n_top"], largest["noise_type"], largest["noise_std"]) == (64, None, None)
    assert [entry.parameter for entry in space.entries[:3]] == ["learning_rate", "n_steps_pow", "one_minus_gamma"]


def test_samples_do_not_share_their_networks() -> None:
    space = load_space("sac")
    first = space.sample(EdgeSource(largest=False), {})
    first["policy_kwargs"]["net_arch"].append(1)
    assert space.sample(EdgeSource(largest=False), {})["policy_kwargs"]["net_arch"] == [64, 64]


@pytest.mark.parametrize("algorithm", algorithm_names())
def test_a_trial_is_read_back_from_its_parameters_alone(algorithm: str) -> None:
    space, context = load_space(algorithm), {"n_envs": 2, "replay_buffer_class": "HerReplayBuffer"}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(20):
        trial = study.ask()
        values = space.sample(trial, context)
        assert space.replay(trial.params, context, ()) == values


WRONG: list[tuple[Any, str]] = [
    ([], "no mapping"),
    ({"gamma": [0, 1]}, "expected a mapping"),
    ({"gamma": {"flaot": [0, 1]}}, "Did you mean 'float'?"),
    ({"gamma": {"log": True}}, "expected one of float, int"),
    ({"gamma": {"float": [0, 1], "int": [0, 1]}}, "float and int"),
    ({"gamma": {"float": [1, 0]}}, "ends below"),
    ({"gamma": {"float": [0, "x"]}}, "[low, high]"),
    ({"gamma": {"int": [0, 1.5]}}, "whole numbers"),
    ({"gamma": {"float": [0, 1], "log": True}}, "above 0"),
    ({"gamma": {"choices": [1], "log": True}}, "log is for"),
    ({"gamma": {"choices": [[1, 2]]}}, "needs a name"),
    ({"gamma": {"choices": []}}, "choices are"),
    ({"gamma": {"one_minus": [0, 2]}}, "one_minus goes"),
    ({"gamma": {"power_of_two": [-1, 2]}}, "powers of two"),
    ({"gamma": {"float": [0, 1], "otherwise": 1}}, "otherwise needs when"),
    ({"gamma": {"float": [0, 1], "when": "her"}}, "when is a mapping"),
    ({"gamma": {"float": [0, 1], "helper": "yes"}}, "true or false"),
    ({"gamma": {"value": "open('x')"}}, "no function 'open'"),
    ({"gamma": {"value": "a.b"}}, "not understood"),
    ({"gamma": {"value": "1 +"}}, "no formula"),
    ({"a.b.c": {"float": [0, 1]}}, "no name"),
    ({"gamma": {"float": [0, 1]}, "policy_kwargs.gamma": {"float": [0, 1]}}, "both be kept as 'gamma'"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_a_space_outside_the_grammar_is_refused(content: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=r"here.*") as caught:
        parse_space(content, "here")
    assert message in str(caught.value)


UNFIT: list[tuple[Mapping[str, Any], str]] = [
    ({"learning_rat": {"float": [0, 1]}}, "Did you mean 'learning_rate'?"),
    ({"policy_kwargs.net_arhc": {"choices": {"a": [8]}}}, "Did you mean 'net_arch'?"),
    ({"gamma": {"float": [0, 2]}}, "gamma must be from 0 to 1"),
    ({"batch_size": {"int": [2, 10**6]}}, "a rollout has only"),
    ({"batch_size": {"int": [2, 8], "at_most": "n_step"}}, "Did you mean 'n_steps'?"),
    ({"batch_size": {"int": [2, 8], "at_most": "n_steps"}, "n_steps": {"int": [8, 9]}}, "no value 'n_steps' above it"),
    ({"gamma": {"float": [0, 1], "when": {"polcy": "x"}}}, "Did you mean 'policy'?"),
    ({"n_timesteps": {"choices": [100, 200]}}, "n_timesteps is the budget"),
    (
        {"kind": {"choices": ["low", "high"], "helper": True}, "gamma": {"float": [0, 1], "when": {"kind": "hihg"}}},
        "kind is never hihg. Did you mean 'high'?",
    ),
]


@pytest.mark.parametrize(("content", "message"), UNFIT)
def test_a_space_that_does_not_fit_is_refused_before_the_first_trial(
    content: Mapping[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rl_experiments.tuning.planning.load_space", lambda algorithm, file: parse_space(content, "here")
    )
    with pytest.raises(ConfigurationError) as caught:
        plan_of("ppo")
    assert message in str(caught.value)


def test_the_command_line_fixes_what_it_names() -> None:
    plan = plan_of("td3", hyperparams={"noise_type": "normal", "noise_std": 0.1, "gradient_steps": 1, "tau": 0.01})
    assert not {"noise_type", "noise_std", "gradient_steps", "tau"} & set(plan.space.roots)
    assert "gradient_steps, noise_std, noise_type, tau" in plan.remarks[0]
    plan = plan_of("dqn", hyperparams={"gradient_steps": 1})
    assert "subsample_steps" not in {entry.key for entry in plan.space.entries}


def test_nothing_left_to_tune() -> None:
    given = {"n_delta": 4, "learning_rate": 0.02, "delta_std": 0.1, "n_top": 2}
    with pytest.raises(ConfigurationError, match="Nothing is left to tune"):
        plan_of("ars", hyperparams=given)


def test_there_is_no_such_space() -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'ppo'"):
        load_space("pppo")


def test_formulas() -> None:
    known = {"a": 7, "b": 2.0, "word": "x", "flag": True}
    for text, value in {
        "a * 2": 14,
        "-a + 1": -6,
        "a // 2": 3,
        "max(a, b, 9)": 9,
        "int(a / b)": 3,
        "2 ** 3": 8,
    }.items():
        assert Expression.parse(text).evaluate(known) == value
    assert Expression.parse("max(a, int(b))").names == ["a", "b"]
    for text, message in {
        "word + 1": "to be a number",
        "flag + 1": "to be a number",
        "c": "no value 'c'",
        "a / 0": "has no value",
        "2 ** a ** a": "too large",
    }.items():
        with pytest.raises(ConfigurationError, match=message.replace("(", r"\(")):
            Expression.parse(text).evaluate(known)


def test_a_space_says_what_it_is() -> None:
    shown = load_space("td3").describe()
    assert "noise_std" in shown
    assert "when noise_type is ornstein-uhlenbeck or normal, otherwise None" in shown


def test_an_entry_that_stands_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "space.yml").write_text("gamma: {float: [0, 0.5]}\ntau: {float: [0, 1]}\ngamma: {float: [0.5, 1]}\n")
    with pytest.raises(ConfigurationError, match="'gamma' stands at line 1, and again at line 3"):
        load_space("sac", str(tmp_path / "space.yml"))
