"""The Hub on loopback, seen by the unmodified client: what works, and what the client does when something fails."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import CommandResult, run_python
from tests.helpers.hub_faults import Action, Fault
from tests.helpers.hub_server import HubServer
from tests.helpers.hub_storage import StoredFile

PRELUDE = """
import json, sys, warnings
from pathlib import Path
from huggingface_hub import *
from huggingface_hub import constants
from huggingface_hub.errors import *
api = HfApi()

def outcome(call, *arguments, **named):
    try:
        call(*arguments, **named)
        return "ok"
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def result():
"""
UPLOAD = "return outcome(api.upload_folder, repo_id='ann/x', folder_path='folder')"
SIZE = 3_000_000
Client = Callable[..., Any]


def _files() -> dict[str, bytes]:
    """What is uploaded: two large files that do not compress, one that does, one of a binary kind, and text."""
    noise = random.Random(0)
    return {
        "README.md": b"---\ntags:\n- CartPole-v1\nlibrary_name: stable-baselines3\n---\n# A card\n",
        "agent.zip": noise.randbytes(SIZE),
        "config.yml": b"!!python/object/apply:collections.OrderedDict\n- []\n",
        "sub/empty.txt": b"",
        "sub/folder/a name with spaces.txt": "ä text\n".encode(),
        "vec_normalize.pkl": b"much the same " * 5000,
        "replay.mp4": b"\0\0\0\x20ftypisom" + noise.randbytes(200_000),
    }


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """The files, in ``folder``."""
    found = _files()
    for name, content in found.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    return found


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """Run the body of a function in a child process, and give what it returns."""

    def run(server: HubServer, body: str, token: str | None = "hf_ann", xet: bool = False, home: str = "home") -> Any:
        indented = "".join(f"    {line}\n" for line in body.strip().splitlines())
        code = f"{PRELUDE}{indented}\nprint(json.dumps(result()))"
        environment = server.environment(tmp_path / home, token, xet=xet)
        done = run_python("-c", code, cwd=tmp_path, timeout=60, **environment)
        assert done.code == 0, done.err
        return json.loads(done.out.splitlines()[-1])

    return run


def _hf(server: HubServer, folder: Path, *arguments: str, token: str | None = "hf_ann") -> CommandResult:
    """Run the ``hf`` command."""
    import os

    done = subprocess.run(
        [str(Path(sysconfig.get_path("scripts")) / "hf"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **server.environment(folder / "home", token, xet=False)},
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


def _sent(server: HubServer) -> int:
    """Bytes of large files that were sent."""
    return server.received("PUT", "/lfs/") + server.received("POST", "/cas/v1/xorbs/")


@pytest.mark.parametrize("xet", [False, True])
def test_a_folder_goes_up_and_comes_back(
    xet: bool, hub: HubServer, xet_hub: HubServer, client: Client, files: dict[str, bytes], tmp_path: Path
) -> None:
    server = xet_hub if xet else hub
    seen = client(
        server,
        """
url = api.create_repo("club/agent", private=False)
commit = api.upload_folder(repo_id=url.repo_id, folder_path="folder", commit_message="All")
info = api.model_info(url.repo_id, files_metadata=True)
local = Path(snapshot_download(url.repo_id))
one = Path(hf_hub_download(url.repo_id, "agent.zip", local_dir="one"))
return {
    "url": str(url), "commit": commit.oid, "sha": info.sha, "tags": info.tags, "library": info.library_name,
    "siblings": {item.rfilename: item.lfs.sha256 for item in info.siblings if item.lfs},
    "sizes": {item.rfilename: item.size for item in info.siblings},
    "files": sorted(api.list_repo_files(url.repo_id)),
    "tree": [entry.path for entry in api.list_repo_tree(url.repo_id, "sub")],
    "exists": [api.file_exists(url.repo_id, name) for name in ("README.md", "agent.zip", "nothing")],
    "local": str(local), "one": str(one),
}""",
        xet=xet,
    )
    expected = {**files, ".gitattributes": server.repo("club/agent").files()[".gitattributes"]}
    assert server.repo("club/agent").files() == expected
    assert seen["url"] == f"{server.url}/club/agent"
    assert seen["commit"] == seen["sha"] == server.repo("club/agent").branches["main"]
    assert {"CartPole-v1", "stable-baselines3"} <= set(seen["tags"])
    assert seen["library"] == "stable-baselines3"
    assert seen["siblings"]["agent.zip"] == hashlib.sha256(files["agent.zip"]).hexdigest()
    assert set(seen["siblings"]) == {"agent.zip", "vec_normalize.pkl", "replay.mp4"}
    assert seen["sizes"] == {name: len(content) for name, content in expected.items()}
    assert seen["files"] == sorted(expected)
    assert seen["tree"] == ["sub/empty.txt", "sub/folder"]
    assert seen["exists"] == [True, True, False]
    assert {name: (Path(seen["local"]) / name).read_bytes() for name in expected} == expected
    assert Path(seen["one"]).read_bytes() == files["agent.zip"]
    assert SIZE < _sent(server) < 1.2 * SIZE
    assert bool(server.calls("POST", "/cas/v1/shards")) is xet


@pytest.mark.parametrize("xet", [False, True])
def test_a_second_upload_sends_almost_nothing(
    xet: bool, hub: HubServer, xet_hub: HubServer, client: Client, files: dict[str, bytes], tmp_path: Path
) -> None:
    server = xet_hub if xet else hub
    server.add_repo("ann/x")
    assert client(server, UPLOAD, xet=xet) == "ok"
    sent, commits = _sent(server), len(server.repo("ann/x").history())
    assert client(server, UPLOAD, xet=xet) == "ok"
    assert _sent(server) == sent
    assert len(server.repo("ann/x").history()) == commits == 2
    (tmp_path / "folder" / "config.yml").write_bytes(b"changed\n")
    assert client(server, UPLOAD, xet=xet) == "ok"
    assert _sent(server) == sent
    assert server.repo("ann/x").files()["config.yml"] == b"changed\n"
    assert len(server.repo("ann/x").history()) == 3


def test_without_xet_the_client_fails_until_xet_is_forbidden(
    hub: HubServer, client: Client, files: dict[str, bytes]
) -> None:
    hub.add_repo("ann/x")
    told = client(hub, UPLOAD, xet=True)
    assert told.startswith("ConnectionError: Network error")
    assert "xet-write-token" in told
    assert client(hub, f"constants.HF_HUB_DISABLE_XET = True\n{UPLOAD}", xet=True) == "ok"


def test_commits_branches_and_tags(hub: HubServer, client: Client, files: dict[str, bytes]) -> None:
    seen = client(
        hub,
        """
repo = api.create_repo("x").repo_id
api.upload_folder(repo_id=repo, folder_path="folder")
api.create_branch(repo, branch="other/branch")
api.create_tag(repo, tag="v1")
api.upload_file(repo_id=repo, path_or_fileobj=b"new", path_in_repo="new.txt", revision="other/branch")
api.create_commit(repo, commit_message="Several", commit_description="at once", operations=[
    CommitOperationDelete("config.yml"), CommitOperationDelete("sub/"), CommitOperationAdd("a/b.txt", b"b"),
    CommitOperationCopy("agent.zip", "copy.zip"), CommitOperationCopy("README.md", "copy.md")])
api.delete_file("replay.mp4", repo)
refs = api.list_repo_refs(repo)
return {
    "branches": [ref.name for ref in refs.branches], "tags": [ref.name for ref in refs.tags],
    "titles": [commit.title for commit in api.list_repo_commits(repo)],
    "infos": [info.path for info in api.get_paths_info(repo, ["a", "a/b.txt", "nothing"])],
    "other": sorted(api.list_repo_files(repo, revision="other/branch")),
    "first": api.list_repo_files(repo, revision=api.list_repo_commits(repo)[-1].commit_id),
    "tagged": Path(hf_hub_download(repo, "config.yml", revision="v1")).read_text(),
    "wrong": [outcome(api.list_repo_files, repo, revision="no"), outcome(hf_hub_download, repo, "no"),
              outcome(api.delete_file, "no", repo), outcome(api.create_branch, repo, branch="main"),
              outcome(api.create_repo, "x"), outcome(api.create_repo, "x", exist_ok=True),
              outcome(api.create_commit, repo, commit_message="x", parent_commit="0" * 40,
                      operations=[CommitOperationAdd("x", b"x")])],
}""",
    )
    stored = hub.repo("ann/x").files()
    assert stored["copy.zip"] == stored["agent.zip"] == files["agent.zip"]
    assert stored["copy.md"] == files["README.md"]
    assert stored["a/b.txt"] == b"b"
    assert not {"config.yml", "replay.mp4", "sub/empty.txt"} & set(stored)
    assert seen["branches"] == ["main", "other/branch"]
    assert seen["tags"] == ["v1"]
    assert seen["titles"][0] == "Delete replay.mp4 with huggingface_hub"
    assert seen["titles"][-1] == "initial commit"
    assert seen["infos"] == ["a", "a/b.txt"]
    assert {"new.txt", "config.yml"} <= set(seen["other"])
    assert seen["first"] == [".gitattributes"]
    assert seen["tagged"] == files["config.yml"].decode()
    reasons = [
        "RevisionNotFoundError",
        "RemoteEntryNotFoundError",
        "RemoteEntryNotFoundError",
        "409",
        "409",
        "ok",
        "412",
    ]
    for reason, told in zip(reasons, seen["wrong"], strict=True):
        assert reason in told


def test_what_is_private_or_foreign_is_refused(hub: HubServer, client: Client, files: dict[str, bytes]) -> None:
    hub.add_repo("ann/x", private=True)
    hub.add_repo("ann/open")
    body = """
return [outcome(api.model_info, "ann/x"), outcome(hf_hub_download, "ann/x", ".gitattributes"),
        outcome(api.upload_file, repo_id="ann/open", path_or_fileobj=b"1", path_in_repo="1.txt"),
        outcome(api.create_repo, "club/new"), outcome(api.whoami)]"""
    missing = "RepositoryNotFoundError: 404"
    assert client(hub, body, "hf_ann") == ["ok"] * 5
    told = client(hub, body, "hf_bob", home="bob")
    assert all(text.startswith(missing) for text in told[:2])
    assert "403" in told[2]
    assert "under the namespace" in told[3]
    assert "write token" in client(hub, body, "hf_eve", home="eve")[2]
    told = client(hub, body, None, home="nobody")
    assert told[0].startswith("RepositoryNotFoundError: 401")
    assert told[1].startswith("RepositoryNotFoundError: 401")
    assert told[4].startswith("LocalTokenNotFoundError")
    told = client(hub, body, "hf_wrong", home="wrong")
    assert "Invalid credentials" in told[2]
    assert "Invalid user token" in told[4]


def test_the_hf_command(hub: HubServer, files: dict[str, bytes], tmp_path: Path) -> None:
    told = _hf(hub, tmp_path, "auth", "whoami")
    assert told.code == 0
    assert "ann" in told.out
    assert "club" in told.out
    told = _hf(hub, tmp_path, "upload", "club/agent", "folder", "--private")
    assert told.code == 0, told.err
    assert hub.repo("club/agent").private
    told = _hf(hub, tmp_path, "download", "club/agent", "--local-dir", "back")
    assert told.code == 0, told.err
    back = {name: (tmp_path / "back" / name).read_bytes() for name in hub.repo("club/agent").files()}
    assert back == hub.repo("club/agent").files()
    assert {name: back[name] for name in files} == files
    assert _hf(hub, tmp_path, "download", "club/agent", "--local-dir", "no", token="hf_bob").code != 0


def test_huggingface_sb3_loads(hub: HubServer, client: Client, files: dict[str, bytes]) -> None:
    hub.add_repo("ann/x")
    body = f"outcome(lambda: {UPLOAD.removeprefix('return ')})\nfrom huggingface_sb3 import load_from_hub\n"
    path = client(hub, body + "return load_from_hub('ann/x', 'agent.zip')")
    assert Path(path).read_bytes() == files["agent.zip"]


def test_cards_are_checked_and_pushed(hub: HubServer, client: Client) -> None:
    hub.add_repo("ann/x")
    seen = client(
        hub,
        r"""
good = ModelCard("---\ntags:\n- a\n---\n# Good\n")
bad = "---\nmodel-index:\n- results: []\n---\n"
good.push_to_hub("ann/x")
return {
    "good": outcome(good.validate),
    "bad": outcome(api._validate_yaml, bad),
    "broken": outcome(api._validate_yaml, "---\na: [\n---\n"),
    "committed": outcome(
        api.create_commit, "ann/x", [CommitOperationAdd("README.md", bad.encode())], commit_message="Bad"
    ),
    "loaded": ModelCard.load("ann/x").data.tags,
    "updated": metadata_update("ann/x", {"tags": ["b"]}, overwrite=True),
    "found": [model.id for model in api.list_models(filter="b", author="ann")],
}""",
    )
    assert seen["good"] == "ok"
    assert "model-index[0].name" in seen["bad"]
    assert seen["broken"].startswith("ValueError: Invalid metadata")
    assert seen["committed"].startswith("ValueError: Invalid metadata")
    assert seen["loaded"] == ["a"]
    assert seen["found"] == ["ann/x"]
    assert b"- b" in hub.repo("ann/x").files()["README.md"]


def test_pages_and_parts(client: Client, files: dict[str, bytes]) -> None:
    with HubServer(page_size=2, multipart_above=1_000_000) as server:
        server.add_user("ann", token="hf_ann")
        server.add_repo("ann/x")
        body = "if (told := outcome(api.upload_folder, repo_id='ann/x', folder_path='folder')) != 'ok': return told\n"
        assert client(server, f"{body}return len(api.list_repo_files('ann/x'))") == len(files) + 1
        assert server.repo("ann/x").files()["agent.zip"] == files["agent.zip"]
        assert len(server.calls("PUT", "part=")) == 3
        assert len(server.calls("GET", "/tree/")) > 3


@pytest.mark.parametrize(
    ("xet", "match", "action", "options", "outcome"),
    [
        (False, ("PUT", "/lfs/"), "drop_after", {"bytes": 100_000}, "ok"),
        (False, ("PUT", "/lfs/"), "status", {"status": 413}, "RuntimeError: Error while uploading"),
        (False, ("PUT", "/lfs/"), "slow", {"bytes_per_second": 5e6}, "ok"),
        (False, ("POST", "objects/batch"), "status", {"status": 429, "headers": {"Retry-After": "0"}}, "ok"),
        (False, ("POST", "/preupload/"), "drop", {}, "ok"),
        (False, ("POST", "/commit/"), "status", {"status": 503}, "HfHubHTTPError: Server error '503"),
        (False, ("POST", "/commit/"), "drop_answer", {}, "RemoteProtocolError"),
        (False, ("POST", "/validate-yaml"), "status", {"status": 502, "body": "<html>"}, "JSONDecodeError"),
        (False, ("POST", "/preupload/"), "status", {"status": 403, "body": {"error": "not you"}}, "not you"),
        (True, ("GET", "xet-write-token"), "status", {"status": 503}, "ok"),
        (True, ("POST", "/cas/v1/xorbs"), "drop_after", {"bytes": 100_000}, "ok"),
        (True, ("POST", "/cas/v1/xorbs"), "status", {"status": 403}, "ConnectionError: Network error"),
        (True, ("POST", "/commit/"), "status", {"status": 503}, "ok"),
        (True, ("POST", "/commit/"), "drop_answer", {}, "ok"),
    ],
)
def test_what_the_client_does_when_an_upload_fails(
    xet: bool,
    match: tuple[str, str],
    action: Action,
    options: dict[str, Any],
    outcome: str,
    xet_hub: HubServer,
    client: Client,
    files: dict[str, bytes],
) -> None:
    xet_hub.add_repo("ann/x")
    fault = xet_hub.faults.add(Fault(match, action, **options))
    assert outcome in client(xet_hub, UPLOAD, xet=xet)
    assert fault.happened == 1
    assert any(record.fault == action for record in xet_hub.calls(*match))
    applied = outcome == "ok" or action == "drop_answer"
    assert ("agent.zip" in xet_hub.repo("ann/x").files()) is applied
    if match[1] == "/commit/" and not xet:  # an upload that is run again sends nothing twice
        again = len(xet_hub.requests)
        assert client(xet_hub, UPLOAD) == "ok"
        assert xet_hub.repo("ann/x").files().items() >= files.items()
        assert not [record for record in xet_hub.requests[again:] if record.method == "PUT"]


def test_a_lost_answer_to_a_commit_is_committed_twice_with_xet(
    xet_hub: HubServer, client: Client, files: dict[str, bytes]
) -> None:
    xet_hub.add_repo("ann/x")
    xet_hub.faults.add(Fault(("POST", "/commit/"), "drop_answer"))
    assert client(xet_hub, UPLOAD, xet=True) == "ok"
    assert len(xet_hub.repo("ann/x").history()) == 3


def test_downloads_that_fail(hub: HubServer, client: Client, files: dict[str, bytes], tmp_path: Path) -> None:
    hub.add_repo("ann/x")
    assert client(hub, UPLOAD) == "ok"
    download = "return hf_hub_download('ann/x', 'agent.zip')"

    hub.faults.add(Fault(("GET", "/lfs-objects/"), "corrupt"))
    damaged = Path(client(hub, download, home="corrupt")).read_bytes()
    assert len(damaged) == SIZE
    assert damaged != files["agent.zip"]

    hub.faults.add(Fault(("GET", "/api/models/ann/x"), "wrong_sha"))
    info = "found = api.model_info('ann/x', files_metadata=True)\n"
    told = client(hub, f"{info}return [item.lfs.sha256 for item in found.siblings if item.lfs]")
    true = [hashlib.sha256(files[name]).hexdigest() for name in ("agent.zip", "replay.mp4", "vec_normalize.pkl")]
    assert told == [digest[::-1] for digest in true]

    refused = hub.faults.add(Fault(("HEAD", "/resolve/"), "status", status=401, times=None))
    assert "401" in client(hub, f"return outcome({download[7:-1].replace('(', ', ', 1)})", home="refused")
    assert refused.happened > 0


def test_a_download_that_breaks_goes_on_where_it_was(hub: HubServer, client: Client) -> None:
    content = bytes(range(256)) * 50_000
    hub.add_repo("ann/x").add_commit("main", {"large.bin": StoredFile(content, lfs=True)}, "ann", "large")
    dropped = hub.faults.add(Fault(("GET", "/lfs-objects/"), "drop_after", bytes=11_000_000))
    assert Path(client(hub, "return hf_hub_download('ann/x', 'large.bin')")).read_bytes() == content
    assert dropped.happened == 1
    first, second = hub.calls("GET", "/lfs-objects/")
    # The client writes 10 MiB at a time, and forgets the rest.
    assert (first.sent, second.sent) == (11_000_000, len(content) - 10 * 2**20)
    assert (first.status, second.status) == (200, 206)


def test_a_slow_hub_takes_its_time(hub: HubServer, client: Client) -> None:
    hub.faults.add(Fault(("GET", "/whoami-v2"), "slow", bytes_per_second=300))
    seconds = client(hub, "import time\nbegan = time.time()\napi.whoami()\nreturn time.time() - began")
    assert 0.5 < seconds < 5


def test_a_hub_that_hangs_hangs_the_client_until_the_server_closes(client: Client, tmp_path: Path) -> None:
    with HubServer() as server:
        server.add_user("ann", token="hf_ann")
        fault = server.faults.add(Fault(("GET", "/whoami-v2"), "hang", times=None))
        with pytest.raises(subprocess.TimeoutExpired):
            run_python(
                "-c",
                "from huggingface_hub import HfApi; HfApi().whoami()",
                cwd=tmp_path,
                timeout=1.5,
                **server.environment(tmp_path / "home", "hf_ann"),
            )
        assert fault.happened == 1
        began = time.monotonic()
    assert time.monotonic() - began < 1


def test_faults_can_be_skipped_counted_and_taken_back(hub: HubServer, client: Client) -> None:
    fault = hub.faults.add(Fault(("GET", "/whoami-v2"), "status", status=500, skip=1, times=2))
    body = "return [outcome(api.whoami)[:14] for _ in range(5)]"
    assert client(hub, body) == ["ok", "HfHubHTTPError", "HfHubHTTPError", "ok", "ok"]
    assert fault.happened == 2
    hub.faults.add(Fault(("*", ""), "status", times=None))
    hub.faults.clear()
    assert client(hub, body) == ["ok"] * 5
