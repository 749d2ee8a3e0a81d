"""All runs of a log folder: what is read of each, of ours and of the zoo's, and what is damaged."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import socket
import subprocess
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_experiments import Run
from rl_experiments.core.errors import NotFoundError
from rl_experiments.core.processes import start_of
from rl_experiments.runs import ListedRun, all_runs, listing, traces
from tests.conftest import ROOT
from tests.helpers.commands import run_python, start_module

HERE = {"pid": os.getpid(), "host": socket.gethostname(), "started": start_of(os.getpid())}
GONE = {**HERE, "pid": 2**22 + 7}
ANOTHER = {**HERE, "started": "before:1"}
ELSEWHERE = {**HERE, "host": "another-host"}
OLD = {"pid": os.getpid(), "host": socket.gethostname()}


def _ago(seconds: float) -> str:
    return datetime.fromtimestamp(time.time() - seconds, UTC).isoformat(timespec="seconds")


def _record(logs: Path, name: str = "ppo/CartPole-v1_1", **content: Any) -> Path:
    """Write the record of a run; what is None is left out."""
    known = {"status": "finished", "environment": "CartPole-v1", "timings": {"started": _ago(60), "ended": _ago(5)}}
    folder = logs / name
    folder.mkdir(parents=True, exist_ok=True)
    given = {key: value for key, value in {**known, **content}.items() if value is not None}
    (folder / "run.json").write_text(json.dumps(given))
    return folder


def _only(logs: Path) -> ListedRun:
    (run,) = all_runs(logs)
    return run


# --- Runs with a record ---


def test_a_run_of_ours_is_as_its_record_says(ppo_run: Run) -> None:
    run = _only(ppo_run.path.parent.parent)
    record = json.loads((ppo_run.path / "run.json").read_text())
    assert (run.path, run.algorithm, run.environment, run.number) == (str(ppo_run.path), "ppo", "CartPole-v1", 1)
    assert (run.state, run.reason) == ("finished", None)
    assert run.steps == run.n_timesteps == 256
    assert (run.last_mean_reward, run.best_mean_reward) == (record["last_mean_reward"], record["best_mean_reward"])
    assert run.host == socket.gethostname()
    assert run.started is not None
    assert 0 <= run.changed - run.started < 600


@pytest.mark.parametrize(
    ("process", "state", "reason"),
    [
        (HERE, "running", None),
        (GONE, "interrupted", f"process {GONE['pid']} is gone"),
        (ANOTHER, "interrupted", f"process {os.getpid()} is gone"),
        (ELSEWHERE, "running?", "on another-host"),
        (OLD, "running?", f"process {os.getpid()} may be another one"),
        ({**OLD, "pid": GONE["pid"]}, "interrupted", f"process {GONE['pid']} is gone"),
        ({}, "running?", "run.json names no process"),
    ],
    ids=["here", "gone", "another-process", "elsewhere", "old-record", "old-record-gone", "no-process"],
)
def test_what_calls_itself_running_is_looked_after(
    process: dict[str, Any], state: str, reason: str | None, tmp_path: Path
) -> None:
    _record(tmp_path, status="running", process=process, timings={"started": _ago(600), "updated": _ago(60)})
    run = _only(tmp_path)
    assert (run.state, run.reason) == (state, reason)
    assert run.age(time.time()) == pytest.approx(60, abs=5)


def test_a_training_that_is_killed_is_interrupted(tmp_path: Path) -> None:
    arguments = ("--env", "toy_envs:ToySlow-v0", "-n", "1000000", "--num-threads", "1", "-params", "n_steps:32")
    given = (*arguments, "batch_size:16", "n_envs:1")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = start_module("rl_experiments.train", *given, cwd=tmp_path, **quiet)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("logs/*/*/run.json")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert _only(tmp_path / "logs").state == "running"
    finally:
        process.kill()
        process.wait()
    run = _only(tmp_path / "logs")
    assert (run.state, run.reason) == ("interrupted", f"process {process.pid} is gone")


def test_a_run_that_ends_while_it_is_looked_at_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _record(tmp_path, status="running", process=HERE)

    def ends(pid: int, start: str | None) -> bool:
        _record(tmp_path, status="failed", reason="the line broke")
        return False

    monkeypatch.setattr(listing, "still_runs", ends)
    run = _only(tmp_path)
    assert (run.path, run.state, run.reason) == (str(folder), "failed", "the line broke")


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        ({"started": 900, "updated": 600, "ended": 300}, 300),
        ({"started": 900, "updated": 600}, 600),
        ({"started": 900}, 900),
        ({}, 0),
        ({"started": -3600}, 0),
    ],
)
def test_the_age_is_that_of_the_last_word(seconds: dict[str, float], age: float, tmp_path: Path) -> None:
    _record(tmp_path, timings={name: _ago(ago) for name, ago in seconds.items()})
    assert _only(tmp_path).age(time.time()) == pytest.approx(age, abs=30)


def test_runs_are_sorted_by_age(tmp_path: Path) -> None:
    for number, seconds in ((1, 50), (2, 5000), (3, 5), (10, 500)):
        _record(tmp_path, f"ppo/CartPole-v1_{number}", timings={"ended": _ago(seconds)})
    assert [run.number for run in all_runs(tmp_path)] == [3, 1, 10, 2]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("CartPole-v1_7", 7),
        ("CartPole-v1_7_0d1f7b3e-53bd-4a3e-9f4a-000000000000", 7),
        ("My_2_Env-v0_12", 12),
    ],
)
def test_the_number_is_that_of_the_folder(name: str, number: int, tmp_path: Path) -> None:
    _record(tmp_path, f"ppo/{name}", environment=None)
    run = _only(tmp_path)
    assert (run.number, run.environment) == (number, name.partition(f"_{number}")[0])
    assert run.environment == run.environment_name


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b"{}" + b" " * (5 << 20),
        b'{"status": 1}',
        b'{"status": "asleep"}',
        b'{"status": null}',
        b'{"status": "finished", "steps": "many"}',
        b'{"status": "finished", "steps": true}',
        b'{"status": "finished", "last_mean_reward": [1]}',
        b'{"status": "finished", "reason": {}}',
        b'{"status": "finished", "environment": 5}',
        b'{"status": "finished", "timings": 5}',
        b'{"status": "finished", "timings": {"ended": "yesterday"}}',
        b'{"status": "finished", "timings": {"ended": 5}}',
        b'{"status": "running", "process": {"pid": "1", "host": "x"}}',
        b'{"status": "running", "process": [1]}',
    ],
    ids=lambda content: content[:40].decode("ascii", "replace"),
)
def test_a_damaged_record_is_one_row_that_says_so(content: bytes, tmp_path: Path) -> None:
    _record(tmp_path, "ppo/CartPole-v1_1")
    (_record(tmp_path, "ppo/CartPole-v1_2") / "run.json").write_bytes(content)
    damaged, whole = sorted(all_runs(tmp_path), key=lambda run: -run.number)
    assert whole.state == "finished"
    assert damaged.state == "damaged"
    assert damaged.reason is not None
    assert damaged.reason.startswith("run.json")
    assert str(tmp_path) not in damaged.reason
    assert (damaged.algorithm, damaged.environment, damaged.number) == ("ppo", "CartPole-v1", 2)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link-out", "link-to-nothing"])
def test_a_record_that_is_no_file_is_damaged_and_waits_for_nobody(kind: str, tmp_path: Path) -> None:
    file = _record(tmp_path / "logs") / "run.json"
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        target = tmp_path / "elsewhere.json"
        if kind == "link-out":
            target.write_text('{"status": "finished"}')
        file.symlink_to(target)
    assert _only(tmp_path / "logs").state == "damaged"


def test_numbers_that_are_none_are_not_known(tmp_path: Path) -> None:
    folder = _record(tmp_path)
    (folder / "run.json").write_text('{"status": "finished", "last_mean_reward": NaN, "best_mean_reward": -Infinity}')
    run = _only(tmp_path)
    assert (run.state, run.last_mean_reward, run.best_mean_reward) == ("finished", None, None)


# --- Runs without a record ---


@pytest.fixture
def zoo_run(ppo_run: Run, tmp_path: Path) -> Run:
    """A copy of the run as the zoo would leave it."""
    folder = tmp_path / "logs" / "ppo" / ppo_run.path.name
    shutil.copytree(ppo_run.path, folder)
    (folder / "run.json").unlink()
    return Run(folder, "ppo", ppo_run.env_name)


def test_a_run_of_the_zoo_is_read_from_its_evaluations(zoo_run: Run) -> None:
    run = _only(zoo_run.path.parent.parent)
    means = np.load(zoo_run.evaluations_file)["results"].mean(axis=1)
    assert (run.state, run.steps, run.environment) == ("finished", 256, "CartPole-v1")
    assert (run.last_mean_reward, run.best_mean_reward) == (means[-1], means.max())


def test_without_evaluations_it_is_read_from_its_training_episodes(zoo_run: Run) -> None:
    zoo_run.evaluations_file.unlink()
    for steps in zoo_run.checkpoints():
        zoo_run.checkpoint(steps).unlink()
    run = _only(zoo_run.path.parent.parent)
    episodes = [line.split(",") for file in zoo_run.monitor_files() for line in file.read_text().splitlines()[2:]]
    assert run.steps == sum(int(length) for _, length, _ in episodes)
    assert run.last_mean_reward == pytest.approx(np.mean([float(reward) for reward, *_ in episodes]))
    assert run.best_mean_reward == run.last_mean_reward


@pytest.mark.parametrize(("header", "more"), [("r,l,t", ""), ("r,l,t,is_success", ",True"), ("r,l,t\r", "\r")])
def test_the_best_hundred_training_episodes_are_found(header: str, more: str, tmp_path: Path) -> None:
    rewards = [0.0] * 100 + [10.0] * 100 + [4.0] * 100
    lines = [f"{reward},5,{time}{more}" for time, reward in enumerate(rewards)]
    for index in (0, 1):  # of two environments, whose episodes end by turns
        folder = tmp_path / "dqn" / "CartPole-v1_1"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.monitor.csv").write_text("\n".join(["#{}", header, *lines[index::2], ""]))
    run = _only(tmp_path)
    assert (run.steps, run.last_mean_reward, run.best_mean_reward) == (1500, 4.0, 10.0)


@pytest.mark.parametrize(("age", "state"), [(0, "running?"), (7200, "interrupted")])
def test_without_a_model_at_the_end_a_run_of_the_zoo_may_still_train(age: int, state: str, zoo_run: Run) -> None:
    zoo_run.final_model.unlink()
    for file in (*zoo_run.path.iterdir(), zoo_run.path):
        os.utime(file, (time.time() - age,) * 2)
    run = _only(zoo_run.path.parent.parent)
    assert (run.state, run.steps) == (state, 256)
    assert run.age(time.time()) == pytest.approx(age, abs=60)


def _npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def _pickled() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("timesteps.npy", "results.npy"):
            archive.writestr(name, pickle.dumps(_Trap()))
    return stream.getvalue()


EVALUATIONS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no-zip": lambda: b"PK\x03\x04",
    "no-results": lambda: _npz(timesteps=np.arange(3)),
    "no-rows": lambda: _npz(timesteps=np.arange(0), results=np.zeros((0, 2))),
    "too-few-rows": lambda: _npz(timesteps=np.arange(3), results=np.zeros((2, 5))),
    "text": lambda: _npz(timesteps=np.array(["a"]), results=np.array([["b"]])),
    "grows": lambda: _npz(timesteps=np.arange(1), results=np.zeros((1, 20_000_000))),
    "pickle": _pickled,
}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_damaged_evaluations_cost_only_the_score(name: str, zoo_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(zoo_run.path)
    zoo_run.evaluations_file.write_bytes(EVALUATIONS[name]())
    for file in zoo_run.monitor_files():
        file.unlink()
    run = _only(zoo_run.path.parent.parent)
    assert (run.state, run.steps, run.last_mean_reward) == ("finished", 256, None)
    assert not Path("ran").exists()


@pytest.mark.parametrize("content", [b"", b"\xff", b"#{}\n", b"#{}\nr,l,t\n1,2\n", b"#{}\nr,l,t\nx,2,3\n"])
def test_damaged_episode_logs_cost_only_the_score(content: bytes, zoo_run: Run) -> None:
    zoo_run.evaluations_file.unlink()
    for file in zoo_run.monitor_files():
        file.write_bytes(content)
    assert _only(zoo_run.path.parent.parent).last_mean_reward is None


def test_a_line_that_is_being_written_does_not_count_yet(zoo_run: Run) -> None:
    zoo_run.evaluations_file.unlink()
    for file in zoo_run.monitor_files():
        file.write_bytes(b"#{}\nr,l,t\n7.0,7,0.5\n9.0,9")
    assert _only(zoo_run.path.parent.parent).last_mean_reward == 7.0


def test_an_episode_log_that_is_too_large_is_not_read(zoo_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_LARGEST", 10)
    assert _only(zoo_run.path.parent.parent).last_mean_reward is None


# --- The folder ---


def test_what_is_no_run_is_not_listed(tmp_path: Path) -> None:
    _record(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "ppo" / "notes_1").write_text("mine")
    for name in ("ppo/plots", "tb/PPO_1", "ppo/CartPole-v1_0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "events.out.tfevents.1").write_bytes(b"")
    assert [run.number for run in all_runs(tmp_path)] == [1]


def test_a_folder_that_was_claimed_may_begin_to_train(tmp_path: Path) -> None:
    (tmp_path / "ppo" / "CartPole-v1_1").mkdir(parents=True)
    assert _only(tmp_path).state == "running?"


def test_a_log_folder_without_runs_has_none(tmp_path: Path) -> None:
    assert all_runs(tmp_path) == []


@pytest.mark.parametrize("name", ["log", "logs/run.txt"])
def test_a_log_folder_that_is_none_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "run.txt").write_text("")
    with pytest.raises(NotFoundError, match=f"There is no log folder {tmp_path / name}"):
        all_runs(tmp_path / name)


def test_the_nearest_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with pytest.raises(NotFoundError, match="'logs'"):
        all_runs(tmp_path / "log")


@pytest.mark.slow
def test_ten_thousand_runs_of_the_zoo_are_listed_in_two_seconds(zoo_run: Run, tmp_path: Path) -> None:
    files = {file.name: file.read_bytes() for file in (zoo_run.evaluations_file, *zoo_run.monitor_files())}
    for number in range(1, 10_001):
        folder = tmp_path / "ppo" / f"CartPole-v1_{number}"
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    code = (
        f"import sys, time; from rl_experiments import list_runs; list_runs.main(['-f', {str(tmp_path)!r}]);"
        "print(time.process_time(), file=sys.stderr)"
    )
    result = run_python("-c", code, cwd=ROOT)
    assert len(result.out.splitlines()) == 10_001
    assert float(result.err) < 2


def test_ten_thousand_runs_are_listed_in_two_seconds_without_anything_heavy(ppo_run: Run, tmp_path: Path) -> None:
    record = (ppo_run.path / "run.json").read_bytes()
    for number in range(1, 10_001):
        folder = tmp_path / "ppo" / f"CartPole-v1_{number}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_bytes(record)
    code = (
        "import sys, time; from rl_experiments import list_runs;"
        f"list_runs.main(['-f', {str(tmp_path)!r}]); print(time.process_time(), file=sys.stderr);"
        "print([name for name in ('torch', 'numpy', 'gymnasium') if name in sys.modules], file=sys.stderr)"
    )
    result = run_python("-c", code, cwd=ROOT)
    seconds, heavy = result.err.splitlines()
    assert len(result.out.splitlines()) == 10_001
    assert heavy == "[]"
    assert float(seconds) < 2
