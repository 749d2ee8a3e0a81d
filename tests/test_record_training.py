"""The agent at every checkpoint, side by side."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rl_experiments import Run, load_agent, record, record_training
from rl_experiments.core.errors import NotFoundError
from rl_experiments.recording.comparing import chosen_models, unused_path
from tests.helpers.commands import CommandResult
from tests.helpers.tiny import tiny_experiment
from tests.helpers.videos import decoded

GAP = 4


@pytest.fixture(scope="module")
def painted_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A2C with normalisation on a line, with models after 100 and 200 steps, and a best one."""
    experiment = tiny_experiment(
        "a2c",
        "toy_pictures:ToyPainted-v0",
        tmp_path_factory.mktemp("logs"),
        hyperparams={"normalize": True},
        n_timesteps=200,
        save_freq=100,
        eval_freq=200,
        eval_episodes=1,
    )
    return experiment.run().run


@pytest.fixture
def own_run(painted_run: Run, tmp_path: Path) -> Run:
    """A run that may be written to."""
    path = tmp_path / "logs" / painted_run.algorithm / painted_run.path.name
    shutil.copytree(painted_run.path, path)
    return Run(path, painted_run.algorithm, painted_run.env_name)


def _record(command: Callable[..., CommandResult], run: Run, *further: str) -> CommandResult:
    env = ("--algo", run.algorithm, "--env", run.env_id, "-f", str(run.path.parent.parent))
    return command(record_training, *env, "--gym-packages", "toy_pictures", *further)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_model_has_a_tile(command: Callable[..., CommandResult], own_run: Run) -> None:
    folder = own_run.videos
    folder.mkdir()
    (folder / "training.mp4").write_bytes(b"mine")
    result = _record(command, own_run)
    assert result.code == 0, result.err
    assert [line.partition(":")[0] for line in result.out.splitlines()][-6:] == [
        "100 steps",
        "200 steps",
        "best",
        "final",
        "Video",
        "GIF",
    ]
    assert _names(folder) == ["training-2.gif", "training-2.mp4", "training.mp4"]
    assert (folder / "training.mp4").read_bytes() == b"mine"
    information, frames = decoded(folder / "training-2.mp4")
    assert len(frames) == 11
    assert information["fps"] == 10
    width = (frames.shape[2] + GAP) // 4
    for tile in range(4):  # a picture of 48 x 40 in the middle of each cell, below its label
        middle = frames[:, -20:, tile * width + 70 : tile * width + 90].mean(axis=(1, 2, 3))
        np.testing.assert_allclose(middle, [20 * step for step in range(11)], atol=8)
    assert Image.open(folder / "training-2.gif").n_frames == 11  # type: ignore[attr-defined]


def test_what_is_over_stays_dimmed_and_each_tile_is_its_agent_alone(
    command: Callable[..., CommandResult], own_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is as long as an agent's number of steps says, by a wrapper of the loader."""
    from rl_experiments.recording import comparing

    loaded = comparing.load_agent

    def with_length(run: Run, which: Any, **settings: Any) -> Any:
        return loaded(run, which, **{**settings, "env_kwargs": {"length": 4 if which == 100 else 8}})

    monkeypatch.setattr(comparing, "load_agent", with_length)
    result = _record(command, own_run, "--models", "100", "200", "--no-gif", "-o", str(tmp_path / "out"))
    assert result.code == 0, result.err
    assert _names(tmp_path / "out") == ["training.mp4"]
    frames = decoded(tmp_path / "out" / "training.mp4")[1]
    width = (frames.shape[2] + GAP) // 2
    shown = [frames[:, -20:, tile * width + 70 : tile * width + 90].mean(axis=(1, 2, 3)) for tile in (0, 1)]
    np.testing.assert_allclose(shown[0], [0, 20, 40, 60, 80, 40, 40, 40, 40], atol=8)
    np.testing.assert_allclose(shown[1], [20 * step for step in range(9)], atol=8)


def test_what_cannot_be_loaded_is_named_and_left_out(command: Callable[..., CommandResult], own_run: Run) -> None:
    own_run.checkpoint(100).write_bytes(b"nothing")
    own_run.best_statistics.write_bytes(b"nothing")
    result = _record(command, own_run, "--no-gif")
    assert result.code == 0, result.err
    assert "100 steps: left out: " in result.err
    assert "best: left out: " in result.err
    frames = decoded(own_run.videos / "training.mp4")[1]
    assert frames.shape[2] == 2 * 160 + GAP
    for path in (own_run.checkpoint(200), own_run.final_model):
        path.write_bytes(b"nothing")
    result = _record(command, own_run, "--models", "200", "final")
    assert result.code == 1
    assert "Error: No agent of" in result.err


def test_which_models_are_shown(painted_run: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "ppo" / "X_1", "ppo", "X")
    run.path.mkdir(parents=True)
    with pytest.raises(NotFoundError, match="no model"):
        chosen_models(run)
    (run.path / "checkpoints" / "0000000055").mkdir(parents=True)
    run.final_model.touch()
    assert chosen_models(run) == ([55, "final"], [])
    counts = list(range(10, 110, 10))
    for steps in counts:
        run.checkpoint(steps).touch()
    run.best_model.touch()
    assert chosen_models(run, ["55"])[0] == [55]
    assert chosen_models(run) == ([*counts, "best", "final"], [])
    shown, left_out = chosen_models(run, most=5)
    assert shown == [10, 50, 100, "best", "final"]
    assert sorted([*left_out, *shown[:3]]) == counts
    assert chosen_models(run, ["20", "best"])[0] == [20, "best"]
    assert chosen_models(run, most=1)[0] == ["final"]
    with pytest.raises(NotFoundError, match=r"no model '25'.*There are: 10, 20"):
        chosen_models(run, ["25"])


def test_names_that_are_taken(tmp_path: Path) -> None:
    assert unused_path(tmp_path / "training.mp4") == tmp_path / "training.mp4"
    (tmp_path / "training.gif").touch()
    assert unused_path(tmp_path / "training.mp4") == tmp_path / "training-2.mp4"


def test_mistakes(command: Callable[..., CommandResult], own_run: Run) -> None:
    _record(command, own_run, "--models", "300").assert_refused("no model '300'", "100, 200, best, final")
    _record(command, own_run, "--max-tiles", "0").assert_refused("--max-tiles must be at least 1")
    _record(command, own_run, "--max-tiles", "65").assert_refused("--max-tiles must be from 1 to 64")
    assert not own_run.videos.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algo", "env"), [("q_learning", "FrozenLake-v1"), ("dqn", "PongNoFrameskip-v4"), ("ppo_lstm", "CartPole-v1")]
)
def test_a_tile_is_the_video_of_its_agent(algo: str, env: str, tmp_path: Path) -> None:
    from rl_experiments import Experiment
    from rl_experiments.recording.comparing import record_comparison

    if algo == "q_learning":
        settings: dict[str, Any] = {"eval_freq": -1, "verbose": 0, "seed": 1, "hyperparams": {"compiled": False}}
        run = (
            Experiment(algo=algo, env=env, log_folder=tmp_path, n_timesteps=2000, save_freq=1000, **settings).run().run
        )
    else:
        run = tiny_experiment(algo, env, tmp_path, n_timesteps=128, save_freq=64).run().run
    models = chosen_models(run)[0]
    tiles = record_comparison(run, models[-2:], tmp_path / "all.mp4", n_steps=40, with_gif=False)
    alone = record(load_agent(run), tmp_path / "one.mp4", n_steps=40)
    together, single = decoded(tiles.path)[1], decoded(alone.path)[1]
    height, width = alone.height, alone.width
    tile = together[: len(single), -height:, -width:] if width >= 160 else together[: len(single), -height:]
    assert np.abs(tile.astype(int) - single[:, :height, :width].astype(int)).mean() < 4
