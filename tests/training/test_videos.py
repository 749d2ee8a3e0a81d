"""``--video-freq``: videos while a training goes on, which it does not notice."""

from __future__ import annotations

import glob
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_experiments import RLExperimentsError, Run, train
from rl_experiments.recording import background
from rl_experiments.runs import RunRecord
from rl_experiments.training import videos
from rl_experiments.training.resuming import resume_run
from tests.helpers.commands import CommandResult
from tests.helpers.tiny import tiny_experiment
from tests.helpers.videos import decoded

PAINTED = "toy_pictures:ToyPainted-v0"


def _trained(folder: Path, freq: int = 100, algo: str = "a2c", env: str = PAINTED, **settings: Any) -> Any:
    return tiny_experiment(algo, env, folder, video_freq=freq, **{"n_timesteps": 400, **settings}).run()


def _names(run: Run) -> list[str]:
    return sorted(path.name for path in run.videos.glob("*")) if run.videos.exists() else []


def _weights(result: Any) -> dict[str, np.ndarray]:
    if hasattr(result.model, "values"):
        return {"values": result.model.values}
    return {name: value.numpy() for name, value in result.model.policy.state_dict().items()}


def _assert_same(first: Any, second: Any) -> None:
    for name, value in _weights(first).items():
        np.testing.assert_array_equal(value, _weights(second)[name], err_msg=name)


def test_each_video_is_an_episode_and_the_training_is_the_same_without(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"hyperparams": {"normalize": True}}
    result = _trained(tmp_path / "with", keep_videos=3, tensorboard_log=tmp_path / "tb", **settings)
    assert _names(result.run) == [f"training-{steps}-steps.mp4" for steps in (200, 300, 400)]
    for name in _names(result.run):
        brightness = decoded(result.run.videos / name)[1].mean(axis=(1, 2, 3))
        np.testing.assert_allclose(brightness, [20 * step for step in range(11)], atol=6)
    assert RunRecord.read(result.run)["videos"] == _names(result.run)
    _assert_same(result, _trained(tmp_path / "without", -1, **settings))

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = glob.glob(str(tmp_path / "tb" / "**" / "events*"), recursive=True)
    shown = EventAccumulator(file, size_guidance={"images": 0}).Reload().Images("evaluation/video")
    assert [(image.step, image.encoded_image_string[:3]) for image in shown] == [
        (steps, b"GIF") for steps in (100, 200, 300, 400)
    ]


def test_what_it_did_not_write_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create = videos.TrainingVideos.__init__

    def with_a_stranger(self: Any, *arguments: Any, **settings: Any) -> None:
        create(self, *arguments, **settings)
        self.folder.mkdir()
        (self.folder / "training-1-steps.mp4").write_bytes(b"mine")

    monkeypatch.setattr(videos.TrainingVideos, "__init__", with_a_stranger)
    result = _trained(tmp_path, 200, keep_videos=1)
    assert _names(result.run) == ["training-1-steps.mp4", "training-400-steps.mp4"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("death", "its process crashed (exit code 7)"),
        ("pause", "nothing happened for 3 seconds"),
    ],
)
def test_a_recorder_that_fails_costs_one_line(
    fault: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(background, "DEADLINE", 3.0 if fault == "pause" else 60.0)
    result = _trained(tmp_path, 400, eval_env_kwargs={"fault": fault})
    assert (result.status, result.steps, _names(result.run)) == ("finished", 400, [])
    lines = [line for line in capfd.readouterr().err.splitlines() if "video" in line.lower()]
    assert len(lines) == 1
    assert lines[0].startswith("No video at 400 steps: ")
    assert reason in lines[0]


def test_a_renderer_that_fails_ends_the_video_and_not_the_training(tmp_path: Path) -> None:
    result = _trained(tmp_path, 400, eval_env_kwargs={"fault": "error"})
    assert (result.status, _names(result.run)) == ("finished", ["training-400-steps.mp4"])
    assert len(decoded(result.run.videos / "training-400-steps.mp4")[1]) == 4


def test_tables_too(tmp_path: Path) -> None:
    def run(freq: int) -> Any:
        return tiny_table(tmp_path / str(freq), freq)

    result = run(1000)
    assert len(_names(result.run)) == 3
    _assert_same(result, run(-1))


def tiny_table(folder: Path, freq: int) -> Any:
    from rl_experiments import Experiment

    return Experiment(
        algo="q_learning",
        env="FrozenLake-v1",
        log_folder=folder,
        n_timesteps=3000,
        eval_freq=-1,
        verbose=0,
        seed=1,
        video_freq=freq,
        hyperparams={"compiled": False},
    ).run()


def test_what_cannot_be_drawn_is_refused_before_it_trains(command: Callable[..., CommandResult]) -> None:
    env = ("--env", "toy_envs:ToyInvisible-v0", "-params", "n_steps:32", "batch_size:32")
    result = command(train, *env, "--video-freq", "100", "-n", "100")
    result.assert_refused("--video-freq 100", "toy_envs:ToyInvisible-v0")
    assert not Path("logs").exists()


@pytest.mark.parametrize("settings", [{"keep_videos": 2, "video_freq": -1}, {"keep_videos": 0, "video_freq": 10}])
def test_limits_that_mean_nothing_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RLExperimentsError, match="keep_videos"):
        tiny_experiment("a2c", PAINTED, tmp_path, **settings).run()


@pytest.mark.slow
def test_another_process_takes_over_when_the_one_that_records_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    killed: list[int] = []
    order = background.BackgroundRecorder.order

    def order_and_kill(self: Any, asked: Any) -> None:
        order(self, asked)
        if not killed:
            killed.append(self._child._process.pid)
            threading.Timer(1.0, os.kill, (killed[0], signal.SIGKILL)).start()

    monkeypatch.setattr(background.BackgroundRecorder, "order", order_and_kill)
    result = _trained(tmp_path, eval_env_kwargs={"seconds": 0.3})
    assert killed
    assert result.status == "finished"
    assert _names(result.run) == [f"training-{steps}-steps.mp4" for steps in (200, 300, 400)]
    assert "No video at 100 steps: its process crashed (SIGKILL)" in capfd.readouterr().err


@pytest.mark.slow
def test_the_training_does_not_wait_for_slow_videos(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """12 videos of 10 seconds each are asked for: it waits 2 seconds, once, and at the end as long as it says."""
    threading.Timer(15.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    result = _trained(tmp_path, n_timesteps=1200, eval_env_kwargs={"seconds": 1.0})
    assert result.steps == 1200
    assert time.monotonic() - started < 40
    assert "4 others wait for the one that is being made" in capfd.readouterr().err


@pytest.mark.slow
def test_a_training_that_goes_on_is_the_same_and_knows_its_videos(tmp_path: Path) -> None:
    whole = _trained(tmp_path / "whole", -1, env="toy_pictures:ToyDraws-v0", n_timesteps=600, save_freq=200)
    part = _trained(tmp_path / "part", env="toy_pictures:ToyDraws-v0", n_timesteps=400, save_freq=200)
    (part.run.videos / "mine.mp4").write_bytes(b"mine")
    result = resume_run(part.run.path, n_timesteps=600, keep_videos=3)
    assert _names(part.run) == ["mine.mp4", *(f"training-{steps}-steps.mp4" for steps in (400, 500, 600))]
    _assert_same(whole, result)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algo", "env"),
    [("ars", "CartPole-v1"), ("ppo_lstm", "CartPole-v1"), ("sac", "Pendulum-v1"), ("dqn", "PongNoFrameskip-v4")],
)
def test_every_family(algo: str, env: str, tmp_path: Path) -> None:
    short = {"n_timesteps": 200, **({"env_kwargs": {"max_num_frames_per_episode": 200}} if "Pong" in env else {})}
    result = _trained(tmp_path / "with", algo=algo, env=env, **short)
    assert len(_names(result.run)) >= 1
    _assert_same(result, _trained(tmp_path / "without", -1, algo=algo, env=env, **short))
