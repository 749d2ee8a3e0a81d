"""The list of runs as a command: filters, what is printed where, and what is said where there is nothing."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rl_experiments import list_runs
from tests.helpers.commands import run_module

RUNS: dict[str, dict[str, Any]] = {
    "ppo/CartPole-v1_1": {"status": "finished", "steps": 1000, "last_mean_reward": 9.5, "best_mean_reward": 12.25},
    "ppo/CartPole-v1_2": {"status": "failed", "reason": "ValueError: the line\nbroke \x1b[31m"},
    "dqn/Pong-v4_1": {"status": "running", "process": {"host": "another-host", "pid": 5}},
    "dqn/Pong-v4_2": {"status": "interrupted", "reason": "SIGTERM"},
    "a2c/ALE-Pong-v5_1": {"status": "finished", "environment": "ALE/Pong-v5"},
}
COLUMNS = ["algorithm", "environment", "run", "steps", "last", "best", "age", "state", "reason"]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A log folder with a run in each state; the first was heard of last."""
    for minute, (name, content) in enumerate(RUNS.items()):
        folder = tmp_path / "logs" / name
        folder.mkdir(parents=True)
        timings = {"ended": f"2026-01-01T00:{59 - minute}:00+00:00"}
        (folder / "run.json").write_text(json.dumps({"timings": timings, **content}))
    (tmp_path / "logs" / "sac" / "Pendulum-v1_1").mkdir(parents=True)
    (tmp_path / "logs" / "sac" / "Pendulum-v1_1" / "run.json").write_text("{")
    return tmp_path / "logs"


def _names(text: str) -> list[str]:
    return [f"{run['algorithm']}/{Path(run['path']).name}" for run in json.loads(text)]


def test_each_run_is_a_line(logs: Path, command) -> None:
    result = command(list_runs)
    assert result.code == 0, result.err
    header, damaged, *rows = result.out.splitlines()
    assert header.split() == COLUMNS
    assert damaged.split()[:8] == ["sac", "Pendulum-v1", "1", "-", "-", "-", "0s", "damaged"]
    assert "run.json is damaged" in damaged
    words = [row.split() for row in rows]
    assert [f"{row[0]}/{row[1].replace('/', '-')}_{row[2]}" for row in words] == list(RUNS)
    assert words[0][3:6] == ["1000", "9.50", "12.25"]
    assert words[0][6].endswith("d")
    assert [row[7] for row in words] == ["finished", "failed", "running?", "interrupted", "finished"]
    assert rows[1].endswith("ValueError: the line broke ?[31m")
    assert rows[2].endswith("on another-host")
    assert rows[3].endswith("SIGTERM")


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (("--algo", "ppo"), ["ppo/CartPole-v1_1", "ppo/CartPole-v1_2"]),
        (("--env", "Pong-v4"), ["dqn/Pong-v4_1", "dqn/Pong-v4_2"]),
        (("--env", "ALE/Pong-v5"), ["a2c/ALE-Pong-v5_1"]),
        (("--env", "module:CartPole-v1", "--state", "failed"), ["ppo/CartPole-v1_2"]),
        (("--state", "running"), ["dqn/Pong-v4_1"]),
        (("--state", "running?"), ["dqn/Pong-v4_1"]),
        (("--state", "interrupted", "damaged"), ["sac/Pendulum-v1_1", "dqn/Pong-v4_2"]),
        (("--algo", "sac", "--state", "finished"), []),
    ],
)
def test_filters(flags: tuple[str, ...], names: list[str], logs: Path, command) -> None:
    result = command(list_runs, "-f", str(logs), "--json", *flags)
    assert result.code == 0, result.err
    assert _names(result.out) == names


def test_json_holds_everything(logs: Path, command) -> None:
    runs = json.loads(command(list_runs, "--json").out)
    assert set(runs[0]) == {
        *("path", "algorithm", "environment", "number", "state", "reason", "steps", "n_timesteps", "last_mean_reward"),
        *("best_mean_reward", "started", "changed", "age_seconds", "host"),
    }
    (run,) = [run for run in runs if run["path"].endswith("CartPole-v1_1")]
    assert (run["number"], run["steps"], run["best_mean_reward"]) == (1, 1000, 12.25)
    assert run["changed"] == "2026-01-01T00:59:00+00:00"
    assert run["age_seconds"] > 0
    assert [run["host"] for run in runs if run["state"] == "running?"] == ["another-host"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("-f", "log"), ["log", "'logs'"]),
        (("--algo", "pppo"), ["pppo", "'ppo'"]),
        (("--state", "finishd"), ["finishd", "'finished'"]),
        (("--env", "a:b:c"), ["a:b:c", "environment id"]),
        (("--jsn",), ["--jsn", "--json"]),
    ],
)
def test_a_mistake_is_named_in_one_line(arguments: tuple[str, ...], parts: list[str], logs: Path, command) -> None:
    command(list_runs, *arguments).assert_refused(*parts)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--env", "CartPol-v1"), "Did you mean 'CartPole-v1'?"),
        (("--env", "CartPole-v1", "--state", "running"), "There is no such run in logs."),
        (("-f", "logs/ppo"), "-f {logs}"),
        (("-f", "."), "There is no run in ."),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_where_there_is_nothing_a_line_says_what_may_be_meant(
    form: tuple[str, ...], arguments: tuple[str, ...], part: str, logs: Path, command
) -> None:
    result = command(list_runs, *arguments, *form)
    assert result.code == 0
    assert result.out == ("[]\n" if form else "")
    assert part.format(logs=logs) in result.err


@pytest.mark.parametrize("name", ["list", "list_runs", "list-runs"])
def test_it_is_a_command_of_the_package(name: str, logs: Path) -> None:
    result = run_module("rl_experiments", name, "--algo", "ppo", cwd=logs.parent)
    assert result.code == 0, result.err
    assert len(result.out.splitlines()) == 3


def test_a_reader_that_goes_away_is_no_error(logs: Path) -> None:
    for number in range(3, 3000):
        (logs / "ppo" / f"CartPole-v1_{number}").mkdir()
    code = f"{sys.executable} -m rl_experiments list | head -n 1"
    done = subprocess.run(code, shell=True, cwd=logs.parent, capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (COLUMNS, "")


@pytest.mark.parametrize("many", [False, True])
def test_a_terminal_gets_a_table(many: bool, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With colours, unless it is so long that drawing it takes its time."""
    for number in range(3, 1200) if many else ():
        (logs / "ppo" / f"CartPole-v1_{number}").mkdir()
    reader, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "150"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "rl_experiments.list_runs"], cwd=logs.parent, stdout=terminal, env=environment
    )
    os.close(terminal)
    shown = b""
    while piece := _read(reader):
        shown += piece
    assert process.wait() == 0
    assert (b"\x1b[31mfailed" in shown) != many
    assert b"interrupted" in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # its other end is closed
        return b""
