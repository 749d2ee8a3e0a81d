"""From hyperparameters to environments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize, unwrap_vec_wrapper

from rl_experiments import EnvironmentRecipe, load_agent
from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core import pickles
from rl_experiments.core.errors import ConfigurationError, MissingPackageError, NotFoundError, UntrustedError
from rl_experiments.core.symbols import Trust
from rl_experiments.envs import make_envs, registry
from tests.helpers.tiny import tiny_experiment

ATARI = "stable_baselines3.common.atari_wrappers.AtariWrapper"


def _recipe(env_id: str, **values: Any) -> EnvironmentRecipe:
    return EnvironmentRecipe.from_hyperparameters(env_id, Hyperparameters(values), trust=Trust(any_name=True))


def _layers(env: gym.Env) -> list[str]:
    names = []
    while isinstance(env, gym.Wrapper):
        names.append(type(env).__name__)
        env = env.env
    return names


def _normalization(env: VecEnv) -> VecNormalize:
    found = unwrap_vec_wrapper(env, VecNormalize)
    assert isinstance(found, VecNormalize)
    return found


def test_a_recipe_holds_what_the_hyperparameters_say() -> None:
    recipe = EnvironmentRecipe.from_hyperparameters(
        "Pendulum-v1",
        Hyperparameters(
            {
                "env_kwargs": "dict(g=9.0, render_mode=None)",
                "env_wrapper": [{"rl_zoo3.wrappers.FrameSkip": {"skip": 2}}, "rl_zoo3.wrappers.HistoryWrapper"],
                "frame_stack": 3,
                "normalize": "dict(norm_reward=False)",
                "gamma": 0.9,
                "monitor_kwargs": {"info_keywords": ["x"]},
            }
        ),
        {"g": 5.0},
    )
    assert recipe.kwargs == {"g": 5.0, "render_mode": None}
    assert recipe.wrappers == (
        ("rl_zoo3.wrappers.FrameSkip", {"skip": 2}),
        ("rl_zoo3.wrappers.HistoryWrapper", {}),
    )
    assert recipe.frame_stack == 3
    assert recipe.normalize == {"norm_reward": False, "gamma": 0.9}
    assert recipe.monitor_kwargs == {"info_keywords": ("x",)}


def test_wrappers_stand_around_monitor_in_the_order_written() -> None:
    recipe = _recipe(
        "Pendulum-v1", env_wrapper=["rl_zoo3.wrappers.HistoryWrapper", {"rl_zoo3.wrappers.FrameSkip": {"skip": 2}}]
    )
    env = make_envs(recipe, 2, 0)
    assert _layers(env.envs[0])[:3] == ["FrameSkip", "HistoryWrapper", "Monitor"]  # type: ignore[attr-defined]
    assert env.num_envs == 2
    env.close()


def test_arguments_reach_the_constructor() -> None:
    env = make_envs(_recipe("Pendulum-v1", env_kwargs={"g": 3.0}), 2, 0)
    assert env.get_attr("g") == [3.0, 3.0]
    env.close()


def test_vector_wrappers_go_below_normalisation_and_stacking() -> None:
    recipe = _recipe(
        "Pendulum-v1",
        vec_env_wrapper="stable_baselines3.common.vec_env.VecMonitor",
        normalize=True,
        frame_stack=2,
    )
    env, names = make_envs(recipe, 1, 0, training=True), []
    layer: Any = env
    while layer is not None:
        names.append(type(layer).__name__)
        layer = getattr(layer, "venv", None)
    assert names == ["LeanFrameStack", "VecNormalize", "VecMonitor", "LeanVecEnv"]
    assert env.observation_space.shape == (6,)
    env.close()


def test_each_environment_has_its_own_seed() -> None:
    recipe = _recipe("CartPole-v1")
    three = make_envs(recipe, 3, 10).reset()
    assert not np.array_equal(three[0], three[1])
    np.testing.assert_array_equal(make_envs(recipe, 1, 12).reset()[0], three[2])


def test_monitor_files_are_written_for_training(tmp_path: Path) -> None:
    env = make_envs(_recipe("toy_envs:ToyLine-v0"), 2, 0, monitor_folder=tmp_path)
    env.reset()
    for _ in range(10):
        env.step(np.zeros(2, int))
    env.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.monitor.csv", "1.monitor.csv"]
    assert (tmp_path / "1.monitor.csv").read_text().splitlines()[2].startswith("55.0,10,")


@pytest.mark.parametrize("training", [True, False])
def test_normalisation_learns_in_training_only(training: bool) -> None:
    env = make_envs(_recipe("Pendulum-v1", normalize=True, gamma=0.9), 1, 0, training=training)
    normalization = _normalization(env)
    env.reset()
    before = normalization.obs_rms.count
    env.step(np.zeros((1, 1)))
    assert (normalization.obs_rms.count > before) is training
    assert normalization.norm_reward is training
    assert normalization.gamma == 0.9
    env.close()


def test_saved_statistics_are_those_that_apply(normalized_run) -> None:
    agent = load_agent(normalized_run)
    env = make_envs(agent.recipe, 1, 0)
    normalization = _normalization(env)
    saved = pickles.loads(normalized_run.final_statistics.read_bytes())
    np.testing.assert_array_equal(normalization.obs_rms.mean, saved.obs_rms.mean)
    assert saved.obs_rms.count > 100
    assert not normalization.training
    assert not normalization.norm_reward
    env.close()


def test_normalisation_survives_saving_and_reading(tmp_path: Path) -> None:
    env = make_envs(_recipe("Pendulum-v1", normalize=True), 1, 0, training=True)
    env.reset()
    for _ in range(20):
        env.step(np.ones((1, 1)))
    normalization = _normalization(env)
    normalization.save(str(tmp_path / "v.pkl"))
    loaded = pickles.loads((tmp_path / "v.pkl").read_bytes())
    observation = np.array([[0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(loaded.normalize_obs(observation), normalization.normalize_obs(observation))
    assert vars(loaded.ret_rms) == vars(normalization.ret_rms)


def test_statistics_of_another_environment_are_an_error(normalized_run) -> None:
    from dataclasses import replace

    recipe = replace(_recipe("CartPole-v1"), statistics=normalized_run.final_statistics)
    with pytest.raises(ConfigurationError, match="do not fit CartPole-v1"):
        make_envs(recipe, 1, 0)


def test_statistics_that_are_something_else_are_an_error(tmp_path: Path) -> None:
    import pickle
    from dataclasses import replace

    recipe = replace(_recipe("CartPole-v1"), statistics=tmp_path / "v.pkl")
    with pytest.raises(NotFoundError):
        make_envs(recipe, 1, 0)
    (tmp_path / "v.pkl").write_bytes(pickle.dumps({"obs_rms": 1}))
    with pytest.raises(ConfigurationError, match="no normalisation statistics"):
        make_envs(recipe, 1, 0)


# --- Atari ---


def _frames_per_step(recipe: EnvironmentRecipe) -> int:
    env = make_envs(recipe, 1, 0)
    env.reset()
    ale = env.get_attr("ale")[0]
    before = ale.getEpisodeFrameNumber()
    env.step(np.zeros(1, int))
    after = ale.getEpisodeFrameNumber()
    env.close()
    return after - before


@pytest.mark.parametrize("env_id", ["PongNoFrameskip-v4", "ALE/Pong-v5"])
def test_a_step_of_an_atari_agent_is_4_frames(env_id: str) -> None:
    assert _frames_per_step(_recipe(env_id, env_wrapper=ATARI).with_single_frame_skip()) == 4


def test_without_the_correction_it_would_be_16() -> None:
    assert _frames_per_step(_recipe("ALE/Pong-v5", env_wrapper=ATARI)) == 16


@pytest.mark.parametrize(
    ("env_id", "values"),
    [
        ("PongNoFrameskip-v4", {"env_wrapper": ATARI}),
        ("ALE/Pong-v5", {}),
        ("ALE/Pong-v5", {"env_wrapper": ATARI, "env_kwargs": {"frameskip": 2}}),
        ("ALE/Pong-v5", {"env_wrapper": [{ATARI: {"frame_skip": 1}}]}),
        ("CartPole-v1", {"env_wrapper": "rl_zoo3.wrappers.FrameSkip"}),
    ],
)
def test_the_frame_skip_stays_where_nothing_skips_twice(env_id: str, values: dict[str, Any]) -> None:
    recipe = _recipe(env_id, **values)
    assert recipe.with_single_frame_skip() is recipe


def test_the_correction_is_said_and_saved(tmp_path: Path) -> None:
    experiment = tiny_experiment(
        "dqn",
        "ALE/Pong-v5",
        tmp_path,
        {"learning_starts": 20, "buffer_size": 60, "batch_size": 4},
        n_timesteps=30,
    )
    assert "Note: ALE/Pong-v5 skips frames itself" in experiment.describe()
    run = experiment.run().run
    assert run.path.name == "ALE-Pong-v5_1"
    assert run.env_id == "ALE/Pong-v5"
    assert load_agent(run).recipe.kwargs["frameskip"] == 1
    assert _frames_per_step(load_agent(run).recipe) == 4


def test_atari_images_are_stacked_and_channels_come_first() -> None:
    env = make_envs(_recipe("PongNoFrameskip-v4", env_wrapper=ATARI, frame_stack=4), 2, 0)
    assert env.observation_space.shape == (4, 84, 84)
    assert unwrap_vec_wrapper(env, VecFrameStack) is not None
    assert env.reset().shape == (2, 4, 84, 84)
    env.close()


# --- Ids ---


@pytest.mark.parametrize("env_id", ["CartPoleNoVel-v1", "PendulumNoVel-v1", "MountainCarContinuousNoVel-v0"])
def test_environments_without_velocities_have_the_ids_of_the_zoo(env_id: str) -> None:
    env = make_envs(_recipe(env_id), 1, 0)
    env.reset()
    observation = env.step(np.stack([env.action_space.sample()]))[0][0]
    hidden = {"CartPoleNoVel-v1": [1, 3], "PendulumNoVel-v1": [2], "MountainCarContinuousNoVel-v0": [1]}[env_id]
    assert not observation[hidden].any()
    assert np.delete(observation, hidden).any()
    env.close()


def test_environments_without_velocities_have_their_time_limit() -> None:
    """The id is registered around the whole environment, its limit included."""
    env = make_envs(_recipe("PendulumNoVel-v1"), 1, 0)
    env.reset()
    dones = [env.step(np.zeros((1, 1)))[2][0] for _ in range(200)]
    assert dones == [False] * 199 + [True]
    env.close()


@pytest.mark.parametrize(
    ("env_id", "part"),
    [
        ("CartPol-v1", "'CartPole-v1'"),
        ("nothing:Env-v0", "no package 'nothing'"),
        ("toy_envs:Toyline-v0", "ToyLine-v0"),
    ],
)
def test_an_unknown_id_is_an_error_with_the_nearest(env_id: str, part: str) -> None:
    with pytest.raises(NotFoundError, match=part):
        registry.find_spec(env_id)


@pytest.mark.parametrize(
    ("env_id", "extra", "module"),
    [
        ("MiniGrid-Empty-5x5-v0", "minigrid", "minigrid"),
        ("HopperBulletEnv-v0", "bullet", "pybullet_envs_gymnasium"),
        ("PandaReach-v3", "panda", "panda_gym"),
        ("FetchReach-v4", "robotics", "gymnasium_robotics"),
        ("parking-v0", "highway", "highway_env"),
    ],
)
def test_an_id_of_a_package_that_is_not_installed_names_the_extra(env_id: str, extra: str, module: str) -> None:
    import importlib.util

    if importlib.util.find_spec(module):
        assert registry.find_spec(env_id)
    else:
        with pytest.raises((NotFoundError, MissingPackageError), match=rf"rl_experiments\[{extra}\]"):
            registry.find_spec(env_id)


def test_atari_acts_stochastically_by_default_and_others_do_not() -> None:
    assert registry.is_atari("PongNoFrameskip-v4")
    assert registry.acts_stochastically("ALE/Pong-v5")
    assert not registry.acts_stochastically("CartPole-v1")


def test_goal_environments_report_success_to_monitor() -> None:
    assert registry.success_keyword("CartPole-v1") is None


def test_wrappers_of_others_need_trust() -> None:
    recipe = EnvironmentRecipe("toy_envs:ToyLine-v0", wrappers=(("os.system", {}),))
    with pytest.raises(UntrustedError, match="--trust"):
        make_envs(recipe, 1, 0)


def test_a_wrapper_of_the_users_own_needs_its_package_named() -> None:
    recipe = EnvironmentRecipe.from_hyperparameters(
        "toy_envs:ToyLine-v0", Hyperparameters({"env_wrapper": {"toy_envs.AddsOne": {"amount": 2.0}}})
    )
    env = make_envs(recipe, 1, 0)
    assert env.reset()[0][0] == 2.0
    env.close()


def test_the_evaluation_environment_is_the_training_one_without_a_window(tmp_path: Path) -> None:
    from rl_experiments.training.preparation import prepare

    experiment = tiny_experiment(
        "a2c",
        "Pendulum-v1",
        tmp_path,
        {"env_kwargs": {"g": 9.0}, "env_wrapper": "rl_zoo3.wrappers.HistoryWrapper"},
        env_kwargs={"render_mode": "rgb_array"},
    )
    recipe = prepare(experiment).configuration.evaluation_recipe
    assert recipe.kwargs == {"g": 9.0}
    assert recipe.wrappers[0][0] == "rl_zoo3.wrappers.HistoryWrapper"
    with_own = prepare(
        tiny_experiment("a2c", "Pendulum-v1", tmp_path, {"env_kwargs": {"g": 9.0}}, eval_env_kwargs={"g": 1.0})
    ).configuration
    assert with_own.evaluation_recipe.kwargs == {"g": 1.0}
    assert with_own.recipe.kwargs == {"g": 9.0}


def test_an_environment_without_a_limit_is_limited_for_evaluation(tmp_path: Path) -> None:
    from rl_experiments.training.preparation import prepare

    configuration = prepare(tiny_experiment("ppo", "toy_envs:ToyEndless-v0", tmp_path)).configuration
    assert configuration.evaluation_recipe.max_episode_steps == 100_000
    assert configuration.recipe.max_episode_steps is None
