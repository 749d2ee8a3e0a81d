"""The environments of ``auto`` give the bits of SB3's: observations, rewards, ends, infos, and the state afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.envs import EnvironmentRecipe, make_envs
from rl_experiments.envs.kinds import FUSED, kind_of
from rl_experiments.envs.lean import LeanVecEnv, independent
from rl_experiments.envs.state import put_state, take_state

WRAPPER = "stable_baselines3.common.atari_wrappers.AtariWrapper"
ATARI: Mapping[str, Any] = {"env_wrapper": [WRAPPER], "frame_stack": 4}
GAMES = (
    *("Pong", "Breakout", "SpaceInvaders", "Qbert", "Seaquest", "BeamRider", "Enduro", "MsPacman", "Asteroids"),
    *("RoadRunner", "Freeway", "MontezumaRevenge"),
)
ARGUMENTS: tuple[Mapping[str, Any], ...] = (
    {"terminal_on_life_loss": False, "clip_reward": False},
    {"noop_max": 0, "action_repeat_probability": 0.25},
    {"frame_skip": 2, "screen_size": 60},
    {"frame_skip": 1},
)
OTHERS: Mapping[str, Mapping[str, Any]] = {
    "CartPole-v1": {"frame_stack": 4},
    "Pendulum-v1": {"normalize": True},
    "FrozenLake-v1": {},
    "toy_envs:ToyDictionary-v0": {"frame_stack": 2},
}


def _make(env_id: str, hyperparams: Mapping[str, Any], kind: str, n_envs: int = 2, seed: int = 3) -> VecEnv:
    recipe = EnvironmentRecipe.from_hyperparameters(env_id, Hyperparameters(hyperparams)).with_single_frame_skip()
    return make_envs(recipe, n_envs, seed, vec_env=kind, training=True)


def is_same(first: Any, second: Any) -> bool:
    """Whether values have the same types and bits, arrays the same layout; only the time may differ."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(is_same(first[key], second[key]) for key in first if key != "t")
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(is_same, first, second))
    if isinstance(first, np.ndarray):
        alike = first.dtype == second.dtype and first.strides == second.strides
        return alike and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
    return bool(first == second)


def _actions(env: VecEnv, count: int) -> list[np.ndarray]:
    env.action_space.seed(1)
    return [np.array([env.action_space.sample() for _ in range(env.num_envs)]) for _ in range(count)]


def _check(env_id: str, hyperparams: Mapping[str, Any], steps: int, kind: str | None = None) -> int:
    ours, theirs = (_make(env_id, hyperparams, vec_env) for vec_env in ("auto", "dummy"))
    try:
        assert isinstance(ours.unwrapped, LeanVecEnv)
        assert type(theirs.unwrapped) is DummyVecEnv
        assert kind is None or kind_of(ours) == kind
        assert is_same(ours.reset(), theirs.reset())
        ends = 0
        for action in _actions(ours, steps):
            own = ours.step(action)
            assert is_same(own, theirs.step(action))
            ends += int(own[2].sum())
        first, second = take_state(ours)[0], take_state(theirs)[0]
        assert first["wrappers"].keys() == second["wrappers"].keys()
        return ends
    finally:
        ours.close()
        theirs.close()


@pytest.mark.parametrize("game", ["Breakout", "Pong"])
def test_atari_has_the_bits_of_the_wrappers(game: str) -> None:
    ends = _check(f"{game}NoFrameskip-v4", ATARI, 200, FUSED)
    assert ends > 5 or game == "Pong"


@pytest.mark.slow
@pytest.mark.parametrize("game", GAMES)
def test_atari_has_the_bits_of_the_wrappers_for_long(game: str) -> None:
    assert _check(f"{game}NoFrameskip-v4", ATARI, 5000, FUSED) > 0


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_arguments_of_the_wrapper_hold(arguments: Mapping[str, Any]) -> None:
    fused = FUSED if arguments.get("frame_skip") != 1 else "lean"
    hyperparams = {"env_wrapper": [{WRAPPER: dict(arguments)}], "frame_stack": 3}
    assert _check("BreakoutNoFrameskip-v4", hyperparams, 150, fused) > 0


def test_a_time_limit_ends_a_game_alike() -> None:
    recipe = EnvironmentRecipe("PongNoFrameskip-v4", wrappers=((WRAPPER, {}),), max_episode_steps=90)
    ours, theirs = (make_envs(recipe, 1, 0, vec_env=kind) for kind in ("auto", "dummy"))
    ours.reset(), theirs.reset()
    ends = [0]
    for _ in range(60):
        first, second = ours.step(np.array([2])), theirs.step(np.array([2]))
        assert is_same(first, second)
        ends.append(int(first[3][0]["TimeLimit.truncated"]))
    assert sum(ends) > 1


@pytest.mark.parametrize("env_id", OTHERS)
def test_other_environments_have_the_bits_of_sb3(env_id: str) -> None:
    assert _check(env_id, OTHERS[env_id], 250, "lean") > 0


def test_a_wrapper_that_is_not_known_takes_the_usual_way() -> None:
    _check(
        "PongNoFrameskip-v4",
        {"env_wrapper": ["rl_experiments.envs.wrappers.DelayedRewardWrapper", WRAPPER]},
        30,
        "lean",
    )


def test_the_state_of_either_goes_on_in_the_other() -> None:
    ours, theirs = _make("BreakoutNoFrameskip-v4", ATARI, "auto"), _make("BreakoutNoFrameskip-v4", ATARI, "dummy", 2, 9)
    ours.reset(), theirs.reset()
    actions = _actions(ours, 160)
    for action in actions[:90]:
        ours.step(action)
    state, missing = take_state(ours)
    assert missing == []
    assert put_state(theirs, state) == []
    for action in actions[90:]:
        (*first, infos), (*second, others) = ours.step(action), theirs.step(action)
        assert all(np.array_equal(own, other) for own, other in zip(first, second, strict=True))
        assert [info.get("lives") for info in infos] == [info.get("lives") for info in others]
    ours.close(), theirs.close()


class Hoarder(gym.Env):
    """Hands out the same info and observation again and again, and changes them."""

    observation_space = gym.spaces.Box(0, 1000, (1,), np.float64)
    action_space = gym.spaces.Discrete(2)

    def __init__(self) -> None:
        self.place, self.info = np.zeros(1), {"deep": {"list": [0]}, "array": np.zeros(2)}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin at 0."""
        self.place[0] = 0
        return self.place, {}

    def step(self, action: Any) -> Any:
        """Go on by one."""
        self.place += 1
        self.info["deep"]["list"][0] += 1
        self.info["array"] += 1
        return self.place, 0.0, False, False, self.info


def test_what_was_handed_out_does_not_change() -> None:
    env = LeanVecEnv([Hoarder])
    first = env.reset()
    second, _, _, (info,) = env.step(np.array([0]))
    env.step(np.array([0]))
    assert first.item() == 0
    assert second.item() == 1
    assert info["deep"]["list"] == [1]
    assert info["array"].tolist() == [1, 1]


def test_independent_copies_what_can_change() -> None:
    value = {"a": np.arange(6).reshape(2, 3).T, "b": [1, {2}], "c": "text", "d": np.float32(1), "e": np.array([None])}
    copied = independent(value)
    assert is_same({key: copied[key] for key in "abcd"}, {key: value[key] for key in "abcd"})
    assert copied["b"] is not value["b"]
    assert copied["b"][1] is not value["b"][1]
    assert copied["a"] is not value["a"]
