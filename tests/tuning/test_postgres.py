"""A study on a real PostgreSQL server, which the test starts, shared by two processes of which one is killed."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.commands import start_module, unmeasured

_PLACES = ("/usr/local/bin", *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True))


def program(name: str) -> str | None:
    """A program of PostgreSQL, which Debian keeps off the path."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_PLACES))


def has_driver() -> bool:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return False
    return True


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(program("initdb") is None, reason="postgresql is not installed"),
    pytest.mark.skipif(not has_driver(), reason="psycopg is not installed"),
]


def _as_somebody(folder: Path) -> dict[str, object]:
    """The server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for parent in (folder, *folder.parents):
        if parent.owner() == getpass.getuser() and parent != Path("/tmp") and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    shutil.chown(folder, "nobody")
    return {"user": "nobody", "cwd": folder}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The URL of a database on a server of its own."""
    folder = tmp_path / "server"
    folder.mkdir()
    somebody = _as_somebody(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    subprocess.run(
        [str(program("initdb")), "-D", str(data), "-U", "tuner", "--auth=trust", "--no-sync"],
        check=True, capture_output=True, **somebody,  # type: ignore[call-overload]
    )  # fmt: skip
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", str(folder), "-F"]
    process = subprocess.Popen(
        [str(program("postgres")), "-D", str(data), *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **somebody,  # type: ignore[call-overload]
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        ready = [str(program("pg_isready")), "-h", "127.0.0.1", "-p", str(port)]
        while subprocess.run(ready, capture_output=True).returncode and time.monotonic() < deadline:
            time.sleep(0.1)
        yield f"postgresql+psycopg://tuner@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def begin(storage: str, folder: Path) -> subprocess.Popen[str]:
    logs = str(folder / "logs")
    arguments = [
        "--algo", "ppo", "--env", "toy_envs:ToySlow-v0", "-n", "600", "--n-trials", "6", "--n-jobs", "1",
        "--confirm", "1", "--confirm-seeds", "1", "--eval-episodes", "1", "--seed", "3",
        "--storage", storage, "-f", logs, "-params", "n_steps:16", "batch_size:16", "n_epochs:1", "n_envs:1",
    ]  # fmt: skip
    return start_module("rl_experiments.tune", *arguments, cwd=folder, env=unmeasured())


def test_two_processes_share_a_study_and_one_is_killed(server: str, tmp_path: Path) -> None:
    import optuna

    first, second = begin(server, tmp_path), begin(server, tmp_path)

    def trials() -> list[optuna.trial.FrozenTrial]:
        try:
            return optuna.load_study(storage=server, study_name="study_ToySlow-v0").trials
        except KeyError:
            return []

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        begun = [trial for trial in trials() if not trial.state.is_finished() and "seeds" in trial.user_attrs]
        pids = {trial.user_attrs["process"]["pid"] for trial in begun}
        if {first.pid, second.pid} <= pids:
            break
        time.sleep(0.2)
    second.kill()
    second.communicate()
    out, err = first.communicate(timeout=200)
    assert first.returncode == 0, err
    # A trial of the process that is gone is found by the next one at the latest.
    again = begin(server, tmp_path)
    out, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    states = [trial.state.name for trial in trials()]
    assert (states.count("COMPLETE"), states.count("FAIL")) == (6, 1), states
    failed = next(trial for trial in trials() if trial.state.name == "FAIL")
    assert failed.user_attrs["failure"] == "the process that ran it is gone"
    retried = next(trial for trial in trials() if trial.user_attrs.get("retry_of") == failed.number)
    assert (retried.params, retried.state.name) == (failed.params, "COMPLETE")
    assert "Confirmed: 55.0" in out
