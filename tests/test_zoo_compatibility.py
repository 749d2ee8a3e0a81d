"""What is trained here works in the zoo itself, and what the zoo trained works here."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecNormalize, unwrap_vec_wrapper

from rl_experiments import Run, enjoy, evaluate, load_agent, publish, record_video, train
from rl_experiments.envs import make_envs
from rl_experiments.envs.adapters import GoalInObservation
from tests.conftest import ROOT
from tests.helpers.commands import run_module
from tests.helpers.tiny import tiny_experiment
from tests.helpers.videos import decoded

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


_ALWAYS = ("td3-normalised", "ppo-lstm")


@pytest.mark.parametrize(
    "name", [name if name in _ALWAYS else pytest.param(name, marks=pytest.mark.slow) for name in ZOO]
)
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
NEEDS = {
    "a2c/HopperBulletEnv-v0_1": "pybullet_envs_gymnasium",
    "tqc/PandaReach-v1_1": "panda_gym",
    "her/FetchReach-v1_1": "gymnasium_robotics",
}
"""Agents whose environment comes with an extra."""
PUBLISHED = (
    "ppo/CartPole-v1_1",
    "ppo/LunarLander-v2_1",
    "ppo/MountainCarContinuous-v0_1",
    "ppo/Ant-v3_1",
    "a2c/Pendulum-v1_1",
    "qrdqn/Acrobot-v1_1",
    "sac/Pendulum-v1_1",
    "trpo/BipedalWalker-v3_1",
    "ars/HalfCheetah-v3_1",
    "td3/Pendulum-v1_1",
    "ppo_lstm/PendulumNoVel-v1_1",
    "dqn/SpaceInvadersNoFrameskip-v4_1",
    *NEEDS,
)
QUICK = ("qrdqn/Acrobot-v1_1", "ppo/LunarLander-v2_1")
"""Agents that are scored and published in every run of the tests."""


def _path_of(folder: str) -> Path:
    if not (AGENTS / folder).is_dir():
        pytest.skip(f"{AGENTS / folder} is not there (ZOO_AGENTS names the folder of published agents)")
    return AGENTS / folder


def _playable(folder: str) -> Path:
    path = _path_of(folder)
    if folder in NEEDS and not importlib.util.find_spec(NEEDS[folder]):
        pytest.skip(f"{folder} needs the package {NEEDS[folder]}")
    return path


def _slow_but(*quick: str) -> list[Any]:
    return [folder if folder in quick else pytest.param(folder, marks=pytest.mark.slow) for folder in PUBLISHED]


@pytest.mark.parametrize("folder", PUBLISHED)
def test_a_published_agent_acts_as_it_did(folder: str) -> None:
    """The recorded observations go through normalisation and policy as in the recorded episodes."""
    agent = load_agent(_playable(folder))
    trace = np.load(AGENTS / "TRACES" / f"{folder.replace('/', '__')}.npz")
    env = make_envs(agent.recipe, 1, 0)
    state, actions = None, []
    for step, start in enumerate(trace["start"]):
        given = _through_wrappers(env, _raw(trace, step))
        if "inp" in trace:
            np.testing.assert_allclose(np.ravel(given), trace["inp"][step].ravel(), atol=1e-5)
        action, state = agent.predict(given, state, np.array([start]), deterministic=True)
        actions.append(action[0])
    first = env.reset()
    assert _shapes(first) == _shapes(given), "the environment of today gives what the trace has"
    env.close()
    expected = trace["act"].reshape(np.shape(actions))
    if np.issubdtype(expected.dtype, np.integer):
        np.testing.assert_array_equal(actions, expected)
    else:
        np.testing.assert_allclose(actions, expected, atol=1e-4)


def _raw(trace: Any, step: int) -> Any:
    parts = {key.removeprefix("raw/"): trace[key][step][None] for key in trace if key.startswith("raw/")}
    return parts or trace["raw"][step][None]


def _shapes(observation: Any) -> Any:
    parts = observation if isinstance(observation, dict) else {None: observation}
    return {key: np.shape(part) for key, part in parts.items()}


def _through_wrappers(env: Any, observation: Any) -> Any:
    """What the vector wrappers make of an observation."""
    normalization = unwrap_vec_wrapper(env, VecNormalize)
    if normalization is not None:
        observation = normalization.normalize_obs(observation)
    if unwrap_vec_wrapper(env, GoalInObservation) is not None:
        observation = np.concatenate([observation["observation"], observation["desired_goal"]], axis=1)
    if isinstance(observation, np.ndarray) and observation.ndim == 4:
        return observation.transpose(0, 3, 1, 2)
    return observation


def test_what_an_adapter_adds_is_what_the_trace_has() -> None:
    trace = np.load(_path_of("ppo/Ant-v3_1").parent.parent / "TRACES" / "ppo__Ant-v3_1.npz")
    env = make_envs(replace(load_agent(AGENTS / "ppo/Ant-v3_1").recipe, statistics=None, normalize=None), 1, 0)
    first, start = env.reset()[0], trace["raw"][0]
    np.testing.assert_array_equal(first[27:], start[27:])
    assert (first[:27] != 0).tolist() == (start[:27] != 0).tolist()
    env.close()


@pytest.mark.parametrize("folder", _slow_but(*QUICK))
def test_a_published_agent_scores_as_it_did(folder: str) -> None:
    """Within three standard errors of what was measured, for 20 episodes."""
    agent = load_agent(_playable(folder))
    content = json.loads((AGENTS / "EXPECTED.json").read_text())
    expected = next(item for item in content if item["folder"] == folder)
    measured, n_episodes = expected["measured"], 20
    result = evaluate(agent, n_episodes=n_episodes, deterministic=expected["deterministic"])
    assert agent.recipe.env_id == expected["env_used"]
    error = math.hypot(result.std_reward / n_episodes**0.5, measured["std"] / measured["episodes"] ** 0.5)
    assert abs(result.mean_reward - measured["mean"]) <= 3 * error + 1e-9


@pytest.mark.parametrize("folder", _slow_but("ppo/LunarLander-v2_1"))
def test_a_published_agent_is_published_again_with_a_replay(folder: str, tmp_path: Path) -> None:
    agent = load_agent(_playable(folder))
    options = {"n_eval_episodes": 1, "video_length": 20, "upload": False, "say": lambda _: None}
    publication = publish(agent, organization="ann", hub_folder=tmp_path, **options)
    assert publication.replay is not None, publication.no_replay_because
    assert publication.replay.stat().st_size > 0
    assert publication.evaluation is not None, publication.not_evaluated_because
    card = (publication.bundle.folder / "README.md").read_text()
    assert f"\n- {agent.recipe.env_id}\n" in card
    assert agent.run.env_id in card


def test_a_published_agent_is_recorded_with_no_extra_flags(command, tmp_path: Path) -> None:
    _playable("ppo/LunarLander-v2_1")
    flags = ["--algo", "ppo", "--env", "LunarLander-v2", "-f", str(AGENTS)]
    result = command(record_video, *flags, "-n", "5", "-o", "out")
    assert result.code == 0, result.err
    assert result.err.startswith("Adapted: LunarLander-v2 is played in LunarLander-v3")
    assert len(decoded(tmp_path / "out" / "final-model-ppo-LunarLander-v2-step-0-to-step-5.mp4")[1]) == 6


@pytest.mark.parametrize("folder", NEEDS)
def test_a_published_agent_names_the_extra_that_it_needs(folder: str, command) -> None:
    path = _path_of(folder)
    if importlib.util.find_spec(NEEDS[folder]):
        pytest.skip(f"{NEEDS[folder]} is there")
    algo, env_id = path.parent.name, path.name.removesuffix("_1")
    result = command(enjoy, "--algo", algo, "--env", env_id, "-f", str(AGENTS), "--no-render")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert re.search(r"needs the package '\w+': pip install 'rl_experiments\[(bullet|panda|robotics)\]'", result.err)


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
