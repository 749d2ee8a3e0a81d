"""What is trained here works in the zoo itself, and what the zoo trained works here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_experiments import Run, enjoy, evaluate, load_agent, train
from rl_experiments.envs import make_envs
from tests.conftest import ROOT
from tests.helpers.commands import run_module
from tests.helpers.tiny import tiny_experiment

pytest.importorskip("requests", reason="the zoo's enjoy imports requests")

LSTM = {"policy_kwargs": "dict(lstm_hidden_size=8, net_arch=[8], enable_critic_lstm=True)"}
OURS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "ppo": ("ppo", "CartPole-v1", {"learning_rate": "lin_0.001"}, {}),
    "ppo-with-another-schedule": ("ppo", "CartPole-v1", {"learning_rate": "cos_0.001"}, {}),
    "sac-normalised": ("sac", "Pendulum-v1", {"normalize": "dict(norm_reward=False)"}, {}),
    "ppo-lstm": ("ppo_lstm", "CartPole-v1", LSTM, {}),
    "a2c-normalised-with-kwargs": ("a2c", "Pendulum-v1", {"normalize": True}, {"env_kwargs": {"g": 9.0}}),
    "dqn-atari": (
        "dqn",
        "PongNoFrameskip-v4",
        {"learning_starts": 40, "buffer_size": 100, "batch_size": 4},
        {"n_timesteps": 60},
    ),
}


@pytest.mark.parametrize("name", OURS)
def test_the_zoo_plays_what_was_trained_here(name: str, tmp_path: Path) -> None:
    algo, env, hyperparams, settings = OURS[name]
    tiny_experiment(algo, env, tmp_path / "logs", hyperparams, save_freq=50, **settings).run()
    which = ["--load-last-checkpoint"] if name == "ppo" else []
    arguments = ("--algo", algo, "--env", env, "-f", "logs", "--no-render", "-n", "250")
    result = run_module("rl_zoo3.enjoy", *arguments, *which, cwd=tmp_path)
    assert result.code == 0, result.err
    assert "Loading logs" in result.out


def test_the_zoo_and_we_score_the_same(tmp_path: Path, command) -> None:
    """Both play the same seeds, and print the same returns and lengths."""
    tiny_experiment("ppo", "CartPole-v1", tmp_path / "logs").run()
    arguments = ("--algo", "ppo", "--env", "CartPole-v1", "-f", "logs", "--no-render", "-n", "200", "--seed", "3")
    zoo = run_module("rl_zoo3.enjoy", *arguments, cwd=tmp_path)
    ours = command(enjoy, *arguments)
    assert ours.code == zoo.code == 0, ours.err + zoo.err

    def episodes(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith(("Episode Reward", "Episode Length"))]

    assert episodes(ours.out)
    assert episodes(ours.out) == episodes(zoo.out)


ZOO: dict[str, tuple[str, str, list[str], list[str]]] = {
    "ppo": ("ppo", "CartPole-v1", ["n_steps:32", "n_envs:2", "batch_size:16", "learning_rate:'lin_0.01'"], []),
    "td3-normalised": ("td3", "Pendulum-v1", ["normalize:True", "learning_starts:50", "train_freq:4"], []),
    "ppo-lstm": ("ppo_lstm", "CartPole-v1", ["n_steps:32", "n_envs:2", "batch_size:16", "policy:'MlpLstmPolicy'"], []),
    "a2c-with-kwargs": ("a2c", "Pendulum-v1", ["n_envs:2"], ["--env-kwargs", "g:9.0"]),
}


@pytest.mark.parametrize("name", ZOO)
def test_what_the_zoo_trained_is_played_and_trained_further_here(name: str, tmp_path: Path, command) -> None:
    algo, env, hyperparams, further = ZOO[name]
    arguments = ["--algo", algo, "--env", env, "-n", "300", "--eval-freq", "100", "--eval-episodes", "1", *further]
    arguments += ["--save-freq", "100", "--seed", "1", "--verbose", "0", "-params", *hyperparams]
    trained = run_module("rl_zoo3.train", *arguments, cwd=tmp_path)
    assert trained.code == 0, trained.err
    for which in ([], ["--load-best"], ["--load-last-checkpoint"], ["--exp-id", "1"]):
        result = command(
            enjoy, "--algo", algo, "--env", env, "-f", "logs", "--no-render", "-n", "220", "--json", "-", *which
        )
        assert result.code == 0, result.err
        assert json.loads(result.out[result.out.index("{") :])["n_steps"] == 220
    agent = load_agent(tmp_path / "logs" / algo / f"{env}_1")
    assert agent.recipe.kwargs == ({"g": 9.0} if further else {})
    _assert_acts_as_in_sb3(agent)
    again = command(train, *arguments, "-f", "further", "-i", str(agent.saved.path), "--num-threads", "1")
    assert again.code == 0, again.err
    assert ("normalisation" in again.out) == (agent.recipe.normalize is not None)


def _assert_acts_as_in_sb3(agent: Any) -> None:
    model = agent.agent.model.__class__.load(agent.saved.path)
    observations = np.stack([agent.observation_space.sample() for _ in range(20)])
    expected = model.predict(observations, deterministic=True)[0]
    np.testing.assert_array_equal(agent.predict(observations, deterministic=True)[0], expected)


AGENTS = Path(os.environ.get("ZOO_AGENTS", ROOT.parent / "shared" / "zoo_agents"))
TRACED = (
    "ppo/CartPole-v1_1",
    "ppo/MountainCarContinuous-v0_1",
    "a2c/Pendulum-v1_1",
    "sac/Pendulum-v1_1",
    "td3/Pendulum-v1_1",
    "ppo_lstm/PendulumNoVel-v1_1",
    "dqn/SpaceInvadersNoFrameskip-v4_1",
    "qrdqn/Acrobot-v1_1",
    "trpo/BipedalWalker-v3_1",
)


@pytest.mark.parametrize("folder", TRACED)
def test_a_published_agent_acts_as_it_did(folder: str) -> None:
    """The recorded observations go through normalisation and policy as in the recorded episodes."""
    path = AGENTS / folder
    if not path.is_dir():
        pytest.skip(f"{path} is not there (ZOO_AGENTS names the folder of published agents)")
    trace = np.load(AGENTS / "TRACES" / f"{folder.replace('/', '__')}.npz")
    agent = load_agent(path)
    env = make_envs(agent.recipe, 1, 0)
    normalization = _normalization(env)
    raw, starts, state = trace["raw"], trace["start"], None
    actions = []
    for step, observation in enumerate(raw):
        given = observation.reshape(1, *observation.shape[-len(agent.observation_space.shape) :])
        if normalization is not None:
            given = normalization.normalize_obs(given)
        if "inp" in trace:
            np.testing.assert_allclose(given.ravel(), trace["inp"][step].ravel(), atol=1e-5)
        action, state = agent.predict(given, state, np.array([bool(np.ravel(starts[step])[0])]), deterministic=True)
        actions.append(action[0])
    env.close()
    expected = trace["act"].reshape(np.shape(actions))
    if np.issubdtype(expected.dtype, np.integer):
        np.testing.assert_array_equal(actions, expected)
    else:
        np.testing.assert_allclose(actions, expected, atol=1e-4)


def _normalization(env: Any) -> Any:
    from stable_baselines3.common.vec_env import VecNormalize, unwrap_vec_wrapper

    return unwrap_vec_wrapper(env, VecNormalize)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "at_least"), [("ppo/CartPole-v1_1", 475), ("sac/Pendulum-v1_1", -300), ("qrdqn/Acrobot-v1_1", -120)]
)
def test_a_published_agent_scores_as_it_did(folder: str, at_least: float) -> None:
    if not (AGENTS / folder).is_dir():
        pytest.skip(f"{AGENTS / folder} is not there (ZOO_AGENTS names the folder of published agents)")
    assert evaluate(load_agent(AGENTS / folder), n_episodes=10).mean_reward >= at_least


def test_every_published_configuration_is_read() -> None:
    if not AGENTS.is_dir():
        pytest.skip(f"{AGENTS} is not there (ZOO_AGENTS names the folder of published agents)")
    files = sorted(AGENTS.glob("*/*/*/config.yml"))
    assert files
    for file in files:
        run = Run(file.parent.parent, file.parent.parent.parent.name, file.parent.name)
        assert run.hyperparameters["n_timesteps"] > 0
        assert run.arguments["algo"]
        _ = run.env_kwargs, run.hyperparameters.algorithm_arguments, run.hyperparameters.normalize
