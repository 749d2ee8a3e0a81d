"""The benchmark: that it measures what it says, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import ModuleType

import pytest
import yaml

from tests.helpers.scripts import SCRIPTS, load_script

SCRIPT = SCRIPTS / "benchmark.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return load_script("benchmark")


@pytest.fixture
def plan(benchmark, tmp_path):
    return benchmark.Plan(tmp_path, rounds=1, seconds=0.1, start_ups=1, patience=0)


def measurement(benchmark, speed, threads=1, start=3.0):
    return benchmark.Measurement(speed, threads, start, 1.0, 0.0)


def test_ratio_is_the_median_over_the_better_of_the_zoo_in_each_round(benchmark):
    names = [side.name for side in benchmark.sides()]
    rounds = [
        dict.fromkeys(names[1:], measurement(benchmark, 50.0)) | {"ours": measurement(benchmark, speed)}
        for speed in (100.0, 50.0, 10.0)
    ]
    rounds[0][names[1]] = measurement(benchmark, 200.0)
    row = benchmark.speed_row(benchmark.CASES["ppo-cartpole"], "no", rounds)
    assert row.data["ratios"] == [0.5, 1.0, 0.2]
    assert row.cells["ours / best of zoo"] == "0.50"


def test_calibration_is_what_the_first_start_took_longer(benchmark):
    rounds = [{side.name: measurement(benchmark, 1.0, start=7.5) for side in benchmark.sides()}]
    row = benchmark.start_row(benchmark.CASES["dqn-atari"], "yes", rounds, measurement(benchmark, 1.0, start=4.0))
    assert row.cells["calibration"] == "3.5"


def test_both_sides_get_the_hyperparameters_of_the_zoo(benchmark, plan):
    case = benchmark.CASES["dqn-atari"]
    entry = yaml.safe_load(benchmark.write_configuration(case, plan).read_text())[case.env]
    assert entry["batch_size"] == 32
    assert entry["learning_starts"] == 1000
    assert entry["callback"] == "benchmark_clock.Clock"


def test_rows_of_one_title_are_one_table(benchmark):
    rows = [benchmark.Row(title, {"a": text}, {}) for title, text in (("x", "1"), ("y", "2"), ("x", "3"))]
    lines = [line for line in benchmark.markdown(rows).splitlines() if line]
    assert lines == ["### x", "| a |", "| --- |", "| 1 |", "| 3 |", "### y", "| a |", "| --- |", "| 2 |"]


def test_children_choose_their_own_threads_and_have_their_own_memory(benchmark, plan, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    env = benchmark.child_environment(plan.folder)
    assert "OMP_NUM_THREADS" not in env
    assert env["RL_EXPERIMENTS_CACHE"] == str(plan.folder)


def test_the_busy_process_ends_with_its_block(benchmark, monkeypatch):
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    with pytest.raises(RuntimeError), benchmark.busy_process():
        raise RuntimeError
    assert [process.returncode is not None for process in started] == [True]


def test_our_training_is_timed(benchmark, plan):
    case = benchmark.CASES["ppo-cartpole"]
    ours = benchmark.sides()[0]
    configuration = benchmark.write_configuration(case, plan)
    result = benchmark.train(ours, case, configuration, plan, plan.new_folder(), plan.seconds)
    assert result.speed > 0
    assert result.threads == result.calibration["count"]
    assert result.start_seconds > 0


def test_a_side_that_does_not_train_is_an_error(benchmark, plan):
    case = benchmark.Case("ppo", "NoSuchEnv-v0", "CartPole-v1", 0)
    configuration = benchmark.write_configuration(case, plan)
    with pytest.raises(benchmark.BenchmarkError, match="NoSuchEnv"):
        benchmark.train(benchmark.sides()[0], case, configuration, plan, plan.new_folder(), 0.1)


def test_results_of_groups_that_were_measured_apart_are_one_table(benchmark, tmp_path, capsys):
    file = tmp_path / "speed.json"
    for group, times in (("publish", (2.0, 4.0, 3.0)), ("startup", (12.0, 14.0, 13.0)), ("publish", (5.0,))):
        head = benchmark.Headline(f"{group}!", "1 s", "3 s", times, 3.0)
        row = benchmark.Row(f"Table of {group}", {"a": "b"}, {}, head)
        benchmark.Results(file).put(group, {"cores": "2", "load": group}, len(times), [row])
    assert benchmark.main(["--show", "--results", str(file)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert lines[:2] == ["- cores: 2", "- load: publish; startup"]
    assert lines[4:6] == ["| startup! | 1 s | 3 s | 13 (12.00 to 14.00) | 3 |", "| publish! | 1 s | 3 s | 5.00 | 3 |"]
    assert lines[6] == "### Table of startup"
    file.write_text("{}")
    assert benchmark.main(["--show", "--results", str(file)]) == 2


@pytest.mark.slow
def test_start_up_is_a_tenth_of_the_zoo(tmp_path):
    file = tmp_path / "speed.json"
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, str(SCRIPT), "--only", "startup", "--quick", "--results", str(file)]
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "### Start-up" in result.stdout
    *rows, whole = json.loads(file.read_text())["groups"]["startup"]["rows"]
    assert all(row["data"]["heavy_imports"] == [] and row["data"]["ratio"] <= 0.1 for row in rows)
    assert f"| {whole['headline']['what']} |" in result.stdout
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.slow
def test_tables_are_learned_much_faster_than_by_the_loop_of_the_course(benchmark, plan):
    pytest.importorskip("numba")
    ratios = {row.cells["way"]: row.data["ratios"][0] for row in benchmark.tables(plan)}
    assert ratios["the course's loop"] == 1.0
    assert ratios["compiled, from the disk"] > 50
    assert ratios["stepping"] > 1
