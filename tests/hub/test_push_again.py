"""Publishing again, from here or from elsewhere: what is ours is brought up to date, what is not is left alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from rl_experiments import Run, push_to_hub
from tests.helpers.commands import CommandResult
from tests.helpers.hub_api import card_problems
from tests.helpers.hub_faults import Fault
from tests.helpers.hub_server import HubServer
from tests.helpers.hub_storage import StoredFile

NAME = "ppo-CartPole-v1"
REPOSITORY = f"club/{NAME}"
Push = Callable[..., CommandResult]


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def push(hub: HubServer, ppo_run: Run, command: Push, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Push:
    """Publish the run of PPO for the club."""
    for name, value in hub.environment(tmp_path / "home", "hf_ann", xet=False).items():
        monkeypatch.setenv(name, value)
    logs = str(ppo_run.path.parent.parent)
    fixed = ["--algo", "ppo", "--env", "CartPole-v1", "-f", logs, "-orga", "club", "--n-eval-episodes", "2", "-n", "4"]

    def run(*arguments: str) -> CommandResult:
        result = command(push_to_hub, *fixed, *arguments)
        assert result.code == 0, result.out + result.err
        return result

    return run


def _edit(hub: HubServer, **files: bytes) -> None:
    """Somebody commits on the Hub."""
    changed = {name.replace("_", "."): StoredFile(content, lfs=False) for name, content in files.items()}
    hub.repo(REPOSITORY).add_commit(
        "main", {**hub.repo(REPOSITORY).commit_of("main").files, **changed}, "ann", "by hand"
    )


def test_nothing_new_is_no_commit(hub: HubServer, push: Push) -> None:
    push()
    commits = len(hub.repo(REPOSITORY).history())
    push()
    assert len(hub.repo(REPOSITORY).history()) == commits


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
def test_a_card_that_was_edited_on_the_hub_keeps_the_edits(
    elsewhere: bool, hub: HubServer, push: Push, tmp_path: Path
) -> None:
    push()
    card = hub.repo(REPOSITORY).files()["README.md"].decode()
    assert "2 episodes" in card
    edited = card.replace("\n# **PPO**", "\n# My agent\n\nMy words about the **PPO**").replace(
        "rl_zoo3.enjoy", "nothing"
    )
    _edit(hub, README_md=edited.replace("---\nlibrary", "---\nlicense: mit\nlibrary").encode())
    if elsewhere:
        shutil.rmtree(tmp_path / "hub")
    push("--n-eval-episodes", "3", "--tags", "best")
    card = hub.repo(REPOSITORY).files()["README.md"].decode()
    assert "# My agent\n\nMy words about the **PPO**" in card
    assert "3 episodes" in card
    assert "2 episodes" not in card
    assert "rl_zoo3.enjoy" in card
    assert "license: mit" in card
    assert "- best" in card
    assert card_problems(card) == ([], [])


def test_a_card_that_was_edited_here_keeps_the_edits(hub: HubServer, push: Push, tmp_path: Path) -> None:
    push("--no-upload")
    card = tmp_path / "hub" / REPOSITORY / "README.md"
    card.write_text(card.read_text() + "\nMy end.\n")
    push()
    assert hub.repo(REPOSITORY).files()["README.md"].decode().endswith("\nMy end.\n")
    push("--n-eval-episodes", "3")
    assert hub.repo(REPOSITORY).files()["README.md"].decode().endswith("\nMy end.\n")


def test_of_two_edited_cards_neither_is_lost(hub: HubServer, push: Push, tmp_path: Path) -> None:
    push()
    card = tmp_path / "hub" / REPOSITORY / "README.md"
    _edit(hub, README_md=card.read_bytes() + b"\nOn the Hub.\n")
    card.write_text(card.read_text() + "\nHere.\n")
    assert "edited here and on the Hub" in push().out
    assert "On the Hub." in hub.repo(REPOSITORY).files()["README.md"].decode()
    assert "Here." in card.parent.with_name(f"{NAME}.README.1.md").read_text()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
def test_our_old_files_go_and_others_stay(elsewhere: bool, hub: HubServer, push: Push, tmp_path: Path) -> None:
    push()
    assert "replay.mp4" in hub.repo(REPOSITORY).files()
    _edit(hub, notes_txt=b"mine")
    if elsewhere:
        shutil.rmtree(tmp_path / "hub")
    push("--no-render")
    files = hub.repo(REPOSITORY).files()
    assert "replay.mp4" not in files
    assert files["notes.txt"] == b"mine"
    assert hub.repo(REPOSITORY).history()[0].title == "Initial commit"
    assert {name: files[name] for name in files if name != "notes.txt"} == _contents(tmp_path / "hub" / REPOSITORY)


def test_a_branch_of_its_own(hub: HubServer, push: Push, tmp_path: Path) -> None:
    push("--revision", "second", "--license", "apache-2.0")
    repository = hub.repo(REPOSITORY)
    on_branch = {name: file.content for name, file in repository.commit_of("second").files.items()}
    assert on_branch == _contents(tmp_path / "hub" / REPOSITORY)
    assert b"license: apache-2.0" in on_branch["README.md"]
    assert "replay.mp4" not in repository.files()


def test_all_checkpoints_and_the_best_as_the_main_model(hub: HubServer, push: Push, ppo_run: Run) -> None:
    push("--all-checkpoints")
    files = hub.repo(REPOSITORY).files()
    assert files[f"{NAME}.zip"] == ppo_run.best_model.read_bytes()
    for steps in ppo_run.checkpoints():
        assert files[f"checkpoints/{steps}/rl_model_{steps}_steps.zip"] == ppo_run.checkpoint(steps).read_bytes()
    assert b"after 64, 128, 192, 256 steps" in files["README.md"]
    push()
    assert not [name for name in hub.repo(REPOSITORY).files() if name.startswith("checkpoints/")]


def test_the_weights_are_there_without_a_pickle(push: Push, ppo_run: Run, tmp_path: Path) -> None:
    push("--no-upload", "--no-render")
    with zipfile.ZipFile(ppo_run.final_model) as archive, archive.open("policy.pth") as stream:
        weights = torch.load(stream, weights_only=True)
    with safe_open(tmp_path / "hub" / REPOSITORY / "policy.safetensors", framework="numpy") as stored:
        about = json.loads(stored.metadata()["rl_experiments"])
        found = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (it is no dictionary)
    found.update({name: found[kept] for name, kept in about["shared"].items()})
    assert about["algorithm"] == "ppo"
    assert set(found) == set(weights)
    assert all(np.array_equal(found[name], tensor.numpy()) for name, tensor in weights.items())


def test_hf_upload_makes_the_same_repository(hub: HubServer, push: Push, tmp_path: Path) -> None:
    push()
    folder = tmp_path / "hub" / REPOSITORY
    done = subprocess.run(
        [str(Path(sysconfig.get_path("scripts")) / "hf"), "upload", "club/by-hand", str(folder)],
        env={**os.environ, **hub.environment(tmp_path / "home", "hf_ann", xet=False)},
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert hub.repo("club/by-hand").files() == hub.repo(REPOSITORY).files() == _contents(folder)


def test_a_large_model_over_a_line_that_breaks_twice_arrives(hub: HubServer, push: Push, tmp_path: Path) -> None:
    push("--no-upload")
    large = np.random.default_rng(0).bytes(15_000_000)
    (tmp_path / "hub" / REPOSITORY / "large.zip").write_bytes(large)
    fault = hub.faults.add(Fault(("PUT", "/lfs/"), "drop_after", bytes=5_000_000, times=2))
    push("--upload-only")
    assert fault.happened == 2
    assert hub.repo(REPOSITORY).files()["large.zip"] == large


@pytest.mark.parametrize("action", ["drop", "status"])
def test_edits_that_the_preflight_could_not_read_are_kept(action: Any, hub: HubServer, push: Push) -> None:
    push()
    card = hub.repo(REPOSITORY).files()["README.md"]
    _edit(hub, README_md=card + b"\nMy end.\n")
    fault = hub.faults.add(Fault(("*", "/resolve/main/README.md"), action, status=503, times=4))
    push("--n-eval-episodes", "3")
    assert fault.happened
    card = hub.repo(REPOSITORY).files()["README.md"]
    assert card.endswith(b"\nMy end.\n")
    assert b"3 episodes" in card


def test_upload_only_keeps_edits_on_the_hub(hub: HubServer, push: Push) -> None:
    push()
    _edit(hub, README_md=hub.repo(REPOSITORY).files()["README.md"] + b"\nMy end.\n")
    push("--upload-only")
    assert hub.repo(REPOSITORY).files()["README.md"].endswith(b"\nMy end.\n")


def test_a_new_branch_begins_with_the_words_of_main(hub: HubServer, push: Push) -> None:
    push()
    _edit(hub, README_md=hub.repo(REPOSITORY).files()["README.md"] + b"\nMy end.\n")
    push("--revision", "dev", "--n-eval-episodes", "3")
    card = hub.repo(REPOSITORY).commit_of("dev").files["README.md"].content
    assert card.endswith(b"\nMy end.\n")
    assert b"3 episodes" in card


def test_attributes_of_others_stay(hub: HubServer, push: Push, tmp_path: Path) -> None:
    push()
    _edit(hub, _gitattributes=b"*.odd filter=lfs diff=lfs merge=lfs -text\n")
    push("--n-eval-episodes", "3")
    attributes = hub.repo(REPOSITORY).files()[".gitattributes"]
    assert b"*.odd" in attributes
    assert b"*.mp4" in attributes
    assert hub.repo(REPOSITORY).files() == _contents(tmp_path / "hub" / REPOSITORY)


def test_a_card_that_is_no_text_is_kept_beside(hub: HubServer, push: Push, tmp_path: Path) -> None:
    push("--no-upload")
    card = tmp_path / "hub" / REPOSITORY / "README.md"
    card.write_bytes("Müller".encode("latin-1"))
    assert "no UTF-8 text" in push("--no-upload").out
    assert card.parent.with_name(f"{NAME}.README.1.md").read_bytes() == "Müller".encode("latin-1")
    assert b"mean reward" in card.read_bytes()


def test_the_later_of_two_bundles_is_uploaded(
    hub: HubServer, ppo_run: Run, command: Push, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flags = ["--algo", "ppo", "--env", "CartPole-v1", "-f", str(ppo_run.path.parent.parent)]
    quick = ["--n-eval-episodes", "2", "--no-render"]
    for name, value in hub.environment(tmp_path / "home", "hf_ann", xet=False).items():
        monkeypatch.setenv(name, value)
    assert command(push_to_hub, *flags, *quick, "--load-checkpoint", "64").code == 0
    built = command(push_to_hub, *flags, *quick, "--no-upload")
    assert f"hf upload {NAME} hub/{NAME}" in built.out
    assert command(push_to_hub, *flags, "--upload-only").code == 0
    files = hub.repo(f"ann/{NAME}").files()
    assert files[f"{NAME}.zip"] == ppo_run.final_model.read_bytes()
    assert b"YOUR_HF_USERNAME" not in files["README.md"]


def test_a_bundle_that_another_agent_left_half_built_is_not_uploaded(push: Push, command: Push, ppo_run: Run) -> None:
    push("--no-upload")
    manifest = Path("hub") / "club" / f"{NAME}.manifest.json"
    content = json.loads(manifest.read_text())
    content["stages"]["card"]["status"] = "outdated"
    manifest.write_text(json.dumps(content))
    flags = ["--algo", "ppo", "--env", "CartPole-v1", "-f", str(ppo_run.path.parent.parent), "-orga", "club"]
    command(push_to_hub, *flags, "--upload-only").assert_refused("There is no complete folder")


def test_the_token_is_not_shown(command: Push, ppo_run: Run, hub: HubServer, push: Push) -> None:
    push("--no-upload")
    flags = ["--algo", "ppo", "--env", "CartPole-v1", "-f", str(ppo_run.path.parent.parent), "-orga", "club"]
    result = command(push_to_hub, *flags, "--upload-only", "--token", "hf_wrongsecret")
    assert result.code == 3
    assert "hf_wrongsecret" not in result.out + result.err
    command(push_to_hub, *flags, "--upload-only", "--token", "hf_a\nb").assert_refused("The token")


def test_a_replay_that_was_replaced_by_hand_stays(push: Push, tmp_path: Path) -> None:
    push("--no-upload")
    replay = tmp_path / "hub" / REPOSITORY / "replay.mp4"
    replay.write_bytes(b"mine")
    assert "was replaced by hand" in push("--no-upload").out
    assert replay.read_bytes() == b"mine"
    assert "is recorded already" in push("--no-upload").out
    push("--no-upload", "--force")
    assert replay.read_bytes() != b"mine"
