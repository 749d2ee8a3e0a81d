"""Environments of the extras: found, played and drawn without a screen, where the extra is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.commands import run_python

PROBE = """
import os
for name in ("DISPLAY", "WAYLAND_DISPLAY"):
    os.environ.pop(name, None)
import numpy as np
from rl_experiments import EnvironmentRecipe
from rl_experiments.envs import make_envs
from rl_experiments.envs.rendering import prepare_offscreen_rendering

prepare_offscreen_rendering()
env = make_envs(EnvironmentRecipe({env_id!r}, kwargs={{"render_mode": "rgb_array"}}, wrappers={wrappers!r}), 1, 0)
env.action_space.seed(0)
env.reset()
frames = [env.render()]
for _ in range({steps}):
    env.step(np.array([env.action_space.sample()]))
    frames.append(env.render())
env.close()
np.savez("frames.npz", first=frames[0], last=frames[-1])
"""
FLAT = (("minigrid.wrappers.FlatObsWrapper", {}),)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "env_id", "wrappers"),
    [
        ("pybullet_envs_gymnasium", "HopperBulletEnv-v0", ()),
        ("pybullet_envs_gymnasium", "AntBulletEnv-v0", ()),
        ("panda_gym", "PandaReach-v3", ()),
        ("panda_gym", "PandaPickAndPlace-v3", ()),
        ("gymnasium_robotics", "FetchReach-v4", ()),
        ("gymnasium_robotics", "FetchPush-v4", ()),
        ("gymnasium_robotics", "HandReach-v3", ()),
        ("gymnasium_robotics", "AdroitHandDoor-v1", ()),
        ("gymnasium_robotics", "PointMaze_UMaze-v3", ()),
        ("highway_env", "highway-fast-v0", ()),
        ("highway_env", "parking-v0", ()),
        ("highway_env", "highway_env:merge-v0", ()),
        ("minigrid", "MiniGrid-DoorKey-5x5-v0", FLAT),
        ("minigrid", "BabyAI-GoToRedBall-v0", FLAT),
    ],
)
def test_an_environment_of_an_extra_is_played_and_drawn(
    module: str, env_id: str, wrappers: tuple[object, ...], tmp_path: Path
) -> None:
    pytest.importorskip(module)
    result = run_python("-c", PROBE.format(env_id=env_id, wrappers=wrappers, steps=8), cwd=tmp_path)
    assert result.code == 0, result.err
    frames = np.load(tmp_path / "frames.npz")
    assert frames["first"].dtype == np.uint8
    assert frames["first"].std() > 5, "the picture is of one colour"
    assert (frames["first"] != frames["last"]).any(), "nothing moves"
