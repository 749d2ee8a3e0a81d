"""From a run to a Hub repository, through the command; and to a complete folder, where the Hub is in the way."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sysconfig
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import yaml

from rl_experiments import Run, push_to_hub
from rl_experiments.core import yaml_io
from tests.helpers.commands import CommandResult, run_module
from tests.helpers.hub_api import card_problems
from tests.helpers.hub_faults import Fault
from tests.helpers.hub_server import HubServer
from tests.helpers.tiny import tiny_experiment

NAME = "ppo-CartPole-v1"
REPOSITORY = f"club/{NAME}"
SCORED = ("--n-eval-episodes", "3", "--verbose", "0")
QUICK = (*SCORED, "--no-render", "-orga", "club")
FRAMES = 8
"""The longest replay here has one frame more; untrained agents balance longer than that."""
Publish = Callable[..., CommandResult]


def _of_run(run: Run) -> list[str]:
    return ["--algo", run.algorithm, "--env", run.env_id, "-f", str(run.path.parent.parent)]


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _transfers() -> list[str]:
    """Command lines of processes that still talk to a Hub, and are ours or nobody's: tests run side by side."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode("utf-8", "replace").split("\0")
            parent = int((entry.parent / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent in (1, os.getpid()) and any(word.endswith("hub/transfer.py") for word in words):
            found.append(" ".join(words))
    return found


@pytest.fixture
def publish(hub: HubServer, ppo_run: Run, command: Publish, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Publish:
    """Run the command in this process; only its child talks to the Hub, with Ann's token."""

    def run(
        *arguments: str, run: Run = ppo_run, server: HubServer = hub, token: str | None = "hf_ann"
    ) -> CommandResult:
        for name, value in server.environment(tmp_path / "home", token).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
        return command(push_to_hub, *_of_run(run), *arguments)

    return run


@pytest.fixture(scope="module")
def published(
    ppo_run: Run, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[HubServer, Path, CommandResult]]:
    """An agent that was published by the command in a process of its own: the server, the folder, what was printed."""
    folder = tmp_path_factory.mktemp("published")
    with HubServer() as server:
        server.add_user("ann", token="hf_ann")
        server.add_organization("club", members={"ann"})
        result = run_module(
            "rl_experiments.push_to_hub",
            *_of_run(ppo_run),
            *(*SCORED, "-n", str(FRAMES), "-orga", "club", "-m", "First one"),
            cwd=folder,
            timeout=120,
            **server.environment(folder / "home", "hf_ann"),
        )
        yield server, folder / "hub" / "club" / NAME, result


def test_the_repository_is_the_folder_file_for_file(published: tuple[HubServer, Path, CommandResult]) -> None:
    server, folder, result = published
    assert result.code == 0, result.err
    assert f"Published: {server.url}/{REPOSITORY}" in result.out
    assert result.err == ""
    found = _contents(folder)
    assert server.repo(REPOSITORY).files() == found
    assert {
        *(".gitattributes", "README.md", "args.yml", "config.yml", "env_kwargs.yml", "results.json", "replay.mp4"),
        *("train_eval_metrics.zip", f"{NAME}.zip", f"{NAME}/data", f"{NAME}/policy.pth"),
    } <= set(found)
    assert [commit.title for commit in server.repo(REPOSITORY).history()] == ["First one", "initial commit"]
    assert not server.repo(REPOSITORY).private
    manifest = json.loads((folder.parent / f"{NAME}.manifest.json").read_text())
    assert {entry["path"] for entry in manifest["files"]} == set(found)


def test_the_model_is_the_runs_own(published: tuple[HubServer, Path, CommandResult], ppo_run: Run) -> None:
    server, _, _ = published
    files = server.repo(REPOSITORY).files()
    assert files[f"{NAME}.zip"] == ppo_run.final_model.read_bytes()
    with zipfile.ZipFile(ppo_run.final_model) as archive:
        members = {f"{NAME}/{name}": archive.read(name) for name in archive.namelist()}
    assert {name: content for name, content in files.items() if name.startswith(f"{NAME}/")} == members


def test_leaderboards_can_read_the_card(published: tuple[HubServer, Path, CommandResult]) -> None:
    server, _, _ = published
    files = server.repo(REPOSITORY).files()
    card = files["README.md"].decode()
    results = json.loads(files["results.json"])
    score = f"{results['mean_reward']:.2f} +/- {results['std_reward']:.2f}"
    assert card.startswith("---\n")
    assert card_problems(card) == ([], [])
    assert yaml.safe_load(card.split("---\n")[1]) == {
        "library_name": "stable-baselines3",
        "tags": ["CartPole-v1", "deep-reinforcement-learning", "reinforcement-learning", "stable-baselines3"],
        "model-index": [
            {
                "name": "PPO",
                "results": [
                    {
                        "task": {"type": "reinforcement-learning", "name": "reinforcement-learning"},
                        "dataset": {"name": "CartPole-v1", "type": "CartPole-v1"},
                        "metrics": [{"type": "mean_reward", "value": score, "name": "mean_reward", "verified": False}],
                    }
                ],
            }
        ],
    }
    assert results["n_eval_episodes"] == len(results["returns"]) == 3
    assert np.isclose(results["mean_reward"], np.mean(results["returns"]))
    assert "resolve/main/replay.mp4" in card


def test_the_replay_plays(published: tuple[HubServer, Path, CommandResult]) -> None:
    _, folder, _ = published
    frames = imageio_ffmpeg.read_frames(str(folder / "replay.mp4"))
    width, height = next(frames)["size"]
    pictures = [np.frombuffer(frame, np.uint8) for frame in frames]
    assert (width, height) == (600, 400)
    assert len(pictures) == FRAMES + 1
    assert not np.array_equal(pictures[0], pictures[-1])
    assert pictures[0].std() > 1


def test_without_an_upload_nothing_is_asked_of_the_hub(hub: HubServer, publish: Publish, tmp_path: Path) -> None:
    result = publish(*QUICK, "--no-upload", token=None)
    assert result.code == 0, result.err
    assert (tmp_path / "hub" / REPOSITORY / "README.md").is_file()
    assert hub.requests == []
    assert f"hf upload {REPOSITORY}" in result.out


def test_without_a_token_the_folder_and_the_command_remain(hub: HubServer, publish: Publish, tmp_path: Path) -> None:
    result = publish(*QUICK, "--private", token=None)
    assert result.code == 3
    assert "Not uploaded: there is no token" in result.out
    assert hub.requests == []
    line = next(line for line in result.out.splitlines() if line.startswith("Upload it with: "))
    program, *arguments = shlex.split(line.partition(": ")[2])
    assert program == "hf"
    done = subprocess.run(
        [str(Path(sysconfig.get_path("scripts")) / "hf"), *arguments],
        cwd=tmp_path,
        env={**os.environ, **hub.environment(tmp_path / "home", "hf_ann", xet=False)},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert hub.repo(REPOSITORY).files() == _contents(tmp_path / "hub" / REPOSITORY)
    assert hub.repo(REPOSITORY).private


def test_a_hub_that_hangs_is_left_at_the_deadline(hub: HubServer, publish: Publish, tmp_path: Path) -> None:
    fault = hub.faults.add(Fault(("POST", "/preupload/"), "hang", times=None))
    began = time.monotonic()
    result = publish(*QUICK, "--deadline", "5")
    assert time.monotonic() - began < 20
    assert result.code == 3
    assert "the Hub did not finish: nothing moved for 5 seconds" in result.out
    assert fault.happened == 2  # once more without Xet, because the Hub answered other questions
    assert (tmp_path / "hub" / REPOSITORY / "README.md").is_file()
    assert not _transfers()


@pytest.mark.parametrize(
    ("match", "status", "told"),
    [
        (("POST", "/repos/create"), 401, "401"),
        (("POST", "/repos/create"), 403, "403"),
        (("POST", "/preupload/"), 403, "no room here"),
        (("PUT", "/lfs/"), 413, "Error while uploading"),
    ],
)
def test_a_refusal_is_told_at_once(
    match: tuple[str, str], status: int, told: str, hub: HubServer, publish: Publish, tmp_path: Path
) -> None:
    fault = hub.faults.add(Fault(match, "status", status=status, body={"error": "no room here"}, times=None))
    result = publish(*QUICK)
    assert result.code == 3
    reason = next(line for line in result.out.splitlines() if line.startswith("Not uploaded: "))
    assert told in reason
    assert "Traceback" not in result.out + result.err
    assert "hf_ann" not in result.out + result.err
    assert 1 <= fault.happened <= 12  # large files go in parallel, and nothing is tried again
    assert len(hub.calls("POST", "/preupload/")) <= 2
    assert (tmp_path / "hub" / REPOSITORY / "README.md").is_file()


def test_a_foreign_organisation_is_refused(publish: Publish, hub: HubServer) -> None:
    result = publish(*QUICK, token="hf_bob")
    assert result.code == 3
    assert "may not publish under 'club'. It may under: bob" in result.out
    assert not hub.calls("POST", "/repos/create")


@pytest.mark.parametrize(
    ("match", "action", "options"),
    [
        (("POST", "/repos/create"), "status", {"status": 500}),
        (("POST", "/validate-yaml"), "status", {"status": 502, "body": "<html>"}),
        (("PUT", "/lfs/"), "drop_after", {"bytes": 1000}),
        (("POST", "/commit/"), "status", {"status": 503}),
        (("POST", "/commit/"), "drop_answer", {}),
    ],
)
def test_what_passes_is_waited_for(
    match: tuple[str, str], action: Any, options: dict[str, Any], hub: HubServer, publish: Publish, tmp_path: Path
) -> None:
    fault = hub.faults.add(Fault(match, action, **options))
    result = publish(*QUICK)
    assert result.code == 0, result.out
    assert fault.happened == 1
    assert hub.repo(REPOSITORY).files() == _contents(tmp_path / "hub" / REPOSITORY)
    assert len(hub.repo(REPOSITORY).history()) == 2


@pytest.mark.slow
def test_a_hub_that_stays_in_trouble_is_given_up(hub: HubServer, publish: Publish) -> None:
    fault = hub.faults.add(Fault(("POST", "/repos/create"), "status", status=500, times=None))
    result = publish(*QUICK)
    assert result.code == 3
    assert "500" in result.out
    assert fault.happened == 5


def test_a_hub_with_xet(xet_hub: HubServer, publish: Publish, tmp_path: Path) -> None:
    result = publish(*QUICK, server=xet_hub)
    assert result.code == 0, result.out
    assert xet_hub.repo(REPOSITORY).files() == _contents(tmp_path / "hub" / REPOSITORY)
    assert len(xet_hub.calls("POST", "/cas/v1/shards")) == 1
    assert not xet_hub.calls("PUT", "/lfs/")


def test_a_private_repository(hub: HubServer, publish: Publish) -> None:
    assert publish(*QUICK, "--private", "-name", "secret").code == 0
    assert hub.repo("club/secret").private


def test_the_tokens_owner_is_the_default(hub: HubServer, publish: Publish, tmp_path: Path) -> None:
    assert publish(*SCORED, "--no-render").code == 0
    assert hub.repo(f"ann/{NAME}").files() == _contents(tmp_path / "hub" / "ann" / NAME)


@pytest.mark.parametrize("saved", [False, True])
def test_a_render_mode_of_human_is_overridden_and_said(
    saved: bool, hub: HubServer, publish: Publish, ppo_run: Run, tmp_path: Path
) -> None:
    arguments = ["--n-eval-episodes", "1", "-orga", "club", "-n", "3"]
    run = ppo_run
    if saved:
        copied = shutil.copytree(ppo_run.path, tmp_path / "logs" / "ppo" / ppo_run.path.name)
        settings = {**ppo_run.arguments, "env_kwargs": {"render_mode": "human"}}
        (copied / ppo_run.env_name / "args.yml").write_text(yaml_io.dump_like_the_zoo(settings))
        run = Run(copied, "ppo", ppo_run.env_name)
        assert run.env_kwargs == {"render_mode": "human"}
    else:
        arguments += ["--env-kwargs", "render_mode:human"]
    result = publish(*arguments, run=run)
    assert result.code == 0, result.out
    assert "render_mode is 'human' in the arguments: the replay uses 'rgb_array'" in result.out
    files = hub.repo(REPOSITORY).files()
    assert "replay.mp4" in files
    assert b"render_mode" not in files["args.yml"] + files["env_kwargs.yml"] + files["README.md"]


def test_an_environment_that_cannot_draw_is_published_without_a_replay(
    hub: HubServer, publish: Publish, tmp_path: Path
) -> None:
    experiment = tiny_experiment("ppo", "ToyInvisible-v0", tmp_path / "logs", gym_packages=["toy_envs"])
    run = experiment.run().run
    result = publish("--n-eval-episodes", "2", "-orga", "club", "--gym-packages", "toy_envs", run=run)
    assert result.code == 0, result.out
    assert "There will be no replay, because no picture can be drawn" in result.out
    files = hub.repo("club/ppo-ToyInvisible-v0").files()
    assert not [name for name in files if name.startswith("replay")]
    card = files["README.md"].decode()
    assert "There is no replay: no picture could be drawn" in card
    assert "<video" not in card
    assert card_problems(card) == ([], [])
    assert "55.00 +/- 0.00" in card


def test_publishing_again_takes_our_old_files_away_and_leaves_the_users(
    hub: HubServer, publish: Publish, tmp_path: Path
) -> None:
    folder = tmp_path / "hub" / REPOSITORY
    drawn = (*SCORED, "-orga", "club", "-n", "3")
    assert publish(*drawn, "--no-upload").code == 0
    (folder / "notes.txt").write_text("mine")
    (folder / NAME / "notes.txt").write_text("mine too")
    for _ in range(2):
        assert publish(*QUICK).code == 0
        assert not (folder / "replay.mp4").exists()
        assert (folder / "notes.txt").read_text() == "mine"
        assert (folder / NAME / "notes.txt").read_text() == "mine too"
    assert hub.repo(REPOSITORY).files() == _contents(folder)
    listed = {entry["path"] for entry in json.loads((folder.parent / f"{NAME}.manifest.json").read_text())["files"]}
    assert listed == set(_contents(folder)) - {"notes.txt", f"{NAME}/notes.txt"}


@pytest.mark.parametrize(
    ("flag", "name"), [("-name", ".."), ("-name", "../x"), ("-name", "a/b"), ("-orga", ".."), ("-orga", "/tmp")]
)
def test_names_that_leave_the_folder_are_refused(flag: str, name: str, publish: Publish, tmp_path: Path) -> None:
    publish(*QUICK, flag, name).assert_refused(f"'{name}'")
    assert not (tmp_path / "hub").exists()


def test_a_manifest_cannot_delete_outside_its_folder(publish: Publish, tmp_path: Path) -> None:
    assert publish(*QUICK, "--no-upload").code == 0
    manifest = tmp_path / "hub" / "club" / f"{NAME}.manifest.json"
    (tmp_path / "precious.txt").write_text("mine")
    manifest.write_text(json.dumps({"files": [{"path": "../../../precious.txt"}, {"path": str(manifest)}]}))
    assert publish(*QUICK, "--no-upload").code == 0
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_a_damaged_record_costs_no_publish(hub: HubServer, publish: Publish, ppo_run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "logs" / "ppo" / ppo_run.path.name
    shutil.copytree(ppo_run.path, copy)
    (copy / "run.json").write_text("{broken")
    assert publish(*QUICK, "--no-upload", run=Run(copy, "ppo", ppo_run.env_name)).code == 0


def test_links_are_not_published(hub: HubServer, publish: Publish, ppo_run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "logs" / "ppo" / ppo_run.path.name
    shutil.copytree(ppo_run.path, copy)
    (tmp_path / "secret").write_text("TOPSECRET")
    (copy / "0.monitor.csv").unlink()
    (copy / "0.monitor.csv").symlink_to(tmp_path / "secret")
    result = publish(*QUICK, "--no-upload", run=Run(copy, "ppo", ppo_run.env_name))
    assert result.code == 2
    assert "symbolic link" in result.err


def test_the_text_of_a_card_that_is_not_ours_stays_in_it(publish: Publish, tmp_path: Path) -> None:
    folder = tmp_path / "hub" / REPOSITORY
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("MINE")
    for _ in range(2):
        assert publish(*QUICK, "--no-upload").code == 0
        card = (folder / "README.md").read_text()
        assert card.count("MINE") == card.count("mean reward") == 1
        assert card_problems(card) == ([], [])
