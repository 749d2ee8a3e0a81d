"""Vectors in native code: what of them is equal to the wrapped environments, and that episodes are told rightly."""

from __future__ import annotations

import csv
import importlib.util
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.atari_wrappers import MaxAndSkipEnv, WarpFrame
from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core import pickles
from rl_experiments.core.errors import ConfigurationError, MissingPackageError
from rl_experiments.envs import EnvironmentRecipe, make_envs
from rl_experiments.envs.state import put_state, take_state
from tests.envs.test_lean import ATARI, GAMES, WRAPPER, is_same

RAW = {"env_wrapper": [{WRAPPER: {"noop_max": 0, "terminal_on_life_loss": False, "clip_reward": False}}]}


def _recipe(env_id: str, hyperparams: Mapping[str, Any]) -> EnvironmentRecipe:
    return EnvironmentRecipe.from_hyperparameters(env_id, Hyperparameters(hyperparams)).with_single_frame_skip()


def _make(
    env_id: str, hyperparams: Mapping[str, Any], n_envs: int = 2, seed: int = 3, kind: str = "native", **settings: Any
) -> VecEnv:
    return make_envs(_recipe(env_id, hyperparams), n_envs, seed, vec_env=kind, training=True, **settings)


def _begin(env: gym.Env) -> None:
    """As ALE's vector begins a game: FIRE for a single frame, where there is such a button."""
    env.reset()
    if "FIRE" in env.unwrapped.get_action_meanings():  # type: ignore[attr-defined]
        env.unwrapped.step(1)


def _check_game(game: str, steps: int) -> int:
    """From the first moment of each game on, with the same actions."""
    env_id = f"{game}NoFrameskip-v4"
    ours = make_envs(_recipe(env_id, RAW), 1, 0, vec_env="native")
    theirs = WarpFrame(MaxAndSkipEnv(gym.make(env_id), 4))
    ours.reset()
    _begin(theirs)
    theirs.action_space.seed(0)
    ends = 0
    for _ in range(steps):
        action = theirs.action_space.sample()
        observation, score, terminated, truncated, info = theirs.step(action)
        (own,), (reward,), (done,), (told,) = ours.step(np.array([action]))
        assert (reward, done) == (score, terminated or truncated)
        if done:
            assert told["TimeLimit.truncated"] == (truncated and not terminated)
            ends += 1
            _begin(theirs)
        else:
            assert np.array_equal(own.squeeze(), observation.squeeze())
            assert (told["lives"], told["episode_frame_number"]) == (info["lives"], info["episode_frame_number"])
    ours.close()
    return ends


def test_atari_sees_what_the_wrapped_environment_sees() -> None:
    assert _check_game("Breakout", 300) > 0


@pytest.mark.slow
@pytest.mark.parametrize("game", GAMES)
def test_atari_sees_what_the_wrapped_environment_sees_for_long(game: str) -> None:
    _check_game(game, 5000)


def test_a_lost_life_ends_an_episode_and_no_game(tmp_path: Path) -> None:
    env = _make("BreakoutNoFrameskip-v4", ATARI, monitor_folder=tmp_path)
    observations, lives, returns, told = env.reset(), [5, 5], [0.0, 0.0], 0
    ends, scores = 0, []
    env.action_space.seed(1)
    for _ in range(400):
        before = observations
        observations, rewards, dones, infos = env.step(np.array([env.action_space.sample() for _ in range(2)]))
        assert set(rewards.tolist()) <= {-1.0, 0.0, 1.0}
        for index, info in enumerate(infos):
            returns[index] += rewards[index]  # Breakout's first bricks score 1, and so do rewards
            assert ("terminal_observation" in info) == bool(dones[index])
            if dones[index]:
                ends += 1
                last = info["terminal_observation"]
                assert last.shape == (4, 84, 84)
                assert np.array_equal(last[:3], before[index][1:])
                assert not observations[index][:3].any()
                assert info["TimeLimit.truncated"] is False
            if "episode" in info:
                told += 1
                scores.append(info["episode"]["r"])
                assert dones[index]
                assert info["lives"] == 5
                assert lives[index] <= 1
            lives[index] = info["lives"]
    assert told > 1
    assert ends >= 5 * told
    env.close()
    rows = [row for index in (0, 1) for row in _rows(tmp_path / f"{index}.monitor.csv")]
    assert sorted(float(row["r"]) for row in rows) == sorted(scores)


def _rows(file: Path) -> list[dict[str, str]]:
    header, *lines = file.read_text(encoding="utf-8").splitlines()
    assert header.startswith("#{")
    return list(csv.DictReader(lines))


def test_scores_are_raw_and_rewards_clipped() -> None:
    env = _make("SpaceInvadersNoFrameskip-v4", {**ATARI, "normalize": {"norm_obs": False}}, 4)
    env.reset()
    env.action_space.seed(0)
    scores = []
    for _ in range(400):
        *_, infos = env.step(np.array([env.action_space.sample() for _ in range(4)]))
        scores += [info["episode"]["r"] for info in infos if "episode" in info]
    assert max(scores) >= 50
    assert env.get_original_reward().max() <= 1  # type: ignore[attr-defined]
    env.close()


def _play(env: VecEnv, steps: int, seed: int) -> list[Any]:
    env.action_space.seed(seed)
    return [env.step(np.array([env.action_space.sample() for _ in range(env.num_envs)])) for _ in range(steps)]


@pytest.mark.parametrize("env_id", ["SeaquestNoFrameskip-v4", "CartPole-v1"])
def test_seeds_decide_whatever_was_before(env_id: str) -> None:
    first, second = (_make(env_id, ATARI if "NoFrame" in env_id else {}, 2, seed) for seed in (1, 2))
    first.reset(), second.reset()
    _play(first, 60, 1), _play(second, 20, 2)
    first.seed(7), second.seed(7)
    assert is_same(first.reset(), second.reset())
    assert is_same(_play(first, 60, 3), _play(second, 60, 3))
    first.close(), second.close()


def test_the_state_of_cartpole_can_be_saved_and_that_of_atari_cannot() -> None:
    first, second = (_make("CartPole-v1", {"normalize": True}, 3, seed) for seed in (1, 2))
    first.reset(), second.reset()
    _play(first, 50, 1)
    state, missing = take_state(first)
    assert missing == []
    assert put_state(second, pickles.loads(pickle.dumps(state))) == []
    assert is_same(_play(first, 80, 2), _play(second, 80, 2))
    env = _make("PongNoFrameskip-v4", ATARI)
    env.reset()
    assert take_state(env)[1] == ["the state of ALE's AtariVectorEnv"]
    assert take_state(env, inside=False)[1] == []
    env.close()


def test_cartpole_moves_as_the_single_one_and_ends_by_its_limit() -> None:
    env = _make("CartPole-v1", {}, 2)
    single = gym.make("CartPole-v1").unwrapped
    observation, limits = env.reset(), []
    for _ in range(1200):
        single.reset()
        single.state = env.unwrapped._source._venv.state[:, 0].copy()  # type: ignore[attr-defined]
        # It is kept upright by the sign of where it leans and falls to.
        actions = (observation[:, 2] + 0.3 * observation[:, 3] + 0.05 * observation[:, 1] > 0).astype(int)
        expected, *_ = single.step(int(actions[0]))
        observation, _, dones, infos = env.step(actions)
        np.testing.assert_allclose(infos[0].get("terminal_observation", observation[0]), expected, rtol=1e-6, atol=1e-7)
        if dones[0]:
            limits.append((infos[0]["TimeLimit.truncated"], infos[0]["episode"]["l"]))
    assert (True, 500) in limits
    env.close()


REFUSED: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    "no vector": ("Pendulum-v1", {}, "it has no vector environment"),
    "wrapper": ("CartPole-v1", {"env_wrapper": ["rl_experiments.envs.wrappers.HistoryWrapper"]}, "env_wrapper"),
    "no AtariWrapper": ("ALE/Pong-v5", {}, "AtariWrapper"),
    "gray": ("PongNoFrameskip-v4", {**ATARI, "env_kwargs": {"obs_type": "grayscale"}}, "obs_type='rgb'"),
    "mode": ("PongNoFrameskip-v4", {**ATARI, "env_kwargs": {"mode": 1}}, "mode=None"),
    "argument": ("CartPole-v1", {"env_kwargs": {"gravity": 1}}, "gravity"),
    "window": ("PongNoFrameskip-v4", {**ATARI, "env_kwargs": {"render_mode": "human"}}, "render_mode=None"),
    "unknown": ("PongNoFrameskip-v4", {"env_wrapper": [{WRAPPER: {"noop": 3}}]}, "Did you mean 'noop_max'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_would_not_get_right_is_refused(case: str) -> None:
    env_id, hyperparams, words = REFUSED[case]
    with pytest.raises(ConfigurationError) as caught:
        _make(env_id, hyperparams)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("envpool") is not None, reason="EnvPool is installed")
def test_envpool_is_an_extra() -> None:
    with pytest.raises(MissingPackageError, match="rl_experiments\\[envpool\\]"):
        _make("CartPole-v1", {}, kind="envpool")


@pytest.mark.skipif(importlib.util.find_spec("envpool") is None, reason="EnvPool is not installed")
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "BreakoutNoFrameskip-v4"])
def test_envpool_tells_how_episodes_end(env_id: str) -> None:
    first, second = (_make(env_id, ATARI if "NoFrame" in env_id else {}, 2, 5, "envpool") for _ in range(2))
    assert is_same(first.reset(), second.reset())
    steps = _play(first, 450, 1)
    assert is_same(steps, _play(second, 450, 1))
    ended = [
        (info, observation)
        for observations, _, dones, infos in steps
        for observation, done, info in zip(observations, dones, infos, strict=True)
        if done
    ]
    assert ended
    assert not any(np.array_equal(info["terminal_observation"], observation) for info, observation in ended)
    assert all(info["TimeLimit.truncated"] == (env_id == "Pendulum-v1") for info, _ in ended)
    told = [info["episode"] for info, _ in ended if "episode" in info]
    assert told
    assert env_id != "BreakoutNoFrameskip-v4" or len(ended) >= 5 * len(told)
    first.close(), second.close()
