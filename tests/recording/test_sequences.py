"""Images are the environment's own, each under its episode and step."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from rl_experiments import EnvironmentRecipe, record_frames
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.recording import RecordingError
from rl_experiments.recording.images import Selection
from tests.evaluation.test_playing import Constant
from tests.recording.test_recording import _recipe


def _frames(folder: Path, recipe: EnvironmentRecipe | None = None, **settings: Any) -> Any:
    return record_frames(Constant(), folder, recipe or _recipe(), **settings)  # type: ignore[arg-type]


def _index(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def _picture(folder: Path, row: dict[str, str]) -> np.ndarray:
    with Image.open(folder / f"{int(row['episode']):03d}" / f"{int(row['step']):06d}.png") as image:
        return np.asarray(image)


def _listed(folder: Path) -> list[tuple[int, int]]:
    return [(int(row["episode"]), int(row["step"])) for row in _index(folder)]


def test_each_image_is_exactly_what_a_fresh_environment_draws_after_the_same_actions(tmp_path: Path) -> None:
    agent = Constant(1)
    result = record_frames(agent, tmp_path, EnvironmentRecipe("CartPole-v1"), seed=5)  # type: ignore[arg-type]
    assert (result.folder, result.complete, result.is_whole) == (tmp_path / "frames", True, True)
    rows = _index(result.folder)
    env = gym.make("CartPole-v1", render_mode="rgb_array")
    env.reset(seed=5)
    done = False
    for step, row in enumerate(rows):
        if step:
            _, reward, done, _, _ = env.step(json.loads(row["action"]))
            assert float(row["reward"]) == reward
        assert (int(row["step"]), int(row["done"])) == (step, int(done))
        assert np.array_equal(_picture(result.folder, row), env.render())
    env.close()
    assert done
    assert result.n_images == len(rows) == result.episodes[0].length + 1
    assert list(rows[0]) == ["episode", "step", "reward", "done", "action"]
    with Image.open(result.folder / "contact_sheet.png") as sheet:
        assert sheet.width > 600


def test_several_environments_keep_their_frames_apart_and_no_frame_is_of_the_next_episode(tmp_path: Path) -> None:
    result = _frames(tmp_path, _recipe("ToyFate-v0"), n_episodes=5, n_envs=2)
    lengths: dict[int, list[int]] = {0: [], 1: []}
    for episode in result.episodes:
        lengths[episode.env_index].append(episode.length)
    assert [len(lengths[0]), len(lengths[1])] == [2, 3]
    for index, folder in enumerate((result.folder / "env-0", result.folder / "env-1")):
        expected = [(number + 1, step) for number, n in enumerate(lengths[index]) for step in range(n + 1)]
        rows = _index(folder)
        assert [(int(row["episode"]), int(row["step"])) for row in rows] == expected
        for row in rows:
            assert (_picture(folder, row) == 20 * int(row["step"])).all()
            assert int(row["done"]) == (int(row["step"]) == lengths[index][int(row["episode"]) - 1])
        assert (folder / "contact_sheet.png").is_file()
    assert result.n_images == sum(n + 1 for episodes in lengths.values() for n in episodes)


def test_some_steps_are_chosen(tmp_path: Path) -> None:
    assert _listed(_frames(tmp_path, every=4).folder) == [(1, 0), (1, 4), (1, 8)]
    chosen = _frames(tmp_path, first=3, last=8, every=2, n_episodes=2).folder
    assert _listed(chosen) == [(1, 3), (1, 5), (1, 7), (2, 3), (2, 5), (2, 7)]
    assert (_picture(chosen, _index(chosen)[1]) == 100).all()
    steps = _frames(tmp_path, n_episodes=None, n_steps=13, first=9).folder
    assert _listed(steps) == [(1, 9), (1, 10)]
    with pytest.raises(RecordingError, match="no episode came to step 11"):
        _frames(tmp_path, first=11)


def test_episodes_have_the_seeds_that_follow(tmp_path: Path) -> None:
    together = _frames(tmp_path, _recipe("ToyFate-v0"), n_episodes=3, seed=2)
    alone = [_frames(tmp_path, _recipe("ToyFate-v0"), seed=seed).episodes[0] for seed in (2, 3, 4)]
    assert list(together.episodes) == alone


def test_nothing_that_is_there_is_touched(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "mine.txt").write_text("mine")
    (tmp_path / "frames_2.partial").mkdir()
    assert _frames(tmp_path).folder == tmp_path / "frames_3"
    assert _frames(tmp_path).folder == tmp_path / "frames_4"
    assert [path.name for path in (tmp_path / "frames").iterdir()] == ["mine.txt"]
    assert list((tmp_path / "frames_2.partial").iterdir()) == []


def test_what_ends_early_says_so_in_its_name(tmp_path: Path) -> None:
    stopped = _frames(tmp_path, on_progress=lambda number: number < 4)
    assert (stopped.folder.name, stopped.is_whole) == ("frames.partial", False)
    assert _listed(stopped.folder) == [(1, step) for step in range(5)]
    with pytest.raises(RecordingError, match="the line broke"):
        _frames(tmp_path, _recipe("ToyBreaks-v0", kwargs={"length": 1000}))
    faded = _frames(tmp_path, _recipe("ToyFades-v0"))
    assert (faded.folder.name, faded.is_whole, faded.failure) == (
        "frames_3.partial",
        False,
        "OSError: the lamp went out",
    )
    broken = tmp_path / "frames_2.partial"
    assert len(_listed(broken)) == len(list(broken.glob("*/*.png"))) > 0


def test_what_does_not_fit_on_the_disk_is_refused_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"1,000,000,000,001 images .* would take .* TB, but .* free"):
        _frames(tmp_path / "new", n_episodes=None, n_steps=10**12)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", [{"every": 0}, {"first": -1}, {"first": 3, "last": 2}, {"n_envs": 0}])
def test_what_cannot_be_chosen_is_refused(settings: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        _frames(tmp_path, **settings)


def test_a_selection_counts_what_it_holds() -> None:
    for selection in (Selection(), Selection(3), Selection(2, 5), Selection(1, 2, 4), Selection(7, 30)):
        for n_steps in (0, 1, 6, 12):
            assert selection.count(n_steps) == sum(step in selection for step in range(n_steps + 1))
