"""The wrappers that YAML files name do what the zoo's do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.envs import wrappers
from rl_experiments.envs.registry import find_spec
from tests.conftest import ROOT
from tests.helpers import zoo_wrappers
from tests.helpers.commands import run_python


def _line(**kwargs: Any) -> gym.Env:
    return gym.make("toy_envs:ToyLine-v0", **kwargs)


def _continuous() -> gym.Env:
    return gym.make("toy_envs:ToyContinuous-v0")


def test_every_wrapper_gives_what_the_zoo_gives(tmp_path: Path) -> None:
    script = ROOT / "tests" / "helpers" / "zoo_wrappers.py"
    result = run_python(str(script), str(tmp_path / "out.json"), cwd=tmp_path)
    assert result.code == 0, result.err
    ours = zoo_wrappers.trace(wrappers)
    for expected, actual in zip(json.loads((tmp_path / "out.json").read_text()), ours, strict=True):
        assert actual[:2] == expected[:2]
        for step, (row, wanted) in enumerate(zip(actual[2], expected[2], strict=True)):
            np.testing.assert_allclose(row[0], wanted[0], atol=1e-6, err_msg=f"{actual[0]} at step {step}")
            assert row[1] == pytest.approx(wanted[1], abs=1e-6), f"{actual[0]} at step {step}"


def test_an_action_lasts_several_steps() -> None:
    env = wrappers.FrameSkip(_line(), skip=4)
    env.reset(seed=0)
    rewards = [env.step(0)[1:3] for _ in range(3)]
    assert rewards == [(1 + 2 + 3 + 4, False), (5 + 6 + 7 + 8, False), (9 + 10, True)]


@pytest.mark.parametrize("skip", [0, -1])
def test_an_action_lasts_at_least_one_step(skip: int) -> None:
    with pytest.raises(ConfigurationError, match="skip"):
        wrappers.FrameSkip(_line(), skip=skip)


def test_delayed_rewards_come_in_sums_and_at_the_end() -> None:
    env = wrappers.DelayedRewardWrapper(_line(), delay=4)
    for _ in range(2):
        env.reset(seed=0)
        assert [env.step(0)[1] for _ in range(10)] == [0, 0, 0, 10, 0, 0, 0, 26, 0, 19]


def test_history_holds_the_last_observations_and_actions() -> None:
    env = wrappers.HistoryWrapper(_continuous(), horizon=2)
    assert env.observation_space.shape == (2 * 3 + 2 * 2,)
    first, _ = env.reset(seed=0)
    np.testing.assert_array_equal(first[:3], 0)
    np.testing.assert_array_equal(first[6:], 0)
    second, *_ = env.step(np.array([0.5, -0.5], np.float32))
    np.testing.assert_array_equal(second[:3], first[3:6])
    np.testing.assert_array_equal(second[6:], [0, 0, 0.5, -0.5])
    assert env.observation_space.contains(second)
    again, _ = env.reset(seed=0)
    np.testing.assert_array_equal(again, first)


def test_an_observation_once_given_does_not_change() -> None:
    env = wrappers.HistoryWrapper(_continuous(), horizon=2)
    first, _ = env.reset(seed=0)
    kept = first.copy()
    env.step(np.array([0.5, -0.5], np.float32))
    np.testing.assert_array_equal(first, kept)


def test_history_in_a_goal_environment_changes_one_entry_only() -> None:
    env = wrappers.HistoryWrapperObsDict(gym.make("toy_envs:ToyGoal-v0"), horizon=3)
    observation, _ = env.reset(seed=0)
    assert {key: value.shape for key, value in observation.items()} == {
        "observation": (6,),
        "achieved_goal": (1,),
        "desired_goal": (1,),
    }
    assert env.observation_space.contains(env.step(env.action_space.sample())[0])


def test_success_ends_the_episode_and_shifts_rewards() -> None:
    env = wrappers.TruncatedOnSuccessWrapper(gym.make("toy_envs:ToyGoal-v0"), reward_offset=1.0, n_successes=2)
    observation, _ = env.reset(seed=0)
    ends, rewards = [], []
    for _ in range(6):
        action = np.clip(observation["desired_goal"] - observation["achieved_goal"], -1, 1)
        observation, reward, _, truncated, _ = env.step(action)
        rewards.append(reward)
        ends.append(truncated)
        if truncated:
            break
    assert ends[-1]
    assert rewards[-2:] == [1.0, 1.0]
    assert env.compute_reward(np.zeros(1), np.zeros(1), {}) == 1.0


def test_noise_is_seeded_and_stays_in_the_action_space() -> None:
    def noisy() -> list[float]:
        env = wrappers.ActionNoiseWrapper(gym.make("Pendulum-v1"), noise_std=5.0)
        env.reset(seed=3)
        return [float(env.step(np.zeros(1, np.float32))[1]) for _ in range(5)]

    assert noisy() == noisy()


def test_velocities_are_hidden() -> None:
    env = wrappers.MaskVelocityWrapper(gym.make("CartPole-v1"))
    env.reset(seed=0)
    observation, *_ = env.step(1)
    assert observation[1] == observation[3] == 0
    assert observation[0] != 0


@pytest.mark.parametrize(
    ("wrapper", "env"),
    [
        ("ActionNoiseWrapper", "CartPole-v1"),
        ("HistoryWrapper", "CartPole-v1"),
        ("HistoryWrapperObsDict", "Pendulum-v1"),
        ("MaskVelocityWrapper", "Acrobot-v1"),
    ],
)
def test_a_wrapper_on_the_wrong_environment_is_a_configuration_error(wrapper: str, env: str) -> None:
    with pytest.raises(ConfigurationError, match=wrapper):
        getattr(wrappers, wrapper)(gym.make(env))


def test_images_are_resized_to_the_shape_in_a_list() -> None:
    env = gym.make(find_spec("PongNoFrameskip-v4").id)
    assert wrappers.YAMLCompatResizeObservation(env, shape=[84, 60]).observation_space.shape == (84, 60, 3)
