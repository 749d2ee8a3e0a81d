"""Each format holds each frame once, and what stands below the picture does not hide it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rl_experiments import EnvironmentRecipe, record
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.recording import video
from rl_experiments.recording.composing import strip
from rl_experiments.recording.overlay import action_names, rows_of
from rl_experiments.recording.scene import Moment
from tests.evaluation.test_playing import Constant
from tests.helpers.videos import decoded
from tests.recording.test_recording import _recipe, _record

CODECS = {".mp4": "h264", ".webm": "vp9", ".gif": "gif"}
BOUND = 8
"""Mean loss of the codecs in brightness, of 255."""


@pytest.mark.parametrize("suffix", list(CODECS))
def test_each_format_has_all_frames_in_order(suffix: str, tmp_path: Path) -> None:
    result = _record(tmp_path / f"replay{suffix}")
    information, frames = decoded(result.path)
    assert information["codec"].strip(",") == CODECS[suffix]
    assert information["fps"] == result.fps == 10
    assert information["duration"] == pytest.approx(1.1, abs=0.05)
    assert len(frames) == result.n_frames == 11
    np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)), [20 * step for step in range(11)], atol=BOUND)
    assert [path.name for path in tmp_path.iterdir()] == [f"replay{suffix}"]


def test_a_gif_of_few_colours_is_exact_and_of_any_length(tmp_path: Path) -> None:
    length = video.GIF_FRAMES + 100
    recipe = _recipe(kwargs={"length": length, "scale": 1.0})
    result = _record(tmp_path / "replay.gif", recipe, n_steps=length, fps=60)
    assert result.fps == video.FASTEST_GIF
    with Image.open(result.path) as image:
        assert image.n_frames == result.n_frames == length + 1
        for step in (0, 7, 12):
            image.seek(step)
            assert image.info["duration"] == 20
            assert (np.asarray(image.convert("RGB")) == 20 * step).all()


def test_a_video_that_fails_leaves_nothing(tmp_path: Path) -> None:
    for suffix in CODECS:
        with pytest.raises(video.RecordingError, match="the line broke"):
            _record(tmp_path / f"replay{suffix}", _recipe("ToyBreaks-v0", kwargs={"length": 1000}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["replay.png", "replay.avi", "replay"])
def test_what_is_no_format_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no video format"):
        _record(tmp_path / name)


def test_the_overlay_stands_below_the_picture(tmp_path: Path) -> None:
    recipe = EnvironmentRecipe("CartPole-v1")
    plain = decoded(record(Constant(1), tmp_path / "plain.mp4", recipe).path)[1]  # type: ignore[arg-type]
    result = record(Constant(1), tmp_path / "overlay.mp4", recipe, overlay=True)  # type: ignore[arg-type]
    frames = decoded(result.path)[1]
    assert frames.shape == (len(plain), 400 + 2 * strip("", 600).shape[0], 600, 3)
    assert np.abs(frames[:, :400].astype(int) - plain).mean() < 1
    expected = strip("step 3\treward 1.00\treturn 3.00", 600)
    assert np.abs(frames[3, 400 : 400 + len(expected)].astype(int) - expected).mean() < BOUND


def test_rows_are_as_many_for_each_moment_and_fit() -> None:
    picture = np.zeros((210, 160, 3), np.uint8)
    first = Moment(picture, 0, 1, 0, 0.0, 0.0)
    later = Moment(picture, 0, 1, 1234, -0.001, -1234.5, action=np.array(2))
    names = ("NOOP", "FIRE", "UPRIGHTFIRE")
    assert rows_of(first, (), names) == ["step 0\treward 0.00", "return 0.00", "action -"]
    assert rows_of(later, (), names) == ["step 1234\treward -0.001", "return -1234.50", "action 2 UPRIGHTFIRE"]
    large = Moment(np.zeros((480, 480, 3), np.uint8), 0, 1, 1, 1.0, 1.0, action=np.linspace(-1, 1, 40))
    rows = rows_of(large, (40,))
    assert rows[0] == "step 1\treward 1.00\treturn 1.00"
    assert rows[1].startswith("action -1.00 -0.95 ")
    assert rows[2].endswith("... (40)")
    assert len(rows) == len(rows_of(Moment(large.picture, 0, 1, 0, 0.0, 0.0), (40,)))


def test_tiles_show_an_episode_of_each_environment(tmp_path: Path) -> None:
    lengths = [_record(tmp_path / "one.mp4", _recipe("ToyFate-v0"), seed=seed).n_frames - 1 for seed in range(3)]
    assert len(set(lengths)) > 1
    result = _record(tmp_path / "grid.mp4", _recipe("ToyFate-v0"), grid=3)
    frames = decoded(result.path)[1]
    assert [episode.length for episode in result.episodes] == lengths
    assert len(frames) == result.n_frames == max(lengths) + 1
    assert result.complete
    label = strip("", 160).shape[0]
    tops = [index * (label + 21 + 4) + label + 10 for index in range(3)]  # one below the other
    for number, frame in enumerate(frames):
        for top, length in zip(tops, lengths, strict=True):
            shown = frame[top, 80].mean()
            expected = 20 * number if number <= length else 10 * length
            assert shown == pytest.approx(min(255, expected), abs=2 * BOUND)


def test_actions_have_names_where_they_are_known() -> None:
    from rl_experiments.envs import make_envs

    for env_id, action, name in (
        ("PongNoFrameskip-v4", 1, "FIRE"),
        ("FrozenLake-v1", 3, "up"),
        ("CartPole-v1", 0, "left"),
        ("toy_envs:ToyLine-v0", 0, None),
        ("Pendulum-v1", 0, None),
    ):
        env = make_envs(EnvironmentRecipe(env_id), 1, 0)
        names = action_names(env)
        env.close()
        assert (names[action] if names else None) == name
