"""Recording a trained agent from the command line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_experiments import Run, load_agent, record_video
from rl_experiments.core.errors import Terminated
from rl_experiments.recording import record_videos
from tests.helpers.commands import run_module, unmeasured
from tests.helpers.tiny import tiny_experiment
from tests.helpers.videos import decoded


def _arguments(run: Run, *further: str) -> tuple[str, ...]:
    return ("--algo", run.algorithm, "--env", run.env_id, "-f", str(run.path.parent.parent), *further)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _steps_shown(path: Path) -> list[int]:
    """What the pictures of the toy line say: each is brighter than the one before by 20."""
    return np.round(decoded(path)[1].mean(axis=(1, 2, 3)) / 20).astype(int).tolist()


@pytest.fixture
def own_run(toy_run: Run, tmp_path: Path) -> Run:
    """A run that may be written to."""
    path = tmp_path / "logs" / toy_run.algorithm / toy_run.path.name
    shutil.copytree(toy_run.path, path)
    return Run(path, toy_run.algorithm, toy_run.env_name)


def test_the_steps_go_over_episodes_of_which_none_lacks_a_frame(command, own_run: Run) -> None:
    result = command(record_video, *_arguments(own_run, "-n", "25"))
    assert result.code == 0, result.err
    assert _names(own_run.path / "videos") == ["final-model-ppo-ToyLine-v0-step-0-to-step-25.mp4"]
    video = own_run.path / "videos" / "final-model-ppo-ToyLine-v0-step-0-to-step-25.mp4"
    assert _steps_shown(video) == [*range(11), *range(11), *range(6)]
    assert result.out.splitlines()[1:] == [
        f"Video: {video} (28 frames, 2.8 s; 2 episodes, reward 55.00, 55.00; the last episode is cut off)"
    ]


def test_a_video_that_ends_with_an_episode_shows_nothing_of_the_next(command, toy_run: Run, tmp_path: Path) -> None:
    result = command(record_video, *_arguments(toy_run, "-n", "20", "-o", "out", "--verbose", "0", "--no-render"))
    assert (result.code, result.out, result.err) == (0, "", "")
    assert _steps_shown(next((tmp_path / "out").iterdir())) == [*range(11), *range(11)]


def test_each_episode_can_have_a_file(command, toy_run: Run, tmp_path: Path) -> None:
    flags = ["--n-episodes", "2", "-o", "out", "--n-envs", "3", "--fps", "4"]
    result = command(record_video, *_arguments(toy_run, *flags))
    assert result.code == 0, result.err
    assert result.err.startswith("--n-envs 3: a video shows one environment, and one is played (--grid")
    names = [f"final-model-ppo-ToyLine-v0-episode-{number}.mp4" for number in (1, 2)]
    assert _names(tmp_path / "out") == names
    assert [_steps_shown(tmp_path / "out" / name) for name in names] == [list(range(11))] * 2
    assert decoded(tmp_path / "out" / names[0])[0]["fps"] == 4


def test_an_episode_can_be_recorded_again_by_its_seed(ppo_run: Run, tmp_path: Path) -> None:
    agent = load_agent(ppo_run)
    _, second = record_videos(agent, tmp_path, "a", n_steps=8, n_episodes=2, seed=3)
    (again,) = record_videos(agent, tmp_path, "b", n_steps=8, n_episodes=1, seed=4)
    assert second.path.read_bytes() == again.path.read_bytes()


def test_cartpole_is_recorded_without_a_screen(ppo_run: Run, tmp_path: Path) -> None:
    flags = _arguments(ppo_run, "-n", "12", "-o", "out", "--load-best", "--env-kwargs", "render_mode:human")
    result = run_module("rl_experiments.record_video", *flags, cwd=tmp_path, DISPLAY="", WAYLAND_DISPLAY="")
    assert (result.code, result.err) == (0, "")
    information, frames = decoded(tmp_path / "out" / "best-model-ppo-CartPole-v1-step-0-to-step-12.mp4")
    assert (information["fps"], information["size"], information["codec"]) == (50, (600, 400), "h264")
    assert 13 <= len(frames) <= 15


@pytest.mark.parametrize(("flags", "steps"), [(["--load-checkpoint", "64"], 64), (["--load-last-checkpoint"], 256)])
def test_a_checkpoint_is_in_the_name(flags: list[str], steps: int, command, ppo_run: Run, tmp_path: Path) -> None:
    result = command(record_video, *_arguments(ppo_run, "-n", "2", "-o", "out", *flags))
    assert result.code == 0, result.err
    assert _names(tmp_path / "out") == [f"checkpoint-{steps}-ppo-CartPole-v1-step-0-to-step-2.mp4"]


def test_where_the_run_cannot_be_written_it_goes_here(command, own_run: Run, tmp_path: Path) -> None:
    (own_run.path / "videos").write_text("a file is in the way")
    result = command(record_video, *_arguments(own_run, "-n", "2"))
    assert result.code == 0, result.err
    assert result.err.count("\n") == 1
    assert f"It goes to {tmp_path / 'videos'}" in result.err
    assert _names(tmp_path / "videos") == ["final-model-ppo-ToyLine-v0-step-0-to-step-2.mp4"]


def test_a_folder_that_cannot_be_written_is_said_first(command, own_run: Run) -> None:
    command(record_video, "--env", "NoSuchEnv-v0", "-o", str(own_run.final_model)).assert_refused("--output-folder")


@pytest.mark.parametrize("flags", [["-n", "0"], ["--n-episodes", "-1"], ["--fps", "0"], ["--fps", "nan"]])
def test_what_cannot_be_recorded_is_refused(flags: list[str], command, toy_run: Run) -> None:
    command(record_video, *_arguments(toy_run, *flags)).assert_refused("must be")


def test_a_wrong_argument_of_the_environment_is_the_users_mistake(command, ppo_run: Run) -> None:
    command(record_video, *_arguments(ppo_run, "--env-kwargs", "foo:1", "-o", "out")).assert_refused("foo", "Valid:")


def test_an_environment_that_gives_no_pictures_is_one_line_and_leaves_nothing(command, tmp_path: Path) -> None:
    run = tiny_experiment("ppo", "toy_envs:ToyInvisible-v0", tmp_path / "logs").run().run
    result = command(record_video, *_arguments(run))
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert result.err.startswith("Error: No picture of toy_envs:ToyInvisible-v0 can be drawn: ")
    assert not (run.path / "videos").exists()


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--format", "jpg"], "'png'"),
        (["--every", "2"], "--format png"),
        (["--format", "png", "--from", "5", "--to", "3"], "--to 3 lies before --from 5"),
        (["--format", "png", "--grid", "2"], "--grid is for videos"),
        (["--best-of", "3", "--n-episodes", "2"], "exclude each other"),
        (["--worst-of", "0"], "--worst-of must be at least 1"),
        (["--grid", "1000"], "from 1 to 64"),
        (["--format", "png", "-n", "1000000000000"], "free"),
    ],
)
def test_wishes_that_do_not_go_together_are_refused(
    flags: list[str], part: str, command, toy_run: Run, tmp_path: Path
) -> None:
    result = command(record_video, *_arguments(toy_run, "-o", "out", "--verbose", "0", *flags))
    result.assert_refused(part)
    assert not (tmp_path / "out").exists()


def test_images_go_to_frames_in_the_run(command, own_run: Run) -> None:
    flags = ["--format", "png", "--n-episodes", "3", "--n-envs", "2", "--every", "5"]
    result = command(record_video, *_arguments(own_run, *flags))
    assert (result.code, result.err) == (0, "")
    frames = own_run.path / "frames"
    assert result.out.splitlines()[1:] == [f"Images: {frames} (9 images; 3 episodes, reward 55.00, 55.00, 55.00)"]
    assert [len(list((frames / name).glob("*/*.png"))) for name in ("env-0", "env-1")] == [3, 6]


def test_best_and_worst_and_a_grid_are_videos_by_name(command, toy_run: Run, tmp_path: Path) -> None:
    flags = ["-o", "out", "--format", "webm", "--overlay", "--stochastic"]
    assert command(record_video, *_arguments(toy_run, *flags, "--best-of", "2", "--worst-of", "3")).code == 0
    assert command(record_video, *_arguments(toy_run, *flags, "--grid", "2")).code == 0
    names = [f"final-model-ppo-ToyLine-v0-{name}.webm" for name in ("best-of-2", "grid-of-2", "worst-of-3")]
    assert _names(tmp_path / "out") == names
    assert {len(decoded(tmp_path / "out" / name)[1]) for name in names} == {11}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_images_that_a_signal_stops_are_clearly_not_all(number: int, toy_run: Run, tmp_path: Path) -> None:
    arguments = [*_arguments(toy_run), "--format", "png", "-n", "500000", "-o", str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-m", "rl_experiments.record_video", *arguments], env=unmeasured())
    folder = tmp_path / "frames.partial"
    deadline = time.monotonic() + 60
    while not list(folder.glob("002/*.png")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(60) == (143 if number == signal.SIGTERM else -number)
    rows = (folder / "index.csv").read_text().splitlines()[1:]
    assert len(list(folder.glob("*/*.png"))) - len(rows) in ((0,) if number == signal.SIGTERM else (0, 1))
    assert (folder / "contact_sheet.png").exists() == (number == signal.SIGTERM)


@pytest.mark.usefixtures("same_handlers_after")
def test_a_signal_keeps_the_video_as_far_as_it_came(toy_run: Run, tmp_path: Path, monkeypatch) -> None:
    agent = load_agent(toy_run)
    calls = []
    predict = type(agent.agent).predict

    def terminate_in_the_4th_step(self: Any, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return predict(self, *arguments)

    monkeypatch.setattr(type(agent.agent), "predict", terminate_in_the_4th_step)
    videos = record_videos(agent, tmp_path, "toy", n_episodes=3)
    first = next(videos)
    with pytest.raises(Terminated) as stop:
        next(videos)
    assert stop.value.exit_code == 143
    assert _steps_shown(first.path) == [0, 1, 2, 3, 4]
    assert _names(tmp_path) == ["toy-episode-1.mp4"]
