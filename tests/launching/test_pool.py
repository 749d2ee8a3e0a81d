"""Jobs in processes of their own: what one of them does costs no other."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rl_experiments.core import isolation
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.interruption import Interruption
from rl_experiments.core.isolation import Beat
from rl_experiments.core.processes import start_of
from rl_experiments.launching import Job, Pool


def _beat_for_ever(beat: Beat) -> None:
    count = 0
    while True:
        count += 1
        beat(count)
        time.sleep(0.01)


def _raise(error: Exception) -> None:
    raise error


FAULTS: dict[str, tuple[Callable[[Beat], Any], str]] = {
    "raises": (lambda _: _raise(ValueError("of\nno use")), "ValueError: of no use"),
    "ours": (lambda _: _raise(ConfigurationError("that cannot be")), "that cannot be"),
    "exits": (lambda _: sys.exit(3), "SystemExit: 3"),
    "dies": (lambda _: os._exit(7), "its process crashed (exit code 7)"),
    "crashes": (lambda _: os.kill(os.getpid(), signal.SIGSEGV), "its process crashed (SIGSEGV)"),
    "is killed": (lambda _: os.kill(os.getpid(), signal.SIGKILL), "its process crashed (SIGKILL)"),
    "no JSON": (lambda _: {1, 2}, "TypeError: Object of type set is not JSON serializable"),
}


def test_a_job_that_fails_in_whatever_way_says_so_and_stops_no_other(tmp_path: Path) -> None:
    jobs = [Job(name, work, tmp_path / name) for name, (work, _) in FAULTS.items()]
    jobs += [Job(f"good {number}", lambda _, number=number: {"n": number}) for number in range(3)]
    outcomes = {outcome.job.name: outcome for outcome in Pool(3).run(jobs)}
    assert {name: outcomes[name].reason for name in FAULTS} == {name: reason for name, (_, reason) in FAULTS.items()}
    assert [outcomes[f"good {number}"].result for number in range(3)] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert "in _raise" in (tmp_path / "raises").read_text()
    assert all(outcomes[f"good {number}"].reason is None for number in range(3))


def test_a_job_that_does_not_end_is_given_up() -> None:
    silent = [
        Job("hangs", lambda _: time.sleep(60)),
        Job("is stopped", lambda _: os.kill(os.getpid(), signal.SIGSTOP)),
    ]
    assert [outcome.reason for outcome in Pool(2, silence=0.5).run(silent)] == ["nothing happened for 0.5 seconds"] * 2
    [outcome] = Pool(1, silence=60, limit=1).run([Job("never ends", _beat_for_ever)])
    assert outcome.reason == "it was not done after 1 seconds"
    assert outcome.seconds >= 1


def test_jobs_run_at_once_and_tell_how_far_they_are() -> None:
    pool = Pool(2)
    seen: list[dict[str, int]] = []

    def work(beat: Beat) -> int:
        for count in range(1, 41):
            beat(count)
            time.sleep(0.01)
        return count

    jobs = [Job("a", work), Job("b", work)]
    assert [outcome.result for outcome in pool.run(jobs, lambda: seen.append(pool.counts))] == [40, 40]
    assert any(counts.get("a", 0) > 1 and counts.get("b", 0) > 1 for counts in seen)
    assert pool.counts == {}


def test_no_more_jobs_are_asked_for_than_can_run() -> None:
    begun: list[int] = []

    def jobs() -> Iterator[Job]:
        for number in range(4):
            begun.append(number)
            yield Job(str(number), lambda _: None)

    for done, _ in enumerate(Pool(1).run(jobs()), start=1):
        assert len(begun) == done


def _is_there(pid: int) -> bool:
    return start_of(pid) not in (None, "dead")


def _with_a_child(file: Path) -> Callable[[Beat], None]:
    def work(_: Beat) -> None:
        child = subprocess.Popen(["sleep", "60"])
        file.write_text(f"{os.getpid()} {child.pid}")
        time.sleep(60)

    return work


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_a_job_has_started_ends_with_it(tmp_path: Path) -> None:
    [outcome] = Pool(1, limit=0.7).run([Job("parent", _with_a_child(tmp_path / "pids"))])
    assert outcome.result is None
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    time.sleep(0.1)
    assert len(pids) == 2
    assert not any(_is_there(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.usefixtures("same_handlers_after")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_pool_and_its_jobs(tmp_path: Path, number: signal.Signals) -> None:
    interruption = Interruption()
    threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
    jobs = [Job(str(index), _with_a_child(tmp_path / f"pids{index}")) for index in range(2)]
    with (
        interruption.listening(),
        pytest.raises(KeyboardInterrupt),
        contextlib.closing(Pool(2, interruption=interruption).run(jobs)) as outcomes,
    ):
        list(outcomes)
    assert interruption.signal == number
    pids = [int(pid) for file in tmp_path.glob("pids*") for pid in file.read_text().split()]
    time.sleep(0.1)
    assert len(pids) == 4
    assert not any(_is_there(pid) for pid in pids)


def _from_an_environment_of_its_own(beat: Beat) -> list[object]:
    beat(1)
    return [multiprocessing.get_start_method(allow_none=True), os.getppid()]


@pytest.mark.slow
def test_where_the_system_does_not_fork_safely_a_job_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(isolation, "can_isolate", lambda: False)
    jobs = [Job("good", _from_an_environment_of_its_own, tmp_path / "log"), Job("bad", os._exit)]
    good, bad = Pool(1).run(jobs)
    assert good.result == ["spawn", os.getpid()]
    assert bad.reason is not None


def test_what_a_job_prints_goes_to_its_log(tmp_path: Path) -> None:
    def work(_: Beat) -> None:
        print("from Python")
        os.write(2, b"from C\n")
        os.kill(os.getpid(), signal.SIGABRT)

    [outcome] = Pool(1).run([Job("loud", work, tmp_path / "new" / "log.txt")])
    assert outcome.reason == "its process crashed (SIGABRT)"
    text = (tmp_path / "new" / "log.txt").read_text()
    assert "from Python" in text
    assert "from C" in text
    assert "Fatal Python error: Aborted" in text
