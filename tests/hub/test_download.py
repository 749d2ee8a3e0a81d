"""From a Hub repository back to a run; what arrives otherwise than it was published is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rl_experiments import Run, enjoy, load_agent, load_from_hub, push_to_hub
from rl_experiments.core.errors import NotFoundError
from rl_experiments.hub import DownloadError, download_run
from tests.helpers.hub_faults import Fault
from tests.helpers.hub_server import HubServer
from tests.helpers.hub_storage import StoredFile


@pytest.fixture
def published(
    hub: HubServer, normalized_run: Run, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> HubServer:
    """A Hub on which the club has a normalised agent."""
    for name, value in hub.environment(tmp_path / "home", "hf_ann").items():
        monkeypatch.setenv(name, value)
    folder = normalized_run.path.parent.parent
    flags = ("--algo", "a2c", "--env", "Pendulum-v1", "-f", str(folder), "-orga", "club", "--no-render")
    assert command(push_to_hub, *flags, "--n-eval-episodes", "1", "--verbose", "0").code == 0
    hub.requests.clear()
    return hub


def test_a_published_agent_comes_back(published: HubServer, normalized_run: Run, tmp_path: Path) -> None:
    run = download_run("a2c", "Pendulum-v1", tmp_path / "logs", organization="club")
    assert run.path == tmp_path / "logs" / "a2c" / "Pendulum-v1_1"
    assert run.final_model.read_bytes() == normalized_run.final_model.read_bytes()
    assert run.final_statistics.read_bytes() == normalized_run.final_statistics.read_bytes()
    assert run.evaluations_file.read_bytes() == normalized_run.evaluations_file.read_bytes()
    assert dict(run.hyperparameters) == dict(normalized_run.hyperparameters)
    assert load_agent(run).recipe.statistics == run.final_statistics


@pytest.mark.parametrize(
    "fault",
    [Fault(("GET", "/lfs-objects/"), "corrupt"), Fault(("GET", "/api/models/"), "wrong_sha")],
    ids=["corrupt", "wrong_sha"],
)
def test_damage_is_noticed(fault: Fault, published: HubServer, tmp_path: Path) -> None:
    published.faults.add(fault)
    with pytest.raises(DownloadError, match="arrived damaged"):
        download_run("a2c", "Pendulum-v1", tmp_path / "logs", organization="club")
    assert fault.happened == 1
    assert not (tmp_path / "logs").exists()


def test_a_connection_that_breaks_is_made_again(published: HubServer, normalized_run: Run, tmp_path: Path) -> None:
    fault = published.faults.add(Fault(("GET", "/lfs-objects/"), "drop_after", bytes=1000))
    run = download_run("a2c", "Pendulum-v1", tmp_path / "logs", organization="club")
    assert fault.happened == 1
    assert run.final_model.read_bytes() == normalized_run.final_model.read_bytes()


def test_what_is_not_there_is_told(published: HubServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="Repository Not Found"):
        download_run("a2c", "Pendulum-v1", tmp_path / "logs", organization="nobody")
    published.add_repo("club/empty").add_commit("main", {"a.txt": StoredFile(b"a", lfs=False)}, "ann", "other")
    with pytest.raises(NotFoundError, match=r"has no a2c-Pendulum-v1\.zip\. It has: a\.txt"):
        download_run("a2c", "Pendulum-v1", tmp_path / "logs", organization="club", repo_name="empty")
    assert not (tmp_path / "logs").exists()


def test_a_hub_that_hangs_is_left_at_the_deadline(published: HubServer, tmp_path: Path) -> None:
    published.faults.add(Fault(("GET", "/api/models/"), "hang", times=None))
    with pytest.raises(DownloadError, match="nothing moved for 2 seconds"):
        download_run("a2c", "Pendulum-v1", tmp_path / "logs", organization="club", deadline=2)


def test_the_command_makes_a_run_that_enjoy_plays(
    published: HubServer, command: Callable[..., Any], tmp_path: Path
) -> None:
    flags = ("--algo", "a2c", "--env", "Pendulum-v1", "-f", str(tmp_path / "logs"))
    loaded = command(load_from_hub, *flags, "-orga", "club")
    assert loaded.code == 0, loaded.err
    assert f"Saved to {tmp_path / 'logs' / 'a2c' / 'Pendulum-v1_1'}" in loaded.out
    watched = command(enjoy, *flags, "--no-render", "--n-episodes", "1")
    assert watched.code == 0, watched.err
    assert "Mean reward" in watched.out
    again = command(load_from_hub, *flags, "-orga", "club", "--exp-id", "1")
    assert again.code == 2
    assert "--force" in again.err
