"""Images of what SB3's own ``evaluate_policy`` plays."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv, VecNormalize

from rl_experiments import FrameCallback, RLExperimentsError

DRAWS = "toy_pictures:ToyDraws-v0"


class Zero:
    """A policy that always takes the first action."""

    def predict(self, observation: Any, state: Any = None, **others: Any) -> tuple[np.ndarray, Any]:
        return np.zeros(len(observation), dtype=int), state


def _evaluate(env: Any, n_episodes: int, callback: Any = None) -> tuple[list[float], list[int]]:
    model: Any = Zero()
    played: Any = evaluate_policy(model, env, n_episodes, callback=callback, return_episode_rewards=True, warn=False)
    return played


def _lengths(folder: Path) -> list[int]:
    """Check an environment's folder against its index; :return: the lengths of its episodes"""
    with (folder / "index.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    lengths: list[int] = []
    for row in rows:
        episode, step = int(row["episode"]), int(row["step"])
        assert (folder / f"{episode:03d}" / f"{step:06d}.png").is_file()
        if step == 0:
            lengths.append(0)
        else:
            assert (episode, step) == (len(lengths), lengths[-1] + 1)
            lengths[-1] = step
    ends = [row for row in rows if row["done"] == "1"]
    assert [int(row["step"]) for row in ends] == lengths
    assert len(list(folder.glob("*/*.png"))) == sum(lengths) + len(lengths)
    return lengths


def _brightness(folder: Path, episode: int) -> list[int]:
    images = sorted((folder / f"{episode:03d}").glob("*.png"))
    return [int(np.asarray(Image.open(image)).mean()) for image in images]


def test_every_environment_and_every_step_from_the_reset_to_the_true_end(tmp_path: Path) -> None:
    env: VecEnv = make_vec_env(DRAWS, n_envs=3, seed=4)
    alone = _evaluate(env, 7)
    env = VecNormalize(make_vec_env(DRAWS, n_envs=3, seed=4), training=False, norm_reward=False)
    frames = FrameCallback(tmp_path, env)
    assert _evaluate(env, 7, frames) == alone
    assert frames.folder == tmp_path / "frames"
    shares = [_lengths(frames.folder / f"env-{index}") for index in range(3)]
    assert [len(share) for share in shares] == [2, 2, 3]
    assert sorted(length for share in shares for length in share) == sorted(alone[1])
    for index, share in enumerate(shares):
        for episode, length in enumerate(share, start=1):
            expected = [20 * step for step in range(length + 1)]
            assert _brightness(frames.folder / f"env-{index}", episode) == expected
    _evaluate(env, 3, frames)
    assert frames.folder == tmp_path / "frames_2"
    assert [len(_lengths(frames.folder / f"env-{index}")) for index in range(3)] == [1, 1, 1]
    frames.close()
    assert "step" not in vars(env.unwrapped.envs[0])  # type: ignore[attr-defined]


def test_a_single_environment_and_some_of_its_steps(tmp_path: Path) -> None:
    env = gym.make("toy_pictures:ToyPainted-v0", render_mode="rgb_array", max_episode_steps=5)
    frames = FrameCallback(tmp_path, env, every=2)
    _evaluate(env, 2, frames)
    assert frames.folder is not None
    assert _brightness(frames.folder, 1) == _brightness(frames.folder, 2) == [0, 40, 80]
    env.close()


def test_a_lost_life_is_no_end(tmp_path: Path) -> None:
    import ale_py

    gym.register_envs(ale_py)
    env = make_atari_env("BreakoutNoFrameskip-v4", n_envs=1, seed=0)
    model = PPO("CnnPolicy", env, seed=0, n_steps=8, batch_size=8)
    frames = FrameCallback(tmp_path, env)
    steps = []

    def count(local_values: dict[str, Any], global_values: dict[str, Any]) -> None:
        steps.append(local_values["done"])
        frames(local_values, global_values)

    evaluate_policy(model, env, n_eval_episodes=1, deterministic=False, callback=count)
    assert sum(steps) == 5  # lives
    assert frames.folder is not None
    assert _lengths(frames.folder) == [len(steps)]
    env.close()


def test_what_would_give_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RLExperimentsError, match='render_mode="rgb_array"'):
        FrameCallback(tmp_path, gym.make(DRAWS))
    frames = FrameCallback(tmp_path, make_vec_env(DRAWS, 1))
    with pytest.raises(RLExperimentsError, match="another environment"):
        _evaluate(make_vec_env(DRAWS, 1), 1, frames)


def test_an_evaluation_that_breaks_off_leaves_what_it_has(tmp_path: Path) -> None:
    env = make_vec_env("toy_pictures:ToyPainted-v0", 1, env_kwargs={"fault": "error", "at": 4})
    frames = FrameCallback(tmp_path, env)
    with pytest.raises(RLExperimentsError, match="the toy broke"):
        _evaluate(env, 1, frames)
    frames.close()
    assert frames.folder == tmp_path / "frames.partial"
    assert len(list(frames.folder.glob("001/*.png"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: make_vec_env(DRAWS, 2, seed=4, vec_env_cls=SubprocVecEnv)])
def test_environments_in_other_processes(make: Callable[[], VecEnv], tmp_path: Path) -> None:
    env = make()
    frames = FrameCallback(tmp_path, env)
    _, lengths = _evaluate(env, 4, frames)
    assert frames.folder is not None
    shares = [_lengths(frames.folder / f"env-{index}") for index in range(2)]
    assert sorted(length for share in shares for length in share) == sorted(lengths)
    frames.close()
    _evaluate(env, 2)
    env.close()
