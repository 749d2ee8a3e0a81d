"""Every algorithm trains, saves, loads and then acts as the model in memory does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rl_experiments import evaluate, load_agent
from rl_experiments.algorithms import algorithm_names
from tests.helpers.tiny import TINY, tiny_experiment

ENVIRONMENTS = {
    "a2c": "CartPole-v1",
    "ars": "CartPole-v1",
    "crossq": "Pendulum-v1",
    "ddpg": "Pendulum-v1",
    "dqn": "CartPole-v1",
    "ppo": "CartPole-v1",
    "ppo_lstm": "CartPole-v1",
    "ppo_mask": "toy_envs:ToyMasked-v0",
    "qrdqn": "CartPole-v1",
    "sac": "Pendulum-v1",
    "td3": "Pendulum-v1",
    "tqc": "Pendulum-v1",
    "trpo": "CartPole-v1",
}
SPACES = {
    "dictionary-ppo": ("ppo", "toy_envs:ToyDictionary-v0"),
    "dictionary-dqn": ("dqn", "toy_envs:ToyDictionary-v0"),
    "dictionary-lstm": ("ppo_lstm", "toy_envs:ToyDictionary-v0"),
    "multidiscrete-ppo": ("ppo", "toy_envs:ToyMultiDiscrete-v0"),
    "multidiscrete-a2c": ("a2c", "toy_envs:ToyMultiDiscrete-v0"),
    "multibinary-ppo": ("ppo", "toy_envs:ToyMultiBinary-v0"),
    "multibinary-trpo": ("trpo", "toy_envs:ToyMultiBinary-v0"),
    "integers-ppo": ("ppo", "FrozenLake-v1"),
    "integers-dqn": ("dqn", "Taxi-v4"),
    "continuous-ppo": ("ppo", "Pendulum-v1"),
    "continuous-ars": ("ars", "Pendulum-v1"),
    "continuous-lstm": ("ppo_lstm", "PendulumNoVel-v1"),
}
SEVERAL = ("a2c", "dqn", "sac", "ppo", "trpo", "ppo_lstm")


def _observations(space: Any, n: int) -> Any:
    space.seed(0)
    samples = [space.sample() for _ in range(n)]
    if isinstance(samples[0], dict):
        return {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}
    return np.stack(samples)


def _assert_acts_alike(model: Any, agent: Any) -> None:
    observations = _observations(model.observation_space, 16)
    expected, expected_state = model.predict(observations, deterministic=True)
    actual, state = agent.predict(observations, deterministic=True)
    np.testing.assert_array_equal(actual, expected)
    if expected_state is not None:
        expected, _ = model.predict(observations, state=expected_state, deterministic=True)
        actual, _ = agent.predict(observations, state, deterministic=True)
        np.testing.assert_array_equal(actual, expected)


def test_the_tests_know_every_algorithm() -> None:
    assert sorted(TINY) == sorted(ENVIRONMENTS) == algorithm_names("sb3")


@pytest.mark.parametrize("algo", ENVIRONMENTS)
def test_an_algorithm_trains_saves_loads_and_acts(algo: str, tmp_path: Path) -> None:
    result = tiny_experiment(algo, ENVIRONMENTS[algo], tmp_path, eval_freq=100, eval_episodes=1).run()
    assert result.status == "finished"
    assert result.steps >= 200
    agent = load_agent(result.run)
    assert agent.algorithm == algo
    _assert_acts_alike(result.model, agent)
    for name, value in result.model.policy.state_dict().items():
        torch.testing.assert_close(agent.agent.model.policy.state_dict()[name], value, rtol=0, atol=0)
    assert load_agent(result.run, "best").saved.path.name == "best_model.zip"


@pytest.mark.parametrize("algo", ENVIRONMENTS)
def test_training_changes_the_parameters(algo: str, tmp_path: Path) -> None:
    short = {"n_timesteps": 8, "hyperparams": {"learning_starts": 1000} if "learning_starts" in TINY[algo] else None}
    start = tiny_experiment(algo, ENVIRONMENTS[algo], tmp_path / "short", **short).run().model
    end = tiny_experiment(algo, ENVIRONMENTS[algo], tmp_path / "long").run().model
    before, after = start.policy.state_dict(), end.policy.state_dict()
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("name", SPACES)
def test_every_kind_of_space_works_to_the_end(name: str, tmp_path: Path) -> None:
    algo, env = SPACES[name]
    result = tiny_experiment(algo, env, tmp_path, n_timesteps=128, eval_freq=64, eval_episodes=1).run()
    agent = load_agent(result.run, gym_packages=("toy_envs",))
    _assert_acts_alike(result.model, agent)
    assert evaluate(agent, n_episodes=2).n_steps > 0


def test_masks_reach_training_and_evaluation(tmp_path: Path) -> None:
    """The environment raises at the first action that its masks forbid."""
    experiment = tiny_experiment("ppo_mask", "toy_envs:ToyMasked-v0", tmp_path, eval_freq=100, eval_episodes=2)
    run = experiment.run().run
    agent = load_agent(run, gym_packages=("toy_envs",))
    assert evaluate(agent, n_episodes=3, n_envs=2, deterministic=False).returns.tolist() == [55.0] * 3


def test_masking_without_masks_is_said(tmp_path: Path) -> None:
    text = tiny_experiment("ppo_mask", "CartPole-v1", tmp_path).describe()
    assert "Note: CartPole-v1 has no action_masks" in text


@pytest.mark.parametrize("algo", ["sac", "tqc", "td3", "ddpg"])
def test_hindsight_replay_works_on_a_goal_environment(algo: str, tmp_path: Path) -> None:
    hindsight = {
        "replay_buffer_class": "HerReplayBuffer",
        "replay_buffer_kwargs": "dict(goal_selection_strategy='future', n_sampled_goal=4)",
        "policy": "MultiInputPolicy",
    }
    experiment = tiny_experiment(algo, "toy_envs:ToyGoal-v0", tmp_path, hindsight, eval_freq=100, eval_episodes=2)
    result = experiment.run()
    assert type(result.model.replay_buffer).__name__ == "HerReplayBuffer"
    agent = load_agent(result.run, gym_packages=("toy_envs",))
    _assert_acts_alike(result.model, agent)
    assert 0 <= evaluate(agent, n_episodes=3).success_rate <= 1
    assert "successes" in np.load(result.run.evaluations_file)


@pytest.mark.parametrize("algo", SEVERAL)
def test_several_environments_train_at_once(algo: str, tmp_path: Path) -> None:
    hyperparams = {"n_envs": 3}
    if algo in ("dqn", "sac"):
        hyperparams["gradient_steps"] = -1
    result = tiny_experiment(algo, ENVIRONMENTS[algo], tmp_path, hyperparams, eval_freq=90, n_eval_envs=2).run()
    assert result.model.n_envs == 3
    assert [file.name for file in result.run.monitor_files()] == [f"{index}.monitor.csv" for index in range(3)]


@pytest.mark.slow
def test_ars_scores_its_candidates_in_other_processes(tmp_path: Path) -> None:
    result = tiny_experiment("ars", "CartPole-v1", tmp_path, {"n_envs": 2, "n_delta": 2}).run()
    assert result.status == "finished"
    _assert_acts_alike(result.model, load_agent(result.run))


@pytest.mark.parametrize("policy", ["MlpPolicy", "stable_baselines3.ppo.policies.MlpPolicy"])
def test_a_policy_is_an_alias_or_a_dotted_path(policy: str, tmp_path: Path) -> None:
    result = tiny_experiment("ppo", "CartPole-v1", tmp_path, {"policy": policy}).run()
    _assert_acts_alike(result.model, load_agent(result.run))


def test_classes_in_policy_kwargs_are_the_real_ones(tmp_path: Path) -> None:
    kwargs = "dict(net_arch=dict(pi=[4], vf=[8, 4]), activation_fn=nn.ELU, optimizer_class=th.optim.RMSprop)"
    result = tiny_experiment("ppo", "CartPole-v1", tmp_path, {"policy_kwargs": kwargs}).run()
    policy = load_agent(result.run).agent.model.policy
    assert isinstance(policy.optimizer, torch.optim.RMSprop)
    layers = [type(layer).__name__ for layer in policy.mlp_extractor.value_net]
    assert layers == ["Linear", "ELU", "Linear", "ELU"]
    assert policy.mlp_extractor.policy_net[0].out_features == 4


def test_a_model_on_images_gets_channels_first(atari_run) -> None:
    agent = load_agent(atari_run)
    assert agent.observation_space.shape == (4, 84, 84)
