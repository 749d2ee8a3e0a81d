"""Atari's pictures show both of the frames that max-pooling saw; enlarged ones are not blurred."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
import pytest

from rl_experiments import EnvironmentRecipe, record
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.symbols import Trust
from rl_experiments.recording.looks import Look
from tests.evaluation.test_playing import Constant
from tests.helpers.videos import decoded
from tests.helpers.watching import LastTwoScreens, moments_of

ATARI = "stable_baselines3.common.atari_wrappers.AtariWrapper"
RAW = "tests.helpers.watching.RawScreens"
LAST_TWO = "tests.helpers.watching.LastTwoScreens"
gym.register_envs(ale_py)


class _Firing(Constant):
    """Fires and moves, so that lives are lost."""

    def __init__(self) -> None:
        super().__init__()
        self._step = 0

    def predict(self, observation: Any, *_: Any, **__: Any) -> tuple[np.ndarray, None]:  # type: ignore[override]
        self._step += 1
        return np.full(len(observation), [1, 3, 3, 2][self._step // 8 % 4]), None


@pytest.mark.parametrize("wrapped", [True, False])
def test_each_picture_is_the_maximum_of_the_last_two_screens(wrapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl_experiments.recording.apart.can_isolate", lambda: False)  # what is seen is kept here
    wrappers = ((RAW, {}), *(((ATARI, {}),) if wrapped else ()), (LAST_TWO, {}))
    recipe = EnvironmentRecipe("BreakoutNoFrameskip-v4", wrappers=wrappers, trust=Trust(any_name=True))
    LastTwoScreens.seen.clear()
    moments = moments_of(_Firing(), recipe, 150)  # type: ignore[arg-type]
    shown = [moment.picture for moment in moments if moment.step]
    assert len(shown) >= 140
    differs = 0
    for picture, last_two in zip(shown, LastTwoScreens.seen, strict=False):
        np.testing.assert_array_equal(picture, last_two)
        differs += bool((picture != shown[0]).any())
    assert differs > 10


def test_frames_that_the_environment_skips_are_shown_too() -> None:
    recipe = EnvironmentRecipe("ALE/SpaceInvaders-v5", kwargs={"repeat_action_probability": 0.0})
    moments = moments_of(Constant(1), recipe, 60, seed=3)  # type: ignore[arg-type]
    raw = gym.make("ALE/SpaceInvaders-v5", frameskip=1, repeat_action_probability=0.0, render_mode="rgb_array")
    raw.reset(seed=3)
    np.testing.assert_array_equal(moments[0].picture, raw.render())
    blinking = 0
    for moment in moments[1:]:
        screens = []
        for _ in range(4):
            raw.step(int(moment.action))
            screens.append(raw.render())
        np.testing.assert_array_equal(moment.picture, np.maximum(screens[-2], screens[-1]))
        blinking += bool((moment.picture != screens[-1]).any())
    assert blinking > 10


def test_enlarged_pixels_are_squares_of_one_colour(tmp_path: Path) -> None:
    recipe = EnvironmentRecipe("PongNoFrameskip-v4", wrappers=((ATARI, {}),))
    plain, large = (
        moments_of(Constant(), recipe, 2, look=look)[1].picture  # type: ignore[arg-type]
        for look in (None, Look(size=3))
    )
    assert large.shape == (630, 480, 3)
    np.testing.assert_array_equal(large, np.kron(plain, np.ones((3, 3, 1), np.uint8)))
    result = record(Constant(), tmp_path / "a.mp4", recipe, n_steps=2, look=Look(size=3))  # type: ignore[arg-type]
    assert decoded(result.path)[0]["size"] == (480, 630)


@pytest.mark.parametrize("look", [{"size": 0}, {"size": 1.5}, {"width": 8}, {"height": 99999}, {"quality": "best"}])
def test_looks_that_make_no_sense_are_refused(look: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(look))):
        Look(**look)


def test_a_size_that_no_player_shows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="19 is the most"):
        record(Constant(), tmp_path / "a.mp4", EnvironmentRecipe("PongNoFrameskip-v4"), look=Look(size=20))  # type: ignore[arg-type]
