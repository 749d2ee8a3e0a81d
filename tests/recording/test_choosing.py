"""The best and the worst of some episodes, played again or recorded while they are played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_experiments import EnvironmentRecipe, evaluate
from rl_experiments.recording import record_videos
from tests.evaluation.test_playing import Constant
from tests.helpers.videos import decoded
from tests.recording.test_recording import _recipe


def _made(recipe: EnvironmentRecipe, folder: Path, **wishes: Any) -> list[Any]:
    agent: Any = Constant()
    agent.recipe = recipe
    return list(record_videos(agent, folder, "toy", **wishes))


def _return(length: int) -> float:
    return length * (length + 1) / 2


def test_the_best_and_the_worst_are_recorded_as_they_were_played(tmp_path: Path) -> None:
    recipe = _recipe("ToyFate-v0")
    returns = [evaluate(Constant(), recipe, n_episodes=1, seed=seed).returns[0] for seed in range(3, 9)]  # type: ignore[arg-type]
    best, worst = _made(recipe, tmp_path, best_of=6, worst_of=4, seed=3)
    assert (best.path.name, worst.path.name) == ("toy-best-of-6.mp4", "toy-worst-of-4.mp4")
    for recording, expected, number in (
        (best, max(returns), int(np.argmax(returns))),
        (worst, min(returns[:4]), int(np.argmin(returns[:4]))),
    ):
        assert recording.episodes[0].total_reward == expected
        assert f"number {number + 1}, seed {3 + number}, return {expected:.2f}" in recording.note
        assert len(decoded(recording.path)[1]) == recording.episodes[0].length + 1
    assert len(list(tmp_path.iterdir())) == 2


def test_an_environment_that_never_plays_the_same_again_is_recorded_while_it_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rl_experiments.recording.apart.can_isolate", lambda: False
    )  # it counts its episodes in its process
    (best,) = _made(_recipe("ToyRestless-v0"), tmp_path, best_of=3)
    assert best.episodes[0].total_reward == _return(best.n_frames - 1)
    assert "number 3, seed 2" in best.note  # each episode is longer than the one before
    assert f"return {best.episodes[0].total_reward:.2f}" in best.note
    assert [path.name for path in tmp_path.iterdir()] == ["toy-best-of-3.mp4"]


def test_the_best_can_be_images(tmp_path: Path) -> None:
    (best,) = _made(_recipe("ToyFate-v0"), tmp_path, best_of=4, format="png")
    assert best.folder == tmp_path / "frames"
    assert len(list(best.folder.glob("001/*.png"))) == best.episodes[0].length + 1
