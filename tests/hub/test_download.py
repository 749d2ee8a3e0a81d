"""From a Hub repository back to a run: what arrives, where it goes, and what it never touches."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rl_experiments import Run, enjoy, load_agent, load_from_hub, push_to_hub
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.hub import DownloadError, download_run
from rl_experiments.hub.download import download_repository
from tests.helpers.commands import CommandResult, run_module
from tests.helpers.hub_repositories import add_repository
from tests.helpers.hub_server import HubServer
from tests.helpers.hub_storage import Repository, StoredFile
from tests.hub.conftest import with_people

Command = Callable[..., CommandResult]
FLAGS = ("--algo", "a2c", "--env", "Pendulum-v1", "-f", "logs", "-orga", "club")


@pytest.fixture(scope="module")
def club(normalized_run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Repository]:
    """What a Hub has when the club has published a normalised agent."""
    folder = tmp_path_factory.mktemp("club")
    flags = (*FLAGS[:4], "-f", str(normalized_run.path.parent.parent), "-orga", "club", "--no-render")
    with HubServer() as hub:
        with_people(hub)
        reached = hub.environment(folder / "home", "hf_ann")
        more = ("--n-eval-episodes", "1", "--verbose", "0")
        pushed = run_module("rl_experiments.push_to_hub", *flags, *more, cwd=folder, **reached)
        assert pushed.code == 0, pushed.err
        return hub.storage.repositories


@pytest.fixture
def published(
    hub: HubServer, club: dict[tuple[str, str], Repository], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> HubServer:
    """A Hub on which the club has a normalised agent."""
    for name, value in hub.environment(tmp_path / "home", "hf_ann").items():
        monkeypatch.setenv(name, value)
    hub.storage.repositories.update(copy.deepcopy(club))
    return hub


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _assert_is(run: Run, published: Run) -> None:
    assert run.final_model.read_bytes() == published.final_model.read_bytes()
    assert run.final_statistics.read_bytes() == published.final_statistics.read_bytes()
    assert run.evaluations_file.read_bytes() == published.evaluations_file.read_bytes()
    assert [file.name for file in run.monitor_files()] == [file.name for file in published.monitor_files()]
    assert dict(run.hyperparameters) == dict(published.hyperparameters)


def test_a_published_agent_comes_back(published: HubServer, normalized_run: Run, tmp_path: Path) -> None:
    run = download_run("a2c", "Pendulum-v1", tmp_path / "logs", organization="club")
    assert run.path == tmp_path / "logs" / "a2c" / "Pendulum-v1_1"
    _assert_is(run, normalized_run)
    assert load_agent(run).recipe.statistics == run.final_statistics
    assert not list(run.path.rglob(".*")), "nothing of the download itself is left"


@pytest.mark.parametrize("name", ["club/a2c-Pendulum-v1", "https://huggingface.co/club/a2c-Pendulum-v1/"])
def test_the_name_of_the_repository_is_enough(
    name: str, published: HubServer, normalized_run: Run, command: Command, tmp_path: Path
) -> None:
    loaded = command(load_from_hub, name, "-f", "logs")
    assert loaded.code == 0, loaded.err
    assert loaded.out.splitlines() == [
        "Saved to logs/a2c/Pendulum-v1_1",
        "Watch it with: python -m rl_experiments.enjoy --algo a2c --env Pendulum-v1 -f logs",
    ]
    _assert_is(Run(tmp_path / "logs/a2c/Pendulum-v1_1", "a2c", "Pendulum-v1"), normalized_run)


def test_the_command_makes_a_run_that_enjoy_plays_and_push_publishes(published: HubServer, command: Command) -> None:
    loaded = command(load_from_hub, *FLAGS)
    assert loaded.code == 0, loaded.err
    watched = command(enjoy, *FLAGS[:6], "--no-render", "--n-episodes", "1")
    assert watched.code == 0, watched.err
    assert "Mean reward" in watched.out
    again = command(push_to_hub, *FLAGS, "-name", "again", "--no-render", "--n-eval-episodes", "1")
    assert again.code == 0, again.err
    first, second = published.repo("club/a2c-Pendulum-v1").files(), published.repo("club/again").files()
    for name in ("a2c-Pendulum-v1.zip", "vec_normalize.pkl", "config.yml"):
        assert first[name] == second[name]


def test_checkpoints_come_too(published: HubServer, normalized_run: Run, tmp_path: Path) -> None:
    repository = published.repo("club/a2c-Pendulum-v1")
    files = dict(repository.commit_of("main").files)
    for path in [*normalized_run.path.glob("rl_model_*"), *normalized_run.path.glob("best_model*")]:
        files[f"checkpoints/{path.name}"] = StoredFile(path.read_bytes(), lfs=True)
    repository.add_commit("main", files, "ann", "checkpoints")
    run = download_repository("club/a2c-Pendulum-v1", tmp_path / "logs")
    _assert_is(run, normalized_run)
    assert run.checkpoints() == normalized_run.checkpoints()
    for which in ("best", "last-checkpoint"):
        assert run.model(which).path.read_bytes() == normalized_run.model(which).path.read_bytes()
        assert load_agent(run, which).recipe.statistics == run.model(which).statistics


def test_a_revision_is_taken_as_it_was(published: HubServer, normalized_run: Run, tmp_path: Path) -> None:
    repository = published.repo("club/a2c-Pendulum-v1")
    repository.tags["v1"] = repository.branches["main"]
    repository.add_commit("main", {"a.txt": StoredFile(b"a", lfs=False)}, "ann", "everything is gone")
    _assert_is(download_repository("club/a2c-Pendulum-v1", tmp_path / "logs", revision="v1"), normalized_run)
    with pytest.raises(NotFoundError, match=r"has no a2c-Pendulum-v1\.zip\. It has: a\.txt$"):
        download_run("a2c", "Pendulum-v1", tmp_path / "logs", organization="club")


def test_a_revision_that_is_not_there_names_the_nearest(published: HubServer, command: Command) -> None:
    result = command(load_from_hub, *FLAGS, "--revision", "mian")
    result.assert_refused("club/a2c-Pendulum-v1", "no revision 'mian'", "Did you mean 'main'?")


def test_a_private_repository_needs_the_right_token(published: HubServer, command: Command) -> None:
    published.repo("club/a2c-Pendulum-v1").private = True
    refused = command(load_from_hub, *FLAGS, "--token", "hf_bob")
    refused.assert_refused("club/a2c-Pendulum-v1", "Repository Not Found", "--token")
    assert command(load_from_hub, *FLAGS, "--token", "hf_ann").code == 0
    assert "hf_ann" not in str(_contents(Path("logs")))


def test_what_is_not_there_is_told(published: HubServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="Repository Not Found"):
        download_run("a2c", "Pendulum-v1", tmp_path / "logs", organization="nobody")
    add_repository(published, "club/empty", {"a.txt": b"a"})
    with pytest.raises(NotFoundError, match=r"has no a2c-Pendulum-v1\.zip\. It has: a\.txt"):
        download_run("a2c", "Pendulum-v1", tmp_path / "logs", organization="club", repo_name="empty")
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((), ("--algo and --env", "load_from_hub sb3/ppo-CartPole-v1")),
        (("--algo", "ppo"), ("--env must be given",)),
        (("ppo-CartPole-v1",), ("'ppo-CartPole-v1'", "<owner>/<name>", "Did you mean 'sb3/ppo-CartPole-v1'?")),
        (("a/b/c",), ("'a/b/c'", "<owner>/<name>")),
        (("../x",), ("'../x'", "<owner>/<name>")),
        (("-orga", "a/b", "-name", "x"), ("'a/b/x'",)),
        (("a/b", "-name", "x"), ("a/b already says", "--repo-name")),
        (("a/b", "-orga", "x"), ("a/b already says", "--organization")),
        (("a/b", "--algo", "pp0"), ("'pp0'", "'ppo'")),
        (("a/b", "--deadline", "0"), ("--deadline", "above 0", "0")),
        (("a/b", "--deadline", "nan"), ("--deadline", "nan")),
        (("a/b", "--algo", "ppo", "--env", "CartPole-v1", "--exp-id", "-2"), ("--exp-id", "-2")),
    ],
)
def test_a_command_line_that_means_nothing_is_refused(
    arguments: tuple[str, ...], parts: tuple[str, ...], command: Command
) -> None:
    command(load_from_hub, *arguments, "-f", "logs").assert_refused(*parts)
    assert not Path("logs").exists()


@pytest.mark.parametrize(("exp_id", "folder"), [("0", "Pendulum-v1_4"), ("7", "Pendulum-v1_7")])
def test_a_number_is_the_next_or_the_one_asked_for(
    exp_id: str, folder: str, published: HubServer, normalized_run: Run, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "logs/a2c/Pendulum-v1_3").mkdir(parents=True)
    loaded = command(load_from_hub, *FLAGS, "--exp-id", exp_id)
    assert loaded.code == 0, loaded.err
    _assert_is(Run(tmp_path / "logs/a2c" / folder, "a2c", "Pendulum-v1"), normalized_run)
    assert {path.name for path in (tmp_path / "logs/a2c").iterdir()} == {"Pendulum-v1_3", folder}


def test_without_a_run_folder_others_stay_as_they_are(
    published: HubServer, normalized_run: Run, command: Command, tmp_path: Path
) -> None:
    other = tmp_path / "logs/a2c/Pendulum-v1_1/Pendulum-v1.zip"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"mine")
    assert command(load_from_hub, *FLAGS, "--exp-id", "-1").code == 0
    _assert_is(Run(tmp_path / "logs/a2c", "a2c", "Pendulum-v1"), normalized_run)
    assert other.read_bytes() == b"mine"
    command(load_from_hub, *FLAGS, "--exp-id", "-1").assert_refused("exists", "--force")
    watched = command(enjoy, *FLAGS[:6], "--exp-id", "-1", "--no-render", "-n", "10")
    assert watched.code == 0, watched.err


def test_a_log_that_is_in_the_way_is_not_replaced_unasked(
    published: HubServer, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "logs/a2c").mkdir(parents=True)
    (tmp_path / "logs/a2c/evaluations.npz").write_bytes(b"mine")
    command(load_from_hub, *FLAGS, "--exp-id", "-1").assert_refused("evaluations.npz exists", "--force")
    assert _contents(tmp_path / "logs") == {"a2c/evaluations.npz": b"mine"}


@pytest.fixture
def existing(published: HubServer, tmp_path: Path) -> Path:
    """A run folder of the user's."""
    folder = tmp_path / "logs/a2c/Pendulum-v1_1"
    (folder / "Pendulum-v1").mkdir(parents=True)
    for name in ("Pendulum-v1.zip", "best_model.zip", "notes.txt", "Pendulum-v1/config.yml", "Pendulum-v1/x.txt"):
        (folder / name).write_bytes(b"mine")
    return folder


def test_a_run_that_exists_is_left_alone(existing: Path, command: Command, published: HubServer) -> None:
    before = _contents(existing)
    command(load_from_hub, *FLAGS, "--exp-id", "1").assert_refused(
        f"{Path('logs/a2c/Pendulum-v1_1')} exists", "--force"
    )
    assert _contents(existing) == before
    assert not published.requests, "it is refused before anything is downloaded"


def test_force_replaces_what_it_brings_and_nothing_else(
    existing: Path, normalized_run: Run, command: Command, tmp_path: Path
) -> None:
    loaded = command(load_from_hub, *FLAGS, "--exp-id", "1", "--force")
    assert loaded.code == 0, loaded.err
    _assert_is(Run(existing, "a2c", "Pendulum-v1"), normalized_run)
    for name in ("best_model.zip", "notes.txt", "Pendulum-v1/x.txt"):
        assert (existing / name).read_bytes() == b"mine"
    assert [path.name for path in existing.parent.iterdir()] == ["Pendulum-v1_1"]


@pytest.mark.parametrize(
    "name", ["evaluations.npz", "0.monitor.csv", "Pendulum-v1/vecnormalize.pkl", "Pendulum-v1/args.yml"]
)
@pytest.mark.parametrize("kind", ["folder", "link", "dangling link"])
def test_force_takes_all_back_where_something_is_in_the_way(
    kind: str, name: str, existing: Path, command: Command, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    if kind == "folder":
        (existing / name).mkdir()
        (existing / name / "inside.txt").write_bytes(b"mine")
    else:
        (existing / name).symlink_to(outside)
        if kind == "link":
            outside.write_bytes(b"mine")
    before = _contents(existing)
    command(load_from_hub, *FLAGS, "--exp-id", "1", "--force").assert_refused(Path(name).name)
    assert _contents(existing) == before
    assert outside.exists() == (kind == "link")
    assert [path.name for path in existing.parent.iterdir()] == ["Pendulum-v1_1"]


@pytest.mark.parametrize("linked", ["Pendulum-v1_1", "Pendulum-v1_1/Pendulum-v1"])
def test_force_writes_through_no_link(linked: str, published: HubServer, command: Command, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = tmp_path / "logs/a2c" / linked
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    command(load_from_hub, *FLAGS, "--exp-id", "1", "--force").assert_refused(str(Path(linked).name), "symbolic link")
    assert not list(outside.iterdir())


@pytest.mark.parametrize("name", ["Pendulum-v1_1", "Pendulum-v1_1/Pendulum-v1"])
def test_force_replaces_no_file_by_a_folder(name: str, published: HubServer, command: Command, tmp_path: Path) -> None:
    place = tmp_path / "logs/a2c" / name
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    command(load_from_hub, *FLAGS, "--exp-id", "1", "--force").assert_refused(f"{name} is no folder")
    assert _contents(tmp_path / "logs") == {f"a2c/{name}": b"mine"}
    assert len(list((tmp_path / "logs/a2c").iterdir())) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(published: HubServer, command: Command, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir(mode=0o555)
    command(load_from_hub, *FLAGS).assert_refused("logs", "cannot be written")


def test_a_file_in_place_of_the_log_folder_is_told(published: HubServer, command: Command, tmp_path: Path) -> None:
    (tmp_path / "logs").write_bytes(b"mine")
    command(load_from_hub, *FLAGS).assert_refused("logs is no folder", "-f")
    assert (tmp_path / "logs").read_bytes() == b"mine"


def test_statistics_of_another_model_are_not_left_to_be_taken_for_its_own(
    published: HubServer, ppo_run: Run, command: Command, tmp_path: Path
) -> None:
    add_repository(published, "club/plain", {"ppo-CartPole-v1.zip": ppo_run.final_model.read_bytes()})
    stale = tmp_path / "logs/ppo/CartPole-v1_1/CartPole-v1/vecnormalize.pkl"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"mine")
    result = command(load_from_hub, "club/plain", "-f", "logs", "--exp-id", "1", "--force")
    result.assert_refused(str(stale.relative_to(tmp_path)), "--exp-id 0")
    assert _contents(tmp_path / "logs") == {"ppo/CartPole-v1_1/CartPole-v1/vecnormalize.pkl": b"mine"}


def test_two_downloads_never_share_a_run(published: HubServer, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(download_repository, "club/a2c-Pendulum-v1", tmp_path / "logs") for _ in range(2)]
        runs = {job.result().path.name for job in waiting}
    assert runs == {"Pendulum-v1_1", "Pendulum-v1_2"}


def test_a_deadline_that_is_no_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--deadline"):
        download_repository("club/x", tmp_path, deadline=float("inf"))
