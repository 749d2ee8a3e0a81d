"""Every family of environments in every format, with no display."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from rl_experiments import EnvironmentRecipe, record, record_frames
from tests.evaluation.test_playing import Constant
from tests.helpers.videos import decoded

ATARI = (("stable_baselines3.common.atari_wrappers.AtariWrapper", {}),)
BOUND = 6.0
"""Mean difference of a frame, of 255, that a codec may make: chroma at half the resolution, or 256 colours."""
# The id, the extra's package, an action, frames per second.
DRAWN_BY_THEMSELVES = [
    ("CartPole-v1", None, 1, 50),
    ("Pendulum-v1", None, [0.5], 30),
    ("MountainCar-v0", None, 2, 30),
    ("LunarLander-v3", "Box2D", 2, 50),
    ("BipedalWalker-v3", "Box2D", [0.1, -0.2, 0.3, 0.0], 50),
    ("FrozenLake-v1", None, 2, 4),
    ("Taxi-v4", None, 0, 4),
    ("CliffWalking-v1", None, 0, 4),
]
DRAWN_FOR_THE_RECORDING = [
    ("BreakoutNoFrameskip-v4", "ale_py", 1, 15),
    ("ALE/Pong-v5", "ale_py", 2, 15),
    ("Hopper-v5", "mujoco", [0.1, 0.1, 0.1], 125),
    ("InvertedPendulum-v5", "mujoco", [0.1], 25),
]


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)


def _recipe(env_id: str) -> EnvironmentRecipe:
    return EnvironmentRecipe(env_id, wrappers=ATARI if "NoFrameskip" in env_id else ())


def _images(folder: Path) -> tuple[list[dict[str, str]], np.ndarray]:
    with (folder / "index.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return rows, np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*/*.png"))])


@pytest.mark.slow
@pytest.mark.parametrize(("env_id", "package", "action", "fps"), [*DRAWN_BY_THEMSELVES, *DRAWN_FOR_THE_RECORDING])
def test_videos_show_the_images(env_id: str, package: str | None, action: Any, fps: float, tmp_path: Path) -> None:
    if package:
        pytest.importorskip(package)
    settings: dict[str, Any] = {"n_steps": 40, "seed": 7}
    agent: Any = Constant(action)
    rows, images = _images(record_frames(agent, tmp_path, _recipe(env_id), **settings).folder)
    assert 2 <= len(rows) == len(images) <= 41
    for suffix in (".mp4", ".webm", ".gif"):
        result = record(agent, tmp_path / f"replay{suffix}", _recipe(env_id), **settings)
        information, frames = decoded(result.path)
        shown = min(fps, 50) if suffix == ".gif" else fps
        assert result.fps == shown
        if suffix != ".gif":  # whose delays are hundredths of a second, 6 and 7 in turns
            assert information["fps"] == pytest.approx(shown, rel=0.01)
        assert information["duration"] == pytest.approx(len(images) / shown, abs=0.11)
        height, width = images.shape[1:3]
        assert frames.shape[0] == result.n_frames == len(images)
        odd = 0 if suffix == ".gif" else 1
        assert frames.shape[1:3] == (height + odd * (height % 2), width + odd * (width % 2))
        differences = np.abs(frames[:, :height, :width].astype(int) - images).mean(axis=(1, 2, 3))
        assert differences.max() < BOUND


@pytest.mark.slow
@pytest.mark.parametrize(("env_id", "package", "action", "fps"), DRAWN_BY_THEMSELVES)
def test_images_are_those_of_a_fresh_environment(
    env_id: str, package: str | None, action: Any, fps: float, tmp_path: Path
) -> None:
    if package:
        pytest.importorskip(package)
    agent: Any = Constant(action)
    rows, images = _images(record_frames(agent, tmp_path, _recipe(env_id), n_steps=25, seed=7).folder)
    env = gym.make(env_id, render_mode="rgb_array")
    env.reset(seed=7)
    for row, image in zip(rows, images, strict=True):
        if row["action"]:
            taken = np.asarray(json.loads(row["action"]), env.action_space.dtype)
            _, reward, terminated, truncated, _ = env.step(int(taken) if taken.ndim == 0 else taken)
            assert float(row["reward"]) == pytest.approx(float(reward))
            assert int(row["done"]) == (terminated or truncated)
        assert np.array_equal(image, env.render())
    env.close()


@pytest.mark.slow
def test_a_lost_life_ends_no_episode_and_adds_no_frame(tmp_path: Path) -> None:
    pytest.importorskip("ale_py")
    agent: Any = Constant(1)  # never moves, and loses all five lives
    result = record_frames(agent, tmp_path, _recipe("BreakoutNoFrameskip-v4"), seed=1)
    rows, _ = _images(result.folder)
    assert result.complete
    assert [int(row["step"]) for row in rows] == list(range(len(rows)))
    assert [int(row["done"]) for row in rows] == [0] * (len(rows) - 1) + [1]
    assert sum(float(row["reward"]) for row in rows) == result.episodes[0].total_reward
