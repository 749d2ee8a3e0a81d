"""Trials whose process is gone, on every kind of storage."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from rl_experiments.core.errors import TrainingError
from rl_experiments.tuning import repairing
from rl_experiments.tuning.repairing import LOST, MOST_RETRIES, Repairs, this_process
from rl_experiments.tuning.storage import open_storage

GONE = {**this_process(), "pid": 2**22 - 3}
ELSEWHERE = {**this_process(), "host": "another"}


@pytest.fixture(params=["s.log", "sqlite:///s.db", None])
def study(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    monkeypatch.chdir(tmp_path)
    return optuna.create_study(storage=open_storage(request.param), study_name="s", direction="maximize")


def begin(study: optuna.Study, process: Any, age: float = 0.0) -> optuna.Trial:
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    if process is not None:
        trial.set_user_attr("process", process)
        trial.set_user_attr("heartbeat", time.time() - age)
        trial.set_user_attr("seeds", [7])
    return trial


def test_the_lost_are_failed_and_tried_again(study: optuna.Study) -> None:
    begin(study, this_process())
    lost = [begin(study, GONE), begin(study, ELSEWHERE, age=3600)]
    begin(study, ELSEWHERE)
    begin(study, None)  # of the zoo, say
    begin(study, {**this_process(), "started": "another process of this number"})
    assert Repairs(study).at_the_beginning() == [lost[0].number, lost[1].number, 5]
    states = [trial.state for trial in study.get_trials()]
    running, failed, waiting = TrialState.RUNNING, TrialState.FAIL, TrialState.WAITING
    assert states == [running, failed, failed, running, running, failed, waiting, waiting, waiting]
    assert study.trials[1].user_attrs["failure"] == LOST
    again = study.ask()
    assert (again.suggest_float("x", 0, 1), again.user_attrs["seeds"]) == (lost[0].params["x"], [7])
    assert Repairs(study).at_the_beginning() == []


def test_not_for_ever(study: optuna.Study) -> None:
    begin(study, GONE)
    for _ in range(MOST_RETRIES + 3):
        Repairs(study).at_the_beginning()
        if any(trial.state == TrialState.WAITING for trial in study.get_trials()):
            begin(study, GONE)
    assert [trial.state for trial in study.get_trials()] == [TrialState.FAIL] * (1 + MOST_RETRIES)


def test_silence_is_measured_by_the_clock_of_who_looks(study: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, clock = begin(study, ELSEWHERE, age=-50), [1000.0]  # the other clock is ahead
    monkeypatch.setattr(repairing.time, "monotonic", lambda: clock[0])
    repairs = Repairs(study)
    for beat in range(5):
        clock[0] += 100
        trial.set_user_attr("heartbeat", time.time() + beat)
        assert repairs.meanwhile(()) == []
    clock[0] += 100
    assert repairs.meanwhile(()) == []
    clock[0] += 100
    assert repairs.meanwhile({trial.number}) == []
    assert repairs.meanwhile(()) == [trial.number]
    assert os.getpid() == this_process()["pid"]


def test_a_journal_takes_whole_records_only(tmp_path: Path) -> None:
    file = tmp_path / "study.log"
    study = optuna.create_study(storage=open_storage(str(file)), study_name="s")
    study.tell(study.ask(), 1.0)
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"op_code":8,"wor')  # of a process that was killed
    study = optuna.load_study(storage=open_storage(str(file)), study_name="s")
    study.tell(study.ask(), 2.0)
    assert file.read_bytes().startswith(whole + b'{"op_code":')
    kept = file.read_bytes()
    with pytest.raises(TrainingError, match=r"cannot be written to .*study\.log: File too large"), full_disk(len(kept)):
        study.ask()
    assert file.read_bytes() == kept
    assert [trial.value for trial in optuna.load_study(storage=open_storage(str(file)), study_name="s").trials] == [
        1,
        2,
    ]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process grows much beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30, before[1]))
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGXFSZ, ignored)
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
