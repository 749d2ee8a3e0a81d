"""Ids and environments of earlier, and what makes those of today like them."""

from __future__ import annotations

import contextlib
import importlib.util
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core.errors import ConfigurationError, MissingPackageError
from rl_experiments.core.symbols import Symbol, Trust, import_symbol
from rl_experiments.envs import EnvironmentRecipe, make_envs
from rl_experiments.envs.adaptations import ADAPTATIONS, find_adaptation, today
from rl_experiments.envs.registry import PROVIDERS, find_spec, is_users_own
from tests.helpers.old_agents import Nothing

TIME = "sb3_contrib.common.wrappers.TimeFeatureWrapper"
FLAT = "gym_minigrid.wrappers.FlatObsWrapper"
OF_EACH = (
    ("Pendulum-v0", "Pendulum-v1"),
    ("PendulumNoVel-v0", "PendulumNoVel-v1"),
    ("LunarLander-v2", "LunarLander-v3"),
    ("LunarLanderContinuous-v2", "LunarLanderContinuous-v3"),
    ("LunarLanderNoVel-v2", "LunarLanderNoVel-v3"),
    ("BipedalWalkerHardcore-v2", "BipedalWalkerHardcore-v3"),
    ("CarRacing-v0", "CarRacing-v3"),
    ("Ant-v3", "Ant-v4"),
    ("Humanoid-v3", "Humanoid-v4"),
    ("HumanoidStandup-v2", "HumanoidStandup-v4"),
    ("HalfCheetah-v3", "HalfCheetah-v4"),
    ("Swimmer-v3", "Swimmer-v4"),
    ("Hopper-v3", "Hopper-v4"),
    ("Walker2d-v2", "Walker2d-v4"),
    ("Reacher-v2", "Reacher-v4"),
    ("InvertedDoublePendulum-v2", "InvertedDoublePendulum-v4"),
    ("Pusher-v2", "Pusher-v5"),
    ("FetchPickAndPlace-v1", "FetchPickAndPlace-v4"),
    ("HandReach-v0", "HandReach-v3"),
    ("HandManipulateBlock-v0", "HandManipulateBlock-v1"),
    ("PandaReach-v1", "PandaReach-v3"),
    ("PandaStack-v2", "PandaStack-v3"),
    ("PandaPickAndPlaceDense-v2", "PandaPickAndPlaceDense-v3"),
    ("PandaPush-v1", "PandaPush-v3"),
    ("PandaPickAndPlace-v1", "PandaPickAndPlace-v3"),
    ("PandaStack-v1", "PandaStack-v3"),
    ("PandaSlide-v1", "PandaSlide-v3"),
    ("parking-v0", "parking-v0"),
    ("MiniGrid-DoorKey-5x5-v0", "MiniGrid-DoorKey-5x5-v0"),
    ("MiniGrid-MultiRoom-N4-S5-v0", "MiniGrid-MultiRoom-N4-S5-v1"),
    ("MiniGrid-GoToDoor-5x5-v0", "MiniGrid-GoToDoor-5x5-v0"),
    ("MiniGrid-GoToDoor-6x6-v0", "MiniGrid-GoToDoor-6x6-v0"),
    ("MiniGrid-GoToDoor-8x8-v0", "MiniGrid-GoToDoor-8x8-v0"),
    ("Taxi-v3", "Taxi-v4"),
    ("FrozenLake8x8-v0", "FrozenLake8x8-v1"),
    ("CliffWalking-v0", "CliffWalking-v1"),
    ("PongDeterministic-v4", "PongNoFrameskip-v4"),
    ("SpaceInvadersDeterministic-v0", "SpaceInvadersNoFrameskip-v0"),
    ("SpaceInvaders-ramDeterministic-v4", "SpaceInvadersNoFrameskip-v4"),
    ("Pong-ramDeterministic-v4", "PongNoFrameskip-v4"),
    ("Pong-ramNoFrameskip-v4", "PongNoFrameskip-v4"),
    ("Pong-ram-v0", "Pong-v0"),
    ("Taxi-v2", "Taxi-v4"),
    ("Blackjack-v0", "Blackjack-v1"),
)
UNCHANGED = (
    *("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1", "BipedalWalker-v3"),
    *("HopperBulletEnv-v0", "Walker2DBulletEnv-v0", "HumanoidBulletEnv-v0", "SpaceInvadersNoFrameskip-v4"),
    *("ALE/Pong-v5", "Ant-v4", "Ant-v5", "LunarLander-v3", "PandaReach-v3", "FetchReach-v4", "CartPole-v0"),
)


def of(env_id: str, config: dict[str, Any] | None = None, observation_size: int | None = None) -> Any:
    """An environment as it was when agents of earlier were trained in it."""
    adaptation = find_adaptation(env_id, observation_size=observation_size)
    assert adaptation is not None
    assert adaptation.new is not None
    recipe = EnvironmentRecipe.from_hyperparameters(adaptation.new, Hyperparameters(config or {}, {}))
    return make_envs(recipe.adapted(adaptation), 1, 0)


@pytest.mark.parametrize(("old", "new"), OF_EACH)
def test_an_old_id_is_played_in_one_of_today(old: str, new: str) -> None:
    size = 2739 if old.startswith("MiniGrid") else None
    found = find_adaptation(old, observation_size=size)
    assert found is not None
    assert (found.old, found.new) == (old, new)
    assert found.told.startswith(old)
    assert "\n" not in found.told
    with contextlib.suppress(MissingPackageError):
        assert find_spec(new).id == new


def test_each_adaptation_is_tested_and_says_why() -> None:
    sizes = (None, 2739)
    used = {found.source + found.reason for old, _ in OF_EACH for size in sizes if (found := _of(old, size))}
    assert {entry.source + entry.reason for entry in ADAPTATIONS if entry.new is not None} == used
    assert all(entry.reason and entry.source for entry in ADAPTATIONS)


def _of(env_id: str, size: int | None) -> Any:
    return find_adaptation(env_id, observation_size=size)


@pytest.mark.parametrize("env_id", UNCHANGED)
def test_ids_of_today_are_left_alone(env_id: str) -> None:
    assert find_adaptation(env_id) is None
    assert today(env_id) == env_id


def test_what_gymnasium_trained_is_not_taken_for_old() -> None:
    assert find_adaptation("parking-v0", of_gym=False) is None
    assert find_adaptation("MiniGrid-DoorKey-5x5-v0", observation_size=2835) is None


@pytest.mark.parametrize("env_id", ["MinitaurBulletEnv-v0", "MinitaurBulletDuckEnv-v0", "KukaBulletEnv-v0"])
def test_what_has_no_successor_says_so(env_id: str) -> None:
    found = find_adaptation(env_id)
    assert found is not None
    assert found.new is None
    assert "no successor" in found.told


def test_an_id_that_the_user_registered_is_the_users() -> None:
    gym.register("Taxi-v3", entry_point="tests.helpers.old_agents:Nothing")
    try:
        assert is_users_own("Taxi-v3")
    finally:
        del gym.registry["Taxi-v3"]
    assert not is_users_own("Ant-v3")
    assert not is_users_own("CartPole-v1")


def test_ant_has_zeros_between_its_observation_and_the_time() -> None:
    env = of("Ant-v3", {"env_wrapper": TIME})
    observation = env.reset()
    assert observation.shape == (1, 112)
    for _ in range(5):
        observation = env.step(np.array([env.action_space.sample()]))[0]
    assert observation[0, :27].all()
    assert not observation[0, 27:111].any()
    assert observation[0, 111] == pytest.approx(1 - 5 / 1000)
    env.close()


@pytest.mark.parametrize("env_id", ["Humanoid-v3", "HumanoidStandup-v2"])
def test_a_humanoid_feels_no_contact_forces(env_id: str) -> None:
    silent, felt = of(env_id), gym.make(today(env_id))
    silent.reset(), felt.reset(seed=0)
    computed = False
    for _ in range(30):
        action = silent.action_space.sample()
        observation, forces = silent.step(action[None])[0][0], felt.step(action)[0]
        assert observation.shape == forces.shape == (376,)
        assert observation[:-84].any()
        assert not observation[-84:].any()
        computed = computed or forces[-84:].any()
    assert computed, "the environment of today computes them"
    silent.close(), felt.close()


@pytest.mark.parametrize(
    ("env_id", "frames", "shape"),
    [
        ("PongDeterministic-v4", 4, (210, 160, 3)),
        ("SpaceInvadersDeterministic-v4", 3, (210, 160, 3)),
        ("SpaceInvaders-ramDeterministic-v4", 3, (128,)),
        ("Pong-ramDeterministic-v4", 4, (128,)),
        ("Pong-ramNoFrameskip-v4", 1, (128,)),
    ],
)
def test_games_repeat_an_action_and_show_what_they_did(env_id: str, frames: int, shape: tuple[int, ...]) -> None:
    env = of(env_id)
    assert env.observation_space.shape in (shape, shape[-1:] + shape[:-1])
    env.reset()
    assert env.step(np.array([0]))[3][0]["episode_frame_number"] == frames
    env.close()


def test_the_taxi_drives_where_a_wall_is_today() -> None:
    env = of("Taxi-v2")
    taxi = env.get_attr("unwrapped")[0]
    left, right = (taxi.encode(1, column, 0, 1) for column in (1, 2))
    env.reset()
    for start, action, end in ((left, 2, right), (right, 3, left)):
        taxi.s = start
        assert (env.step(np.array([action]))[0][0], taxi.s) == (end, end)
    assert taxi.action_mask(left)[2] == taxi.action_mask(right)[3] == 1
    assert gym.make("Taxi-v4").unwrapped.P[left][2][0][1] == left
    env.close()


def test_a_natural_is_no_more_than_twenty_one() -> None:
    adaptation = find_adaptation("Blackjack-v0")
    assert adaptation is not None
    game: Any = gym.make("Blackjack-v1", **adaptation.kwargs)
    game.reset(seed=0)
    game.unwrapped.player, game.unwrapped.dealer = [1, 10], [10, 5, 6]
    assert game.step(0)[1] == 0.0


def test_pictures_of_cars_are_made_as_gym_named_it() -> None:
    wrappers = [
        {"gym.wrappers.resize_observation.ResizeObservation": {"shape": 64}},
        {"gym.wrappers.gray_scale_observation.GrayScaleObservation": {"keep_dim": True}},
    ]
    env = of("CarRacing-v0", {"env_wrapper": wrappers, "frame_stack": 2})
    assert env.reset().shape == (1, 2, 64, 64)
    env.close()


@pytest.mark.parametrize("package", ["gym", "gymnasium"])
@pytest.mark.parametrize("module", ["", "gray_scale_observation."])
def test_pictures_are_grey_as_before_gymnasium_1(package: str, module: str) -> None:
    import cv2

    name = Symbol(f"{package}.wrappers.{module}GrayScaleObservation")
    colours = Nothing(spaces.Box(0, 255, (64, 64, 3), np.uint8), spaces.Discrete(2))
    picture = colours.observation_space.sample()
    for keep_dim, shape in ((True, (64, 64, 1)), (False, (64, 64))):
        env = import_symbol(name, Trust(), "env_wrapper")(colours, keep_dim=keep_dim)
        assert env.observation_space.shape == shape
        np.testing.assert_array_equal(
            env.observation(picture), cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).reshape(shape)
        )
    assert Symbol("gymnasium.wrappers.transform_observation.GrayscaleObservation").path.startswith("gymnasium.")
    with pytest.raises(ConfigurationError, match="pictures in colour"):
        import_symbol(name, Trust(), "env_wrapper")(gym.make("CartPole-v1"))


@pytest.mark.parametrize("package", ["gym", "gymnasium"])
def test_wrappers_have_the_names_that_they_had(package: str) -> None:
    def wrapped(name: str, env: Any, **kwargs: Any) -> Any:
        return import_symbol(f"{package}.wrappers.{name}", Trust(), "env_wrapper")(env, **kwargs)

    colours = Nothing(spaces.Box(0, 255, (96, 96, 3), np.uint8), spaces.Discrete(2))
    resized = wrapped("resize_observation.ResizeObservation", colours, shape=64)
    assert resized.observation_space.shape == (64, 64, 3)
    limited = wrapped("time_limit.TimeLimit", gym.make("CartPole-v1"), max_episode_steps=2)
    stacked = wrapped("frame_stack.FrameStack", limited, num_stack=3)
    first = stacked.reset(seed=0)[0]
    np.testing.assert_array_equal(first, np.repeat(first[-1:], 3, axis=0))
    assert [stacked.step(0)[3] for _ in range(2)] == [False, True]
    for name in ("FrameStack", "ClipAction", "clip_action.ClipAction", "flatten_observation.FlattenObservation"):
        assert import_symbol(f"{package}.wrappers.{name}", Trust(), "env_wrapper")


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: str(provider.extra))
def test_a_missing_package_is_named_with_its_extra(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"minigrid": "MiniGrid-X-v0", "bullet": "XBulletEnv-v0", "panda": "PandaX-v1"}
    name = {**names, "robotics": "FetchX-v1", "highway": "parking-v9"}[provider.extra]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match=rf"{provider.module}.*rl_experiments\[{provider.extra}\]"):
        find_spec(name)


@pytest.mark.parametrize("env_id", ["MiniGrid-FourRooms-v0", "MiniGrid-LockedRoom-v0"])
def test_minigrid_is_encoded_in_27_characters(env_id: str) -> None:
    pytest.importorskip("minigrid")
    env = of(env_id, {"env_wrapper": FLAT}, 2739)
    assert env.observation_space.shape == (2739,)
    observation = env.reset()[0]
    core = env.get_attr("unwrapped")[0]
    np.testing.assert_array_equal(observation[:147], core.gen_obs()["image"].ravel())
    letters = "abcdefghijklmnopqrstuvwxyz "
    words = "".join(letters[row.argmax()] for row in observation[147:].reshape(96, 27) if row.any())
    mission = core.mission.lower()
    assert words == "".join(mission[place - 1] if letter == "," else letter for place, letter in enumerate(mission))
    assert (observation[147:].reshape(96, 27).sum(axis=1) == [1] * len(mission) + [0] * (96 - len(mission))).all()
    env.close()


def test_episodes_of_minigrid_are_as_long_as_they_were() -> None:
    pytest.importorskip("minigrid")
    env = of("MiniGrid-GoToDoor-5x5-v0", {"env_wrapper": FLAT}, 2739)
    assert env.get_attr("unwrapped")[0].max_steps == 125
    env.close()


def test_parking_lasts_a_hundred_steps() -> None:
    pytest.importorskip("highway_env")
    env = of("parking-v0", {"env_wrapper": TIME})
    observation = env.reset()
    length = 0
    done = False
    while not done:
        observation, _, dones, infos = env.step(np.zeros((1, *env.action_space.shape)))
        length, done = length + 1, dones[0]
    assert length == 100
    assert infos[0]["terminal_observation"]["observation"][-1] == pytest.approx(1 - 100 / 1000)
    assert observation["observation"].shape == (1, 7)
    env.close()


@pytest.mark.parametrize("task", ["Push", "PickAndPlace", "Stack", "Slide"])
def test_panda_has_the_physics_of_its_first_version(task: str) -> None:
    pytest.importorskip("panda_gym")
    env = of(f"Panda{task}-v1", {"env_wrapper": TIME})
    simulation = env.get_attr("unwrapped")[0].task.sim
    friction = {"Push": 0.5, "Slide": 0.5}.get(task, 5.0)
    objects = [body for name, body in simulation._bodies_idx.items() if name.startswith("object")]
    assert len(objects) == (2 if task == "Stack" else 1)
    for body in objects:
        assert simulation.physics_client.getDynamicsInfo(body, -1)[:2] == (2.0, friction)
    assert simulation.physics_client.getDynamicsInfo(simulation._bodies_idx["table"], -1)[1] == 0.1
    env.reset(), env.step(np.array([env.action_space.sample()]))
    env.close()


def test_a_goal_space_becomes_one_vector() -> None:
    from stable_baselines3.common.vec_env import DummyVecEnv

    from rl_experiments.envs.adapters import GoalInObservation

    parts = {"achieved_goal": 2, "desired_goal": 2, "observation": 3}
    space = spaces.Dict({key: spaces.Box(-1, 1, (size,)) for key, size in parts.items()})
    env = GoalInObservation(DummyVecEnv([lambda: Nothing(space, spaces.Box(-1, 1, (1,)))]))
    assert env.reset().shape == (1, 5)
    assert env.observation_space.contains(env.step(np.zeros((1, 1)))[0][0])
