"""MuJoCo's pictures: no ghosts, a camera that follows, and something to see whatever fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rl_experiments import EnvironmentRecipe, load_agent, record
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.envs import graphics, painter
from rl_experiments.envs.graphics import choose_graphics
from rl_experiments.recording.cameras import find_walker, view_of
from rl_experiments.recording.looks import Look
from rl_experiments.recording.pictures import picture_source
from rl_experiments.recording.schematic import Schematic
from tests.evaluation.test_playing import Constant
from tests.helpers.tiny import tiny_experiment
from tests.helpers.videos import decoded
from tests.helpers.watching import moments_of

mujoco = pytest.importorskip("mujoco")

HERE = Path(__file__).resolve().parent
CODEC_LOSS = 4.0
"""Mean difference of a pixel between a picture and what a video keeps of it, of 255."""
CART = """<mujoco><worldbody><geom type="plane" size="50 50 .1"/><body name="cart"{at}>{joint}
<geom type="box" size=".3 .2 .1" pos="0 0 .2" rgba="1 0 0 1" mass="1"/>
<body pos="0 0 .4"><joint name="arm" axis="0 1 0"/>
<geom type="capsule" size=".05 .3"/></body></body></worldbody>
<actuator><motor joint="{motor}"/></actuator></mujoco>"""


class _Still(Constant):
    """An agent that does the same in each step, in whatever space."""

    def __init__(self, action: Any) -> None:
        super().__init__()
        self._always = action

    def predict(self, observation: Any, *_: Any, **__: Any) -> tuple[np.ndarray, None]:  # type: ignore[override]
        return np.stack([self._always] * len(observation)), None


def _fresh_frames(folder: Path, env_id: str, seed: int, actions: list[Any], **kwargs: Any) -> np.ndarray:
    np.save(folder / "actions.npy", np.stack(actions))
    script = HERE.parent / "helpers" / "fresh_frames.py"
    arguments = [env_id, str(seed), str(folder / "actions.npy"), str(folder / "frames.npy"), json.dumps(kwargs)]
    backend = choose_graphics().backend
    assert backend is not None
    env = {**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
    subprocess.run([sys.executable, str(script), *arguments], check=True, env=env, timeout=120)
    return np.load(folder / "frames.npy")


@pytest.mark.parametrize("env_id", [pytest.param("Ant-v5", marks=pytest.mark.slow), "Hopper-v5"])
def test_no_other_environment_shows_in_the_pictures(env_id: str, tmp_path: Path) -> None:
    hyperparams = {"n_envs": 4, "normalize": True}
    run = tiny_experiment("ppo", env_id, tmp_path, hyperparams=hyperparams, n_timesteps=128).run().run
    agent = load_agent(run)
    os.environ["MUJOCO_GL"] = str(choose_graphics().backend)
    others = [gym.make(name, render_mode="rgb_array") for name in ("HalfCheetah-v5", "Reacher-v5")]
    for other in others:
        other.reset(seed=0)

    def disturb(count: int) -> None:
        if count == 8:
            others.pop().close()
        for other in others:
            other.render()

    moments = moments_of(agent, agent.recipe, 12, seed=5, look=Look(quality="full"), after=disturb)
    others.pop().close()
    first = [moment for moment in moments if moment.episode == 1]
    expected = _fresh_frames(tmp_path, env_id, 5, [moment.action for moment in first[1:]], camera_name="track")
    assert len(first) > 8
    for moment, frame in zip(first, expected, strict=True):
        np.testing.assert_array_equal(moment.picture, frame)
    video = record(agent, tmp_path / "video.mp4", n_steps=len(first) - 1, seed=5, look=Look(quality="full"))
    for kept, frame in zip(decoded(video.path)[1], expected, strict=True):
        assert np.abs(kept.astype(int) - frame).mean() < CODEC_LOSS


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("Ant", "HalfCheetah", "Hopper", "Humanoid", "HumanoidStandup", "InvertedDoublePendulum"),
        *("InvertedPendulum", "Pusher", "Reacher", "Swimmer", "Walker2d"),
    ],
)
def test_full_quality_is_gymnasiums_own_picture(name: str, tmp_path: Path) -> None:
    recipe = EnvironmentRecipe(f"{name}-v5")
    env = gym.make(recipe.env_id)
    follows = find_walker(env.unwrapped.model) is not None  # type: ignore[attr-defined]
    agent = _Still(0.5 * env.action_space.high)  # type: ignore[attr-defined]
    moments = moments_of(agent, recipe, 20, look=Look(quality="full"))  # type: ignore[arg-type]
    first = [moment for moment in moments if moment.episode == 1]
    kwargs = {"camera_name": "track"} if follows else {}
    expected = _fresh_frames(tmp_path, recipe.env_id, 0, [moment.action for moment in first[1:]], **kwargs)
    np.testing.assert_array_equal(np.stack([moment.picture for moment in first]), expected)


def _model(joint: str, motor: str = "arm", at: str = "") -> Any:
    return mujoco.MjModel.from_xml_string(CART.format(joint=joint, motor=motor, at=at))


@pytest.mark.parametrize(
    ("joint", "walks"),
    [
        ("<freejoint/>", True),
        ('<joint name="rail" type="slide" axis="1 0 0"/>', True),
        ('<joint name="rail" type="slide" axis="1 0 0" limited="true" range="-1 1"/>', False),
        ('<joint name="rail" type="slide" axis="1 0 0" damping="1e11"/>', False),
        ('<joint name="rail" type="slide" axis="0 0 1"/>', False),
        ('<joint name="rail" axis="0 0 1"/>', False),
        ("", False),
    ],
)
def test_what_walks_is_found_without_its_name(joint: str, walks: bool) -> None:
    assert find_walker(_model(joint)) == (1 if walks else None)


def test_an_object_that_lies_about_is_none_that_walks() -> None:
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><body><freejoint/><geom size=".1"/></body><body><joint name="a"/><geom size=".1"/></body>'
        '</worldbody><actuator><motor joint="a"/></actuator></mujoco>'
    )
    assert find_walker(model) is None


def test_a_model_without_cameras_stays_in_the_picture() -> None:
    model = _model("<freejoint/>")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    drawing = Schematic(model, view_of(model, data, None, None, True), 160, 120)
    for place in (0.0, 30.0):
        data.qpos[:2] = place, -place
        mujoco.mj_forward(model, data)
        picture = drawing.draw(data).astype(int)
        rows, columns = np.nonzero((picture[:, :, 0] > 120) & (picture[:, :, 1] < 60))
        assert len(rows) > 50
        assert abs(np.mean(columns) - 80) < 30
        assert abs(np.mean(rows) - 60) < 30


def test_where_nothing_draws_bodies_are_drawn_and_the_package_is_named(
    monkeypatch: pytest.MonkeyPatch, fresh_cache: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(graphics, "BACKENDS", ("nonsense",))
    said: list[str] = []
    recipe = EnvironmentRecipe("Ant-v5")
    result = record(_Still(np.zeros(8)), tmp_path / "a.mp4", recipe, n_steps=5, say=said.append)  # type: ignore[arg-type]
    assert len(decoded(result.path)[1]) == result.n_frames == 6
    assert [graphics.how_to_install() in text for text in said] == [True]
    frames = decoded(result.path)[1].astype(int)
    is_ant = (frames[-1][:, :, 0] - frames[-1][:, :, 2]) > 30
    assert 1000 < is_ant.sum() < 100_000


def test_the_plain_shapes_are_where_the_bodies_are() -> None:
    env = gym.make("Ant-v5")
    env.reset(seed=0)
    model, data = env.unwrapped.model, env.unwrapped.data  # type: ignore[attr-defined]
    camera = view_of(model, data, None, None, True)
    plain = Schematic(model, camera, 480, 480).draw(data).astype(int)
    source = picture_source(gym.make("Ant-v5", render_mode="rgb_array"), Look(quality="fast"), pytest.fail)
    source._env.reset(seed=0)  # type: ignore[attr-defined]
    try:
        drawn = source().astype(int)
    finally:
        source.close()
    ants = [(picture[:, :, 0] - picture[:, :, 2]) > 30 for picture in (plain, drawn)]
    assert (ants[0] & ants[1]).sum() / (ants[0] | ants[1]).sum() > 0.8


@pytest.mark.parametrize("others", [True, False])
def test_a_renderer_that_crashes_does_not_end_the_video(
    others: bool, monkeypatch: pytest.MonkeyPatch, fresh_cache: Path, tmp_path: Path
) -> None:
    painters: list[Any] = []

    class Watched(painter.Painter):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            painters.append(self)

    monkeypatch.setattr(painter, "Painter", Watched)
    monkeypatch.setattr(
        "rl_experiments.recording.apart.can_isolate", lambda: False
    )  # the process that draws is known here
    if not others:
        monkeypatch.setattr(graphics, "BACKENDS", (str(choose_graphics().backend),))
        graphics._choose.cache_clear()
    said: list[str] = []

    def crash(step: int) -> None:
        if step == 3:
            painters[-1]._process.kill()

    agent: Any = _Still(np.zeros(3))
    result = record(
        agent, tmp_path / "a.mp4", EnvironmentRecipe("Hopper-v5"), n_steps=8, on_progress=crash, say=said.append
    )
    assert len(decoded(result.path)[1]) == result.n_frames == 9
    assert "stopped drawing" in said[0]
    assert len(said) == (1 if others and len(painters) > 1 else 2)


def test_a_memory_that_has_become_wrong_heals(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    works = choose_graphics().backend
    path = fresh_cache / "graphics.json"
    (key,) = json.loads(path.read_text())
    path.write_text(json.dumps({key: {"backend": "glfw", "failed": {}}}))
    graphics._choose.cache_clear()
    monkeypatch.delenv("DISPLAY", raising=False)
    assert choose_graphics().backend == "glfw"
    moments = moments_of(_Still(np.zeros(3)), EnvironmentRecipe("Hopper-v5"), 2)  # type: ignore[arg-type]
    assert moments[0].picture.std() > 10
    assert json.loads(path.read_text()).get(key, {}).get("backend") in (None, works)
    path.write_text("{damaged")
    graphics._choose.cache_clear()
    assert choose_graphics().backend == works


def test_a_broken_setting_stops_nothing(tmp_path: Path) -> None:
    code = (
        "from rl_experiments.envs import EnvironmentRecipe, make_envs;"
        "env = make_envs(EnvironmentRecipe('Hopper-v5'), 1, 0); env.reset(); env.step([env.action_space.sample()])"
    )
    variables = {**os.environ, "MUJOCO_GL": "nonsense", "RL_EXPERIMENTS_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "MUJOCO_GL=nonsense does not work here" in done.stderr
    assert len([line for line in done.stderr.splitlines() if "MUJOCO_GL" in line]) == 1


def test_an_agent_that_looks_at_pictures_goes_on_seeing_its_own() -> None:
    env = gym.make("Hopper-v5", render_mode="rgb_array")
    env.reset(seed=0)
    own = env.unwrapped.mujoco_renderer  # type: ignore[attr-defined]
    source = picture_source(env, Look(quality="fast"), pytest.fail)
    assert source().shape == (480, 480, 3)
    assert env.unwrapped.mujoco_renderer is own  # type: ignore[attr-defined]
    source.close()


def test_larger_pictures_are_drawn_and_not_enlarged() -> None:
    agent: Any = _Still(np.zeros(3))
    large = moments_of(agent, EnvironmentRecipe("Hopper-v5"), 1, look=Look(width=960, height=540, quality="fast"))
    assert large[0].picture.shape == (540, 960, 3)
    blocks = large[0].picture.reshape(270, 2, 480, 2, 3)
    assert (blocks != blocks[:, :1, :, :1]).any()


def test_what_draws_in_one_size_only_says_so(tmp_path: Path) -> None:
    agent: Any = _Still(0)
    with pytest.raises(ConfigurationError, match="600x400"):
        record(agent, tmp_path / "a.mp4", EnvironmentRecipe("CartPole-v1"), look=Look(width=800))
    assert list(tmp_path.iterdir()) == []


def test_fast_pictures_are_those_without_shadows() -> None:
    agent: Any = _Still(np.zeros(3))
    pictures = [
        moments_of(agent, EnvironmentRecipe("Hopper-v5"), 1, look=Look(quality=quality))[0].picture
        for quality in ("fast", "full", None)
    ]
    assert (pictures[0] != pictures[1]).any()
    assert np.array_equal(pictures[2], pictures[0]) or np.array_equal(pictures[2], pictures[1])
