"""A download that goes wrong: one line that says why, and nothing left, neither on disk nor among the processes."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rl_experiments import Run, load_from_hub
from tests.helpers.commands import CommandResult, start_module, unmeasured
from tests.helpers.hub_faults import Fault
from tests.helpers.hub_repositories import add_repository, course_files
from tests.helpers.hub_server import HubServer

REPO = "ann/unit1"
WEIGHTS = "/lfs-objects/"
Command = Callable[..., CommandResult]


@pytest.fixture
def course(hub: HubServer, ppo_run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HubServer:
    """A Hub on which Ann has what the course's last cell pushed."""
    add_repository(hub, REPO, course_files(ppo_run.final_model, "ppo-CartPole-v1", "CartPole-v1", "PPO"))
    (tmp_path / "temporary").mkdir()
    for name, value in hub.environment(tmp_path / "home", "hf_ann").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    return hub


def _children(folder: Path) -> list[str]:
    """:return: the processes that download and were started in a folder"""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().decode()
            if "fetching.py" in command and Path(os.readlink(entry / "cwd")) == folder:
                found.append(command)
    return found


def _assert_nothing_is_left(folder: Path) -> None:
    assert not (folder / "logs").exists()
    assert not list((folder / "temporary").iterdir())


def _refusal(status: int, code: str = "", message: str = "", **headers: str) -> dict[str, object]:
    known = {"X-Error-Code": code, "X-Error-Message": message, **headers}
    return {"status": status, "headers": {name: value for name, value in known.items() if value}}


def _always(part: str, **what: object) -> Fault:
    return Fault(("*", part), "status", times=None, **what)  # type: ignore[arg-type]


API, FILES = "/api/models/", "/resolve/"
BAD_TOKEN = "Invalid credentials in Authorization header"
REFUSED: dict[str, tuple[Callable[[], Fault], tuple[str, ...]]] = {
    "401": (lambda: _always(API, **_refusal(401, message=BAD_TOKEN)), ("does not accept the token", "hf auth login")),
    "403": (lambda: _always(API, **_refusal(403)), ("the token may not read it", "--token")),
    "403-on-a-file": (lambda: _always(FILES, **_refusal(403)), ("the token may not read it",)),
    "404-repository": (lambda: _always(API, **_refusal(404, "RepoNotFound")), ("Repository Not Found", "name")),
    "404-revision": (lambda: _always(API, **_refusal(404, "RevisionNotFound")), ("no revision",)),
    "404-file": (
        lambda: _always(".zip", **_refusal(404, "EntryNotFound")),
        ("not there any more", "ppo-CartPole-v1.zip"),
    ),
    "gated": (lambda: _always(FILES, **_refusal(403, "GatedRepo")), ("is gated", f"/{REPO}", "hf auth login")),
    "disabled": (
        lambda: _always(API, **_refusal(403, message="Access to this resource is disabled.")),
        ("has disabled it",),
    ),
    "410": (lambda: _always(API, **_refusal(410, message="It has moved away")), ("the Hub refused", "410")),
    "429-for-long": (
        lambda: _always(API, **_refusal(429, **{"Retry-After": "3600"})),
        ("no more requests for now", "in 3600 seconds"),
    ),
    "429-for-long-on-a-file": (
        lambda: _always(FILES, **_refusal(429, **{"Retry-After": "3600"})),
        ("no more requests for now", "in 3600 seconds"),
    ),
    "500-for-ever": (lambda: _always(API, status=500), ("in trouble (500)", "later")),
    "503-for-ever-on-a-file": (lambda: _always(FILES, status=503), ("in trouble (503)", "later")),
    "503-for-ever-on-the-weights": (lambda: _always(WEIGHTS, status=503), ("in trouble (503)", "later")),
    "a-page-in-place-of-the-hub": (lambda: _always(API, status=200, body="<html>"), ("is not the Hub", "HF_ENDPOINT")),
    "dropped-for-ever": (lambda: Fault(("GET", API), "drop", times=None), ("connection to the Hub failed", "network")),
    "corrupt-weights": (lambda: Fault(("GET", WEIGHTS), "corrupt"), ("ppo-CartPole-v1.zip", "arrived damaged")),
    "corrupt-text": (lambda: Fault(("GET", "README.md"), "corrupt"), ("README.md", "arrived damaged")),
    "another-hash": (lambda: Fault(("GET", API), "wrong_sha", times=None), ("arrived damaged",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_fault_is_one_line_and_nothing_is_left(
    name: str, course: HubServer, command: Command, tmp_path: Path
) -> None:
    fault, parts = REFUSED[name]
    added = course.faults.add(fault())
    started = time.monotonic()
    command(load_from_hub, REPO, "-f", "logs").assert_refused(REPO, *parts)
    assert added.happened
    assert time.monotonic() - started < 30
    _assert_nothing_is_left(tmp_path)
    course.faults.clear()
    assert command(load_from_hub, REPO, "-f", "logs").code == 0, "what failed once works when the Hub does"


PASSES = {
    "500-once": Fault(("*", API), "status", status=500),
    "503-once-on-a-file": Fault(("*", FILES), "status", status=503),
    "503-once-on-the-weights": Fault(("*", WEIGHTS), "status", status=503),
    "429-for-a-second": Fault(("*", API), "status", status=429, headers={"Retry-After": "1"}),
    "dropped-once": Fault(("*", API), "drop"),
    "dropped-in-the-weights": Fault(("GET", WEIGHTS), "drop_after", bytes=1000),
}


@pytest.mark.parametrize("name", PASSES)
def test_what_passes_is_waited_for(
    name: str, course: HubServer, ppo_run: Run, command: Command, tmp_path: Path
) -> None:
    template = PASSES[name]
    fault = course.faults.add(Fault(**{**vars(template), "happened": 0}))
    loaded = command(load_from_hub, REPO, "-f", "logs")
    assert (loaded.code, loaded.err) == (0, "")
    assert fault.happened == 1
    assert (tmp_path / "logs/ppo/CartPole-v1_1/CartPole-v1.zip").read_bytes() == ppo_run.final_model.read_bytes()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(("GET", API), "hang", times=None),
        Fault(("GET", WEIGHTS), "hang", times=None),
        Fault(("GET", WEIGHTS), "slow", times=None, bytes_per_second=500),
    ],
    ids=["hangs", "hangs-in-the-weights", "too-slow"],
)
def test_a_hub_that_does_not_come_to_an_end_is_left_at_the_deadline(
    fault: Fault, course: HubServer, command: Command, tmp_path: Path
) -> None:
    course.faults.add(fault)
    result = command(load_from_hub, REPO, "-f", "logs", "--deadline", "4")
    result.assert_refused(REPO, "did not finish within 4 seconds", "--deadline")
    assert fault.happened == 1
    _assert_nothing_is_left(tmp_path)
    assert not _children(tmp_path)


@pytest.mark.parametrize(
    ("variable", "value", "part"),
    [
        ("HF_ENDPOINT", "http://127.0.0.1:9", "connection to the Hub failed"),
        ("HF_ENDPOINT", "http://no-such-host.invalid", "connection to the Hub failed"),
        ("HF_HUB_OFFLINE", "1", "HF_HUB_OFFLINE is set"),
    ],
)
def test_no_network_is_told(
    variable: str,
    value: str,
    part: str,
    course: HubServer,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv(variable, value)
    command(load_from_hub, REPO, "-f", "logs").assert_refused(REPO, part)
    _assert_nothing_is_left(tmp_path)


def _started(folder: Path, hub: HubServer, *flags: str) -> subprocess.Popen[str]:
    """The command in a process of its own, once it is in the weights."""
    hub.faults.add(Fault(("GET", WEIGHTS), "hang", times=None))
    given = (REPO, "-f", "logs", *flags)
    process = start_module("rl_experiments.load_from_hub", *given, cwd=folder, env=unmeasured())
    until = time.monotonic() + 60
    while not hub.calls("GET", WEIGHTS):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    return process


def _gone(folder: Path) -> bool:
    until = time.monotonic() + 10
    while _children(folder) and time.monotonic() < until:
        time.sleep(0.1)
    return not _children(folder)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "Interrupted"),
        (signal.SIGTERM, 143, "Interrupted"),
        (signal.SIGHUP, 129, "Interrupted"),
    ],
)
def test_a_signal_ends_it_and_leaves_nothing(
    number: signal.Signals, code: int, said: str, course: HubServer, tmp_path: Path
) -> None:
    process = _started(tmp_path, course)
    assert not Path("/proc").is_dir() or _children(tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.strip()) == (code, "", said)
    _assert_nothing_is_left(tmp_path)
    assert _gone(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_killed_outright_it_leaves_no_run_and_no_process(course: HubServer, tmp_path: Path) -> None:
    process = _started(tmp_path, course)
    assert not Path("/proc").is_dir() or _children(tmp_path)
    process.kill()
    process.communicate(timeout=30)
    assert not (tmp_path / "logs").exists()
    assert _gone(tmp_path)


def test_a_disk_that_fills_up_leaves_a_run_as_it_was(
    course: HubServer, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The last of the renames fails, as on a disk whose directory cannot grow."""
    assert command(load_from_hub, REPO, "-f", "logs").code == 0
    run = tmp_path / "logs/ppo/CartPole-v1_1"
    (run / "CartPole-v1.zip").write_bytes(b"mine")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    rename = os.rename

    def failing(source: Path, goal: Path) -> None:
        if Path(goal).name == "CartPole-v1.zip" and Path(source).read_bytes() != b"mine":
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, goal)

    monkeypatch.setattr("os.rename", failing)
    result = command(load_from_hub, REPO, "-f", "logs", "--exp-id", "1", "--force")
    assert result.code != 0
    assert "No space left on device" in result.err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert [path.name for path in run.parent.iterdir()] == ["CartPole-v1_1"]
