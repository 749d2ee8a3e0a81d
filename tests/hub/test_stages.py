"""What an environment, a signal or a kill does to a publishing: it ends in a folder, and the same command goes on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rl_experiments import Run, load_agent, publish, push_to_hub
from tests.helpers.commands import CommandResult, start_module, unmeasured
from tests.helpers.hub_api import card_problems
from tests.helpers.hub_server import HubServer
from tests.helpers.tiny import tiny_experiment

NAME = "ppo-ToyTroubled-v0"
ALWAYS = {"README.md", "args.yml", "config.yml", "env_kwargs.yml", f"{NAME}.zip", "policy.safetensors"}


@pytest.fixture(scope="module")
def faulty_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """PPO on an environment that is well, unless a variable says otherwise."""
    experiment = tiny_experiment(
        "ppo", "ToyTroubled-v0", tmp_path_factory.mktemp("logs"), gym_packages=["toy_envs"], save_freq=64
    )
    return experiment.run().run


def _flags(run: Run, *more: str) -> list[str]:
    logs = run.path.parent.parent
    flags = ["--algo", "ppo", "--env", run.env_id, "-f", str(logs), "-orga", "club", "--gym-packages", "toy_envs"]
    return [*flags, "--n-eval-episodes", "3", *more]


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _stages(tmp_path: Path) -> dict[str, Any]:
    content = json.loads((tmp_path / "hub" / "club" / f"{NAME}.manifest.json").read_text())
    return {name: record["status"] for name, record in content["stages"].items()}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raise:reset:0", "RuntimeError: the line broke"),
        ("raise:step:5", "RuntimeError: the line broke"),
        ("exit:step:5", "SystemExit: 7"),
        ("crash:step:5", "its process crashed (SIGSEGV)"),
        ("hang:step:5", "nothing happened for 2 seconds"),
    ],
)
def test_an_evaluation_that_fails_leaves_a_whole_bundle(
    fault: str,
    told: str,
    faulty_run: Run,
    command: Callable[..., CommandResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOY_FAULT", fault)
    result = command(push_to_hub, *_flags(faulty_run, "--no-upload", "--deadline", "2"))
    assert result.code == 0, result.err
    assert "Score: none, because " in result.out
    assert told in result.out
    found = _contents(tmp_path / "hub" / "club" / NAME)
    assert set(found) >= ALWAYS
    assert "results.json" not in found
    card = found["README.md"].decode()
    assert told in card
    assert card_problems(card) == ([], [])
    assert _stages(tmp_path)["evaluate"] == "failed"
    monkeypatch.delenv("TOY_FAULT")
    again = command(push_to_hub, *_flags(faulty_run, "--no-upload"))
    assert "Score: 55.00 +/- 0.00 over 3 episodes" in again.out
    assert told not in (tmp_path / "hub" / "club" / NAME / "README.md").read_text()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raise:render:0", "RuntimeError: the line broke"),
        ("raise:render:5", "RuntimeError: the line broke"),
        ("exit:render:5", "SystemExit: 7"),
        ("crash:render:0", "its process crashed (SIGSEGV)"),
        ("crash:render:5", "its process crashed (SIGSEGV)"),
        ("hang:render:5", "nothing happened for 2 seconds"),
    ],
)
def test_a_recording_that_fails_costs_only_the_replay(
    fault: str,
    told: str,
    faulty_run: Run,
    command: Callable[..., CommandResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOY_FAULT", fault)
    result = command(push_to_hub, *_flags(faulty_run, "--no-upload", "--deadline", "2"))
    assert result.code == 0, result.err
    assert "Score: 55.00 +/- 0.00 over 3 episodes" in result.out
    found = _contents(tmp_path / "hub" / "club" / NAME)
    assert set(found) >= {*ALWAYS, "results.json"}
    assert not [name for name in found if "replay" in name], "half a video is no replay"
    assert told in found["README.md"].decode()
    monkeypatch.delenv("TOY_FAULT")
    again = command(push_to_hub, *_flags(faulty_run, "--no-upload"))
    assert "The evaluation is done already" in again.out
    assert (tmp_path / "hub" / "club" / NAME / "replay.mp4").stat().st_size


def _publishing(run: Run, tmp_path: Path, *more: str, **environment: str) -> subprocess.Popen[str]:
    given = _flags(run, *more)
    return start_module("rl_experiments.push_to_hub", *given, cwd=tmp_path, env={**unmeasured(), **environment})


def _await(process: subprocess.Popen[str], text: str) -> str:
    """Read the output up to a line that holds the text."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"{text!r} did not come: {seen}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("fault", "line", "unfinished"),
    [("hang:step:5", "Evaluating", "evaluate"), ("hang:render:5", "Recording", "record")],
)
def test_a_signal_ends_in_a_folder_and_the_commands(
    number: signal.Signals, fault: str, line: str, unfinished: str, faulty_run: Run, tmp_path: Path
) -> None:
    process = _publishing(faulty_run, tmp_path, "--no-upload", TOY_FAULT=fault)
    _await(process, line)
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 3, out + err
    assert err == ""
    assert f"it was interrupted ({number.name})" in out
    assert "hf upload club/" in out
    assert "--upload-only" in out
    assert set(_contents(tmp_path / "hub" / "club" / NAME)) >= ALWAYS
    assert _stages(tmp_path)[unfinished] == "interrupted"


def test_an_interrupted_upload_goes_on(hub: HubServer, faulty_run: Run, tmp_path: Path) -> None:
    from tests.helpers.hub_faults import Fault

    hub.faults.add(Fault(("PUT", "/lfs/"), "hang", times=None))
    reached = hub.environment(tmp_path / "home", "hf_ann", xet=False)
    process = _publishing(faulty_run, tmp_path, **reached)
    _await(process, "Uploading")
    while not hub.calls("PUT", "/lfs/"):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 3, out + err
    assert "Not uploaded: it was interrupted (SIGINT)" in out
    hub.faults.clear()
    process = _publishing(faulty_run, tmp_path, **reached)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert "The evaluation is done already" in out
    assert hub.repo(f"club/{NAME}").files() == _contents(tmp_path / "hub" / "club" / NAME)


@pytest.mark.parametrize("after", [0.3, pytest.param(1.6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("line", ["Loading", "Evaluating", "Recording"])
def test_after_a_kill_the_same_command_goes_on(line: str, after: float, faulty_run: Run, tmp_path: Path) -> None:
    process = _publishing(faulty_run, tmp_path, "--no-upload", TOY_FAULT="pause:step:0")
    _await(process, line)
    time.sleep(after)
    process.kill()
    process.wait()
    time.sleep(0.5)
    process = _publishing(faulty_run, tmp_path, "--no-upload")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    found = _contents(tmp_path / "hub" / "club" / NAME)
    agent = load_agent(faulty_run, gym_packages=("toy_envs",))
    whole = publish(agent, organization="club", hub_folder=tmp_path / "whole", n_eval_episodes=3, upload=False)
    expected = _contents(whole.bundle.folder)
    assert set(found) == set(expected)
    told_when = {"results.json", "train_eval_metrics.zip"}
    assert {name for name in found if found[name] != expected[name]} <= told_when


def test_what_is_done_and_unchanged_is_not_done_again(
    faulty_run: Run, command: Callable[..., CommandResult], tmp_path: Path
) -> None:
    folder = tmp_path / "hub" / "club" / NAME
    quiet = _flags(faulty_run, "--no-upload", "-n", "20")
    assert command(push_to_hub, *quiet).code == 0
    first = _contents(folder)
    second = command(push_to_hub, *quiet).out
    assert "The evaluation is done already" in second
    assert "The replay is recorded already" in second
    assert _contents(folder) == first
    (folder / "results.json").write_text("{}")
    (folder / f"{NAME}.zip").write_bytes(b"")
    third = command(push_to_hub, *quiet).out
    assert "Evaluating 3 episodes" in third
    assert _contents(folder)[f"{NAME}.zip"] == first[f"{NAME}.zip"]
    assert "Evaluating 3 episodes" in command(push_to_hub, *quiet, "--force").out
    other = command(push_to_hub, *quiet, "--load-checkpoint", "64").out
    assert "Evaluating 3 episodes" in other
    assert "Recording" in other
    assert _contents(folder)[f"{NAME}.zip"] != first[f"{NAME}.zip"]


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--env-kwargs", "scal:2"], ("takes no argument 'scal'", "'scale'")),
        (["--n-eval-episodes", "0"], ("n_eval_episodes",)),
        (["-n", "0"], ("video_length",)),
        (["--deadline", "0"], ("deadline",)),
        (["--license", "mitt"], ("'mitt'", "'mit'")),
        (["--upload-only", "--force"], ("--upload-only",)),
        (["--upload-only", "--repo-name", "other"], ("There is no complete folder",)),
        (["--repo-name", "a--b"], ("'a--b'",)),
    ],
)
def test_a_wrong_wish_is_told_before_anything_is_built(
    flags: list[str], parts: tuple[str, ...], faulty_run: Run, command: Callable[..., CommandResult], tmp_path: Path
) -> None:
    extra = [] if "--upload-only" in flags else ["--no-upload"]
    command(push_to_hub, *_flags(faulty_run, *extra, *flags)).assert_refused(*parts)
    assert not (tmp_path / "hub").exists()


def test_a_hub_folder_that_is_a_file_is_told(
    faulty_run: Run, command: Callable[..., CommandResult], tmp_path: Path
) -> None:
    (tmp_path / "hub").write_text("mine")
    command(push_to_hub, *_flags(faulty_run, "--no-upload")).assert_refused("hub")
    assert (tmp_path / "hub").read_text() == "mine"


def test_links_in_the_folder_are_not_uploaded(
    hub: HubServer,
    faulty_run: Run,
    command: Callable[..., CommandResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in hub.environment(tmp_path / "home", "hf_ann").items():
        monkeypatch.setenv(name, value)
    assert command(push_to_hub, *_flags(faulty_run, "--no-upload", "--no-render")).code == 0
    (tmp_path / "secret").write_text("TOPSECRET")
    (tmp_path / "hub" / "club" / NAME / "extra.txt").symlink_to(tmp_path / "secret")
    result = command(push_to_hub, *_flags(faulty_run, "--no-render"))
    assert result.code == 3
    assert "symbolic link" in result.out
    assert not hub.calls("POST", "/commit/")


def test_a_folder_built_without_an_owner_is_uploaded_under_the_tokens(
    hub: HubServer,
    faulty_run: Run,
    command: Callable[..., CommandResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = [flag for flag in _flags(faulty_run, "--no-render") if flag not in ("-orga", "club")]
    assert command(push_to_hub, *flags, "--no-upload").code == 0
    assert (tmp_path / "hub" / NAME / "README.md").is_file()
    for name, value in hub.environment(tmp_path / "home", "hf_ann").items():
        monkeypatch.setenv(name, value)
    result = command(push_to_hub, *flags, "--upload-only")
    assert result.code == 0, result.out + result.err
    found = hub.repo(f"ann/{NAME}").files()
    assert found == _contents(tmp_path / "hub" / NAME)
    assert b"YOUR_HF_USERNAME" not in found["README.md"]
    shutil.rmtree(tmp_path / "hub")
    missing = command(push_to_hub, *flags, "--upload-only")
    missing.assert_refused("There is no complete folder")


def test_two_at_once_do_not_write_into_each_other(faulty_run: Run, tmp_path: Path) -> None:
    first = _publishing(faulty_run, tmp_path, "--no-upload", TOY_FAULT="hang:step:5")
    _await(first, "Evaluating")
    second = _publishing(faulty_run, tmp_path, "--no-upload")
    _, err = second.communicate(timeout=60)
    assert second.returncode == 2
    assert "Another process is publishing" in err
    first.send_signal(signal.SIGINT)
    assert first.wait(timeout=30) == 3


def test_two_signals_at_once_end_as_one(faulty_run: Run, tmp_path: Path) -> None:
    process = _publishing(faulty_run, tmp_path, "--no-upload", TOY_FAULT="hang:step:5")
    _await(process, "Evaluating")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.03)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 3, out + err
    assert set(_contents(tmp_path / "hub" / "club" / NAME)) >= ALWAYS


def test_a_reader_that_goes_away_ends_nothing(faulty_run: Run, tmp_path: Path) -> None:
    process = _publishing(faulty_run, tmp_path, "--no-upload")
    _await(process, "Loading")
    assert process.stdout is not None
    process.stdout.close()
    process.wait(timeout=60)
    assert set(_contents(tmp_path / "hub" / "club" / NAME)) >= {*ALWAYS, "results.json", "replay.mp4"}


@pytest.mark.parametrize("fault", ["hang:step:5", "pause:step:0"])
def test_after_a_kill_no_process_is_left(fault: str, faulty_run: Run, tmp_path: Path) -> None:
    process = _publishing(faulty_run, tmp_path, "--no-upload", TOY_FAULT=fault)
    _await(process, "Evaluating")
    time.sleep(0.5)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5
    while _running_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _running_in(tmp_path)


def _running_in(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve() == folder.resolve() and (entry / "stat").read_text().split()[2] != "Z":
                found.append(entry.name)
        except OSError:
            continue
    return found
