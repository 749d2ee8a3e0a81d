"""The state of environments: put into others, these go on alike."""

from __future__ import annotations

import pickle
import random
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core import pickles
from rl_experiments.envs import EnvironmentRecipe, make_envs
from rl_experiments.envs.state import end_episodes, put_state, take_state

ATARI = {"env_wrapper": ["stable_baselines3.common.atari_wrappers.AtariWrapper"], "frame_stack": 4}
CASES: dict[str, Mapping[str, Any]] = {
    "CartPole-v1": {},
    "Pendulum-v1": {"normalize": True},
    "MountainCarContinuous-v0": {"env_wrapper": ["rl_experiments.envs.wrappers.HistoryWrapper"]},
    "Acrobot-v1": {"frame_stack": 2},
    "FrozenLake-v1": {},
    "Taxi-v4": {},
    "Hopper-v5": {"normalize": True, "env_wrapper": ["sb3_contrib.common.wrappers.TimeFeatureWrapper"]},
    "Ant-v5": {},
    "PongNoFrameskip-v4": ATARI,
    "ALE/Breakout-v5": {"env_kwargs": {"repeat_action_probability": 0.0}, **ATARI},
    "toy_envs:ToyGoal-v0": {},
}


class OwnState(gym.Env):
    """Draws from generators that are in a method, in a closure, in an environment of its own, and made only later."""

    observation_space = spaces.Box(-np.inf, np.inf, (5,))
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.draw = random.Random(1).random
        self.inner = gym.make("CartPole-v1")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Let the episode begin."""
        super().reset(seed=seed)
        generator = random.Random(self.np_random.integers(100).item())
        self.closed = lambda: generator.random()
        return self._observation(self.inner.reset(seed=seed)[0]), {}

    def step(self, action: Any) -> Any:
        """Go on in the inner environment."""
        if not hasattr(self, "late"):
            self.late = random.Random(self.np_random.integers(100).item())
        observation, _, ended, *_ = self.inner.step(action)
        return self._observation(observation), self.late.random(), ended, False, {}

    def _observation(self, inner: np.ndarray) -> np.ndarray:
        return np.append(inner, self.draw() + self.closed()).astype(np.float32)


class Late(OwnState):
    """Makes an object that no other code can make, and only in an episode."""

    def step(self, action: Any) -> Any:
        """Remember a space."""
        self.space = spaces.Discrete(3)
        return super().step(action)


gym.register("OwnState-v0", OwnState)
gym.register("Late-v0", Late)
CASES["OwnState-v0"] = {}
WITHOUT_STATE: dict[str, Mapping[str, Any]] = {"BipedalWalker-v3": {}}


def _make(env_id: str, seed: int, vec_env: str = "dummy") -> VecEnv:
    recipe = EnvironmentRecipe.from_hyperparameters(env_id, Hyperparameters({**CASES, **WITHOUT_STATE}[env_id]))
    env = make_envs(recipe, 2, seed, vec_env=vec_env, training=True)
    env.reset()
    return env


def _play(env: VecEnv, actions: list[np.ndarray]) -> list[bytes]:
    return [pickle.dumps([np.ascontiguousarray(part) for part in _flat(env.step(action)[:3])]) for action in actions]


def _flat(parts: tuple[Any, ...]) -> list[np.ndarray]:
    observation, *rest = parts
    return [*(observation.values() if isinstance(observation, dict) else [observation]), *rest]


def _check(env_id: str, vec_env: str) -> None:
    first, second = _make(env_id, 1, vec_env), _make(env_id, 99, vec_env)
    try:
        first.action_space.seed(1)
        actions = [np.array([first.action_space.sample() for _ in range(2)]) for _ in range(200)]
        _play(first, actions[:80])
        state, missing = take_state(first)
        assert missing == []
        assert put_state(second, pickles.loads(pickle.dumps(state))) == []
        assert _play(first, actions[80:]) == _play(second, actions[80:])
    finally:
        first.close()
        second.close()


@pytest.mark.parametrize("env_id", CASES)
def test_environments_go_on_alike(env_id: str) -> None:
    _check(env_id, "dummy")


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "Hopper-v5"])
def test_environments_in_other_processes_go_on_alike(env_id: str) -> None:
    _check(env_id, "subproc")


def _lacking(env_id: str) -> list[str]:
    env = make_envs(EnvironmentRecipe(env_id), 1, 1)
    env.reset()
    return take_state(env)[1]


def test_what_is_made_only_later_is_named_and_does_not_stop_the_rest() -> None:
    first, second = (make_envs(EnvironmentRecipe("Late-v0"), 1, seed) for seed in (1, 2))
    for env in (first, second):
        env.reset()
    assert take_state(first)[1] == []
    first.step(np.array([1]))
    state, missing = take_state(first)
    assert missing == ["Late/space (Discrete)"]
    assert put_state(second, pickles.loads(pickle.dumps(state))) == []
    assert np.array_equal(*(env.step(np.array([1]))[0] for env in (first, second)))


def test_a_state_that_cannot_be_had_is_named() -> None:
    assert any(place.startswith("LunarLander/world") for place in _lacking("LunarLander-v3"))
    assert _lacking("ALE/Pong-v5") == ["AtariEnv: the action that it repeats by chance"]
    assert _lacking("PongNoFrameskip-v4") == []


@pytest.mark.parametrize("env_id", ["ALE/Breakout-v5", "BipedalWalker-v3"])
def test_new_episodes_begin_alike_whatever_was_played_before(env_id: str) -> None:
    """A wrapper that takes a lost life for an end would only go on, and a world of Box2D remembers what was in it."""
    first, second = (_make(env_id, seed) for seed in (1, 2))
    first.action_space.seed(1)
    actions = [np.array([first.action_space.sample() for _ in range(2)]) for _ in range(300)]
    for action in actions:
        if first.step(action)[2].any():
            break
    for env in (first, second):
        end_episodes(env)
        env.seed(5)
    assert np.array_equal(first.reset(), second.reset())
    assert _play(first, actions[:80]) == _play(second, actions[:80])


def test_the_time_of_episodes_goes_on_where_the_rest_cannot_be_had() -> None:
    first, second = (make_envs(EnvironmentRecipe("LunarLander-v3"), 1, 1) for _ in range(2))
    for env in (first, second):
        env.reset()
    put_state(second, pickles.loads(pickle.dumps(take_state(first, inside=False)[0])))
    assert first.get_attr("t_start") == second.get_attr("t_start")
