"""Agents of the zoo's first years: found by any of their names, loaded without gym, and acting as they did."""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rl_experiments import enjoy, evaluate, load_agent, publish, train
from rl_experiments.algorithms import get_algorithm
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.evaluation.enjoying import watch
from rl_experiments.runs import find_run
from tests.helpers.old_agents import Nothing, as_of_old, write_old_run
from tests.helpers.tampering import members_of, write_members
from tests.helpers.tiny import tiny_experiment

TIME = {"env_wrapper": "sb3_contrib.common.wrappers.TimeFeatureWrapper"}
SMALL: dict[str, Any] = {"net_arch": [8]}
TWO = {"net_arch": [{"pi": [8], "vf": [8]}]}
VECTOR = {size: spaces.Box(-10, 10, (size,)) for size in (2, 3, 4, 6, 8, 17, 24, 112, 376)}
OLD: dict[str, tuple[str, str, str, int, spaces.Space, dict[str, Any], dict[str, Any]]] = {
    "ppo": ("ppo", "LunarLander-v2", "LunarLander-v3", 8, spaces.Discrete(4), TWO, {}),
    "a2c-sde": (
        *("a2c", "Pendulum-v0", "Pendulum-v1", 3, spaces.Box(-2, 2, (1,))),
        *({**TWO, "log_std_init": -2, "ortho_init": False, "use_expln": True}, {}),
    ),
    "trpo": ("trpo", "Walker2d-v3", "Walker2d-v4", 17, spaces.Box(-1, 1, (6,)), SMALL, {}),
    "ars": ("ars", "HalfCheetah-v3", "HalfCheetah-v4", 17, spaces.Box(-1, 1, (6,)), {}, {}),
    "td3": ("td3", "Humanoid-v3", "Humanoid-v4", 376, spaces.Box(-0.4, 0.4, (17,)), SMALL, {}),
    "sac": ("sac", "Ant-v3", "Ant-v4", 112, spaces.Box(-1, 1, (8,)), SMALL, TIME),
    "tqc": ("tqc", "LunarLanderContinuous-v2", "LunarLanderContinuous-v3", 8, spaces.Box(-1, 1, (2,)), SMALL, {}),
    "ddpg": ("ddpg", "BipedalWalker-v3", "BipedalWalker-v3", 24, spaces.Box(-1, 1, (4,)), SMALL, {}),
    "dqn": ("dqn", "CartPole-v1", "CartPole-v1", 4, spaces.Discrete(2), SMALL, {}),
    "qrdqn": ("qrdqn", "Acrobot-v1", "Acrobot-v1", 6, spaces.Discrete(3), {**SMALL, "n_quantiles": 5}, {}),
    "ppo_lstm": (
        *("ppo_lstm", "MountainCarContinuousNoVel-v0", "MountainCarContinuousNoVel-v0", 2),
        *(spaces.Box(-1, 1, (1,)), {"lstm_hidden_size": 8, **SMALL}, {}),
    ),
}


def model_of(algo: str, observations: spaces.Space, actions: spaces.Space, kwargs: dict[str, Any]) -> Any:
    cls = get_algorithm(algo).load_class()
    policy = {"ars": "LinearPolicy", "ppo_lstm": "MlpLstmPolicy"}.get(algo, "MlpPolicy")
    sde = {"use_sde": True} if "use_expln" in kwargs else {}
    buffer = {"buffer_size": 10} if get_algorithm(algo).off_policy else {}
    # SB3 adds to what it is given.
    return cls(
        policy, Nothing(observations, actions), policy_kwargs=dict(kwargs), seed=3, device="cpu", **sde, **buffer
    )


@pytest.mark.parametrize("name", OLD)
def test_an_old_file_acts_as_the_model_that_it_was(name: str, tmp_path: Path) -> None:
    algo, old, new, size, actions, kwargs, config = OLD[name]
    model = model_of(algo, VECTOR[size], actions, kwargs)
    agent = load_agent(write_old_run(tmp_path, algo, old, model, config))
    assert "gym" not in sys.modules
    assert agent.recipe.env_id == new
    assert (agent.adapted is None) == (old == new)
    observations = np.stack([VECTOR[size].sample() for _ in range(20)])
    expected = model.predict(observations, deterministic=True)[0]
    np.testing.assert_array_equal(agent.predict(observations, deterministic=True)[0], expected)
    assert watch(agent, n_steps=3, render=False).n_steps == 3


def test_policies_with_the_optimizer_of_tensorflow_are_read(tmp_path: Path) -> None:
    from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
    from torch import nn

    kwargs = {**TWO, "optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": 1e-5}, "activation_fn": nn.ReLU}
    model = model_of("a2c", VECTOR[4], spaces.Discrete(2), kwargs)
    agent: Any = load_agent(write_old_run(tmp_path, "a2c", "CartPole-v1", model))
    assert isinstance(agent.agent.model.policy.optimizer, RMSpropTFLike)
    assert isinstance(agent.agent.model.policy.mlp_extractor.policy_net[1], nn.ReLU)


def test_weights_from_before_separate_extractors_are_read(tmp_path: Path) -> None:
    """SB3 1.6 and earlier stored a policy's extractor once."""
    model = model_of("ppo", VECTOR[4], spaces.Discrete(2), SMALL)
    run = write_old_run(tmp_path, "ppo", "CartPole-v1", model)
    _without_keys(run.final_model, ("pi_features_extractor", "vf_features_extractor"))
    images = spaces.Box(0, 255, (84, 84, 4), np.uint8)
    from stable_baselines3 import PPO

    cnn = PPO("CnnPolicy", Nothing(images, spaces.Discrete(6)), n_steps=8, batch_size=8, device="cpu")
    config = {"env_wrapper": ["stable_baselines3.common.atari_wrappers.AtariWrapper"], "frame_stack": 4}
    old = write_old_run(tmp_path, "ppo", "PongNoFrameskip-v4", cnn, config)
    _without_keys(old.final_model, ("pi_features_extractor", "vf_features_extractor"))
    for loaded, original in ((run, model), (old, cnn)):
        agent = load_agent(loaded)
        observations = np.stack([original.observation_space.sample() for _ in range(4)])
        expected = original.predict(observations, deterministic=True)[0]
        np.testing.assert_array_equal(agent.predict(observations, deterministic=True)[0], expected)


def _without_keys(path: Path, prefixes: tuple[str, ...]) -> None:
    import io

    import torch

    members = members_of(path)
    weights = torch.load(io.BytesIO(members["policy.pth"]), weights_only=True)
    stream = io.BytesIO()
    torch.save({key: value for key, value in weights.items() if not key.startswith(prefixes)}, stream)
    write_members(path, {**members, "policy.pth": stream.getvalue()})


def test_statistics_of_the_first_version_normalise_as_they_did(tmp_path: Path) -> None:
    """They had no norm_obs_keys, and called the discounted returns ret."""
    space, actions = VECTOR[3], spaces.Box(-2, 2, (1,))
    normalization = VecNormalize(DummyVecEnv([lambda: Nothing(space, actions)]))
    normalization.reset()
    for _ in range(50):
        normalization.step(np.zeros((1, 1)))
    run = write_old_run(tmp_path, "a2c", "Pendulum-v0", model_of("a2c", space, actions, SMALL), {"normalize": True})
    state = {**normalization.__getstate__(), "ret": np.zeros(1), "num_envs": 1, "obs_keys": None}
    del state["norm_obs_keys"], state["metadata"], state["render_mode"]
    aged = VecNormalize.__new__(VecNormalize)
    vars(aged).update(state)
    content = _pickled(aged, state)
    run.final_statistics.write_bytes(content)
    agent = load_agent(run)
    from rl_experiments.envs import make_envs

    env: Any = make_envs(agent.recipe, 1, 0)
    observations = np.stack([space.sample() for _ in range(5)])
    np.testing.assert_array_equal(env.normalize_obs(observations), normalization.normalize_obs(observations))
    assert env.training is False
    env.close()


def _pickled(target: Any, state: dict[str, Any]) -> bytes:
    class Reduced:
        def __reduce__(self) -> Any:
            import copyreg

            return copyreg._reconstructor, (type(target), object, None), state  # type: ignore[attr-defined]

    content = pickle.dumps(Reduced(), protocol=2)
    return content.replace(b"cgymnasium.spaces", b"cgym.spaces").replace(b"cnumpy._core", b"cnumpy.core")


def test_a_run_is_found_by_the_id_of_today(tmp_path: Path, command: Any) -> None:
    model = model_of("ppo", VECTOR[8], spaces.Discrete(4), SMALL)
    old = write_old_run(tmp_path / "logs", "ppo", "LunarLander-v2", model)
    for env_id in ("LunarLander-v2", "LunarLander-v3"):
        assert find_run(tmp_path / "logs", "ppo", env_id).path == old.path
        result = command(enjoy, "--algo", "ppo", "--env", env_id, "-f", "logs", "--no-render", "-n", "5")
        assert result.code == 0, result.err
        told = [line for line in result.err.splitlines() if "LunarLander-v3" in line]
        assert len(told) == 1
        assert told[0].startswith("Adapted: LunarLander-v2 is played in LunarLander-v3: ")
    tiny_experiment("ppo", "LunarLander-v3", tmp_path / "logs").run()
    assert find_run(tmp_path / "logs", "ppo", "LunarLander-v3").env_name == "LunarLander-v3"
    assert find_run(tmp_path / "logs", "ppo", "LunarLander-v2").path == old.path
    seventh = old.path.rename(old.path.with_name("LunarLander-v2_7"))
    assert find_run(tmp_path / "logs", "ppo", "LunarLander-v3", 7).path == seventh
    with pytest.raises(NotFoundError, match="There are: 1, 7"):
        find_run(tmp_path / "logs", "ppo", "LunarLander-v3", 3)
    shutil.rmtree(seventh)
    assert find_run(tmp_path / "logs", "ppo", "LunarLander-v2").env_name == "LunarLander-v3"


def test_a_model_in_the_folder_of_another_algorithm_is_refused(tmp_path: Path) -> None:
    box = spaces.Box(-1, 1, (2,))
    for algo, folder in (("sac", "tqc"), ("ppo", "a2c"), ("td3", "ddpg"), ("a2c", "trpo"), ("sac", "sac")):
        run = write_old_run(tmp_path, folder, "LunarLanderContinuous-v2", model_of(algo, VECTOR[8], box, SMALL))
        if algo == folder:
            assert load_agent(run).algorithm == algo
            continue
        with pytest.raises(ConfigurationError, match=rf"a model of {algo}, but lies in .* {folder}.*--algo {algo}$"):
            load_agent(run)
    run = write_old_run(tmp_path, "td3", "LunarLanderContinuous-v2", model_of("ddpg", VECTOR[8], box, SMALL))
    assert load_agent(run).algorithm == "td3"
    with pytest.raises(ConfigurationError, match=r"'ppp' is none\. Did you mean 'ppo'"):
        load_agent(run.path.parent.rename(tmp_path / "ppp") / run.path.name)


def test_an_empty_configuration_is_as_if_there_were_none(tmp_path: Path) -> None:
    run = write_old_run(tmp_path, "ppo", "CartPole-v1", model_of("ppo", VECTOR[4], spaces.Discrete(2), SMALL))
    for name in ("config.yml", "args.yml"):
        (run.config_folder / name).write_text("")
    assert load_agent(run.path).recipe.env_id == "CartPole-v1"


def test_what_nobody_carried_over_is_one_line(tmp_path: Path) -> None:
    run = write_old_run(tmp_path, "ppo", "MinitaurBulletEnv-v0", model_of("ppo", VECTOR[3], VECTOR[2], SMALL))
    with pytest.raises(NotFoundError, match=r"MinitaurBulletEnv-v0 cannot be played: .* no successor"):
        load_agent(run)


@pytest.fixture
def goals() -> Any:
    gym.register("Goals-v0", entry_point="tests.helpers.old_agents:Goals")
    yield "Goals-v0"
    del gym.registry["Goals-v0"]


def hindsight_run(tmp_path: Path, env_id: str, **changes: Any) -> Any:
    model = model_of("sac", spaces.Box(-1, 1, (5,)), spaces.Box(-1, 1, (2,)), SMALL)
    had = {"n_sampled_goal": 4, "online_sampling": True, "max_episode_length": 10, "goal_selection_strategy": "future"}
    config = {"normalize": True, "goal_selection_strategy": "future", "n_sampled_goal": 4, **changes}
    run = write_old_run(
        tmp_path, "her", env_id, model, config, {**had, "model_class": as_of_old(type(model)), "replay_buffer_class": 1}
    )
    venv = VecNormalize(DummyVecEnv([lambda: gym.make(env_id)]))
    venv.reset()
    for _ in range(30):
        venv.step(np.array([venv.action_space.sample()]))
    venv.save(str(run.final_statistics))
    return model, venv


def test_hindsight_of_the_first_version_sees_observation_and_goal(goals: str, tmp_path: Path, command: Any) -> None:
    model, venv = hindsight_run(tmp_path / "logs", goals, model_class="sac")
    agent = load_agent(tmp_path / "logs" / "her" / f"{goals}_1")
    assert agent.algorithm == agent.run.algorithm == "sac"
    raw = gym.make(goals).reset(seed=5)[0]
    inside = venv.normalize_obs({key: value[None] for key, value in raw.items()})
    given = np.concatenate([inside["observation"], inside["desired_goal"]], axis=1)
    from rl_experiments.envs import make_envs

    env = make_envs(agent.recipe, 1, 5)
    np.testing.assert_allclose(env.reset(), given, rtol=1e-6)
    env.close()
    expected = model.predict(given.astype(np.float32), deterministic=True)[0]
    np.testing.assert_array_equal(agent.predict(given.astype(np.float32), deterministic=True)[0], expected)
    assert [episode.length for episode in evaluate(agent, n_episodes=2).episodes] == [10, 10]
    for algo in ("her", "sac"):
        result = command(enjoy, "--algo", algo, "--env", goals, "-f", "logs", "--no-render", "-n", "12")
        assert result.code == 0, result.err
        assert "Adapted: observation and goal are one vector" in result.err
    result = command(enjoy, "--algo", "tqc", "--env", goals, "-f", "logs", "--no-render")
    assert result.code == 2
    tiny_experiment("sac", goals, tmp_path / "logs", {"policy": "MultiInputPolicy", "learning_starts": 60}).run()
    seventh = agent.run.path.rename(agent.run.path.with_name(f"{goals}_7"))
    assert find_run(tmp_path / "logs", "sac", goals, 7).path == seventh
    card = publish(load_agent(seventh), upload=False, render=False, n_eval_episodes=1, hub_folder=tmp_path / "hub")
    text = card.bundle.card.read_text()
    assert f'load_agent("logs/sac/{goals}_1")' in text
    assert "SAC.load" not in text
    assert "rl_zoo3" not in text


def test_the_algorithm_of_hindsight_is_told_by_the_model_too(goals: str, tmp_path: Path) -> None:
    hindsight_run(tmp_path, goals)
    assert find_run(tmp_path, "her", goals).algorithm == "sac"
    (tmp_path / "her" / f"{goals}_1" / f"{goals}.zip").unlink()
    with pytest.raises(Exception, match="does not tell what HER was put around"):
        find_run(tmp_path, "her", goals)


def test_hindsight_of_today_is_found_as_her(goals: str, tmp_path: Path) -> None:
    buffer = {"replay_buffer_class": "HerReplayBuffer", "learning_starts": 60, "policy": "MultiInputPolicy"}
    tiny_experiment("sac", goals, tmp_path, buffer).run()
    tiny_experiment("sac", "Pendulum-v1", tmp_path).run()
    assert find_run(tmp_path, "her", goals).algorithm == "sac"
    assert load_agent(find_run(tmp_path, "her", goals)).adapted is None
    with pytest.raises(NotFoundError):
        find_run(tmp_path, "her", "Pendulum-v1")


def test_training_with_her_says_how_it_is_done_today(command: Any) -> None:
    result = command(train, "--algo", "her", "--env", "CartPole-v1")
    assert result.code == 2
    assert "replay_buffer_class:HerReplayBuffer" in result.err
