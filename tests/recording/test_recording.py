"""Videos hold the frames that the agent saw, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rl_experiments import EnvironmentRecipe, Run, load_agent, record
from rl_experiments.core.symbols import Trust
from rl_experiments.recording import RecordingError, try_frame, video
from rl_experiments.recording.pictures import frames_per_second
from tests.evaluation.test_playing import Constant
from tests.helpers.videos import decoded

ATARI = "stable_baselines3.common.atari_wrappers.AtariWrapper"


def _recipe(name: str = "ToyLine-v0", **settings: Any) -> EnvironmentRecipe:
    return EnvironmentRecipe(f"toy_envs:{name}", trust=Trust(any_name=True), **settings)


def _record(path: Path, recipe: EnvironmentRecipe | None = None, **settings: Any) -> Any:
    return record(Constant(), path, recipe or _recipe(), **settings)  # type: ignore[arg-type]


@pytest.fixture
def without_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no encoder works."""
    monkeypatch.setattr(video, "working_codec", lambda suffix=".mp4": None)


def test_an_episode_of_10_steps_gives_11_frames_in_order(tmp_path: Path) -> None:
    result = _record(tmp_path / "replay.mp4")
    information, frames = decoded(result.path)
    assert result.n_frames == len(frames) == 11
    assert result.complete
    assert information["fps"] == result.fps == 10
    brightness = frames.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(brightness, [20 * step for step in range(11)], atol=6)


def test_odd_sizes_are_padded_and_not_resized(tmp_path: Path) -> None:
    result = _record(tmp_path / "replay.mp4")
    assert (result.width, result.height) == (33, 21)
    assert decoded(result.path)[0]["size"] == (34, 22)


def test_the_longest_length_cuts_off(tmp_path: Path) -> None:
    result = _record(tmp_path / "replay.mp4", n_steps=6)
    assert not result.complete
    assert result.n_frames == len(decoded(result.path)[1]) == 7


@pytest.mark.parametrize("length", [1, 2])
def test_a_short_episode_keeps_its_last_frame(length: int, tmp_path: Path) -> None:
    result = _record(tmp_path / "replay.mp4", _recipe(kwargs={"length": length}))
    frames = decoded(result.path)[1]
    assert result.n_frames == len(frames) == length + 1
    np.testing.assert_allclose(frames[-1].mean(), 20 * length, atol=6)


def test_the_video_of_an_agent_is_browser_ready(ppo_run: Run, tmp_path: Path) -> None:
    result = record(load_agent(ppo_run), tmp_path / "replay.mp4", n_steps=30)
    information, frames = decoded(result.path)
    assert information["codec"] == "h264"
    assert "yuv420p" in information["pix_fmt"]
    assert information["fps"] == 50
    assert all(size % 2 == 0 for size in information["size"])
    assert len(frames) == result.n_frames > 5
    assert not np.array_equal(frames[0], frames[-1])


def test_an_mp4_can_be_played_before_it_is_loaded(tmp_path: Path) -> None:
    content = _record(tmp_path / "replay.mp4").path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_the_rate_can_be_chosen(tmp_path: Path) -> None:
    assert decoded(_record(tmp_path / "replay.mp4", fps=4).path)[0]["fps"] == 4


def test_the_same_seed_gives_the_same_file(ppo_run: Run, tmp_path: Path) -> None:
    agent = load_agent(ppo_run)
    first, second = (record(agent, tmp_path / f"{name}.mp4", n_steps=20, seed=3).path for name in "ab")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.usefixtures("without_codecs")
def test_without_an_encoder_it_is_a_gif(tmp_path: Path) -> None:
    result = _record(tmp_path / "replay.mp4")
    assert result.path == tmp_path / "replay.gif"
    with Image.open(result.path) as image:
        assert image.n_frames == 11
        assert image.size == (33, 21)
        assert image.info["duration"] == 100
    assert [path.name for path in tmp_path.iterdir()] == ["replay.gif"]


def test_a_gif_can_be_asked_for(tmp_path: Path) -> None:
    assert _record(tmp_path / "replay.gif").path.read_bytes().startswith(b"GIF89a")


def test_a_codec_works_on_this_machine() -> None:
    video.working_codec.cache_clear()
    assert video.working_codec() == "libx264"


def test_the_next_codec_is_tried_when_the_first_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    video.working_codec.cache_clear()
    monkeypatch.setitem(video.CODECS, ".mp4", ("no_such_codec", "mpeg4"))
    try:
        assert video.working_codec() == "mpeg4"
        assert len(decoded(_record(tmp_path / "replay.mp4").path)[1]) == 11
    finally:
        video.working_codec.cache_clear()


def test_an_environment_without_pictures_is_a_recording_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="ToyInvisible-v0"):
        _record(tmp_path / "replay.mp4", _recipe("ToyInvisible-v0"))
    assert list(tmp_path.iterdir()) == []


def test_an_environment_that_breaks_is_a_recording_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="the line broke"):
        _record(tmp_path / "replay.mp4", _recipe("ToyBreaks-v0", kwargs={"length": 1000}))
    assert list(tmp_path.iterdir()) == []


def test_whether_pictures_come_is_known_beforehand() -> None:
    assert try_frame(_recipe()) is None
    assert "render" in str(try_frame(_recipe("ToyInvisible-v0")))
    assert try_frame(EnvironmentRecipe("CartPole-v1")) is None


def test_a_window_that_the_recipe_asks_for_is_not_opened(tmp_path: Path) -> None:
    recipe = EnvironmentRecipe("CartPole-v1", kwargs={"render_mode": "human"})
    assert _record(tmp_path / "replay.mp4", recipe, n_steps=5).n_frames >= 5


@pytest.mark.parametrize(
    ("env_id", "wrappers", "kwargs", "fps"),
    [
        ("PongNoFrameskip-v4", ((ATARI, {}),), {}, 15),
        ("PongNoFrameskip-v4", (), {}, 60),
        ("ALE/Pong-v5", (), {}, 15),
        ("ALE/Pong-v5", ((ATARI, {}),), {"frameskip": 1}, 15),
        ("PongNoFrameskip-v4", ((ATARI, {"frame_skip": 2}),), {}, 30),
        ("CartPole-v1", (), {}, 50),
        ("CartPole-v1", (("rl_zoo3.wrappers.FrameSkip", {"skip": 2}),), {}, 25),
        ("CartPole-v1", (("rl_zoo3.wrappers.FrameSkip", {"skip": 1000}),), {}, 1),
    ],
)
def test_one_frame_for_each_step_is_real_time(env_id: str, wrappers: Any, kwargs: Any, fps: float) -> None:
    recipe = EnvironmentRecipe(env_id, wrappers=wrappers, kwargs=kwargs)
    metadata = {"render_fps": 50} if env_id.startswith("Cart") else {"render_fps": 30}
    assert frames_per_second(recipe, metadata) == fps


def test_atari_pictures_keep_their_210_lines_and_play_in_real_time(atari_run: Run, tmp_path: Path) -> None:
    result = record(load_agent(atari_run), tmp_path / "replay.mp4", n_steps=40)
    information, frames = decoded(result.path)
    assert information["size"] == (160, 210)
    assert information["fps"] == 15
    assert len(frames) == 41
    assert not np.array_equal(frames[0], frames[-1])


def test_pictures_of_mujoco_show_the_robot(tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    recipe = EnvironmentRecipe("Hopper-v5")
    reason = try_frame(recipe)
    if reason is not None:
        pytest.skip(f"MuJoCo cannot draw here: {reason}")
    result = record(Constant([0.1, 0.1, 0.1]), tmp_path / "replay.mp4", recipe, n_steps=10)  # type: ignore[arg-type]
    frames = decoded(result.path)[1]
    assert frames.std() > 5


def test_an_environment_that_cannot_be_drawn_any_more_ends_its_video(tmp_path: Path) -> None:
    said: list[str] = []
    result = _record(tmp_path / "replay.mp4", _recipe("ToyFades-v0"), say=said.append)
    assert len(decoded(result.path)[1]) == result.n_frames == 5
    assert not result.complete
    assert "the lamp went out" in said[0]
