"""Telling a process from others that had or get its number."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from rl_experiments.core import processes
from rl_experiments.core.processes import start_of, still_runs

READERS = ("_start_from_proc", "_start_from_ps")


@pytest.mark.parametrize("reader", READERS)
def test_a_process_runs_until_it_ends(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "start_of", getattr(processes, reader))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = processes.start_of(child.pid)
    assert start is not None
    assert still_runs(child.pid, start) is True
    child.kill()
    while still_runs(child.pid, start):  # it is dead, and this process has not asked how it ended
        time.sleep(0.01)
    assert still_runs(child.pid, start) is False
    child.communicate()
    assert still_runs(child.pid, start) is False


def test_a_number_that_another_process_has_now_is_not_the_process() -> None:
    start = start_of(os.getpid())
    assert start is not None
    assert still_runs(os.getpid(), f"{start}0") is False


def test_without_a_start_nothing_is_said_of_a_process_that_runs() -> None:
    assert still_runs(os.getpid(), None) is None


@pytest.mark.parametrize("pid", [2**22 + 7, 10**30])
def test_a_number_that_no_process_has_is_gone(pid: int) -> None:
    assert still_runs(pid, "any") is False


@pytest.mark.parametrize("pid", [0, -1])
def test_a_number_that_means_many_processes_is_not_asked_for(pid: int) -> None:
    assert still_runs(pid, "any") is None


def test_two_processes_started_apart_differ() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert start_of(child.pid) != start_of(os.getpid())
        child.kill()
