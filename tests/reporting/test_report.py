"""The command ``report``: runs of ours and of the zoo's, conditions, comparisons, formats, damage."""

from __future__ import annotations

import csv
import json
import re
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rl_experiments import Run, report
from rl_experiments.reporting.report.collecting import collect
from rl_experiments.reporting.report.reporting import report_runs
from tests.helpers.commands import CommandResult
from tests.helpers.made_runs import made_grid, made_run, write_evaluations, write_monitor, write_record

Command = Callable[..., CommandResult]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two algorithms in two environments, four seeds each."""
    folder = tmp_path_factory.mktemp("grid")
    made_grid(folder, ["a2c", "ppo"], ["CartPole-v1", "Hopper-v5"], 4)
    return folder


def _numbers(command: Command, *arguments: str) -> dict:
    result = command(report, *arguments, "-o", "numbers.json")
    assert result.code == 0, result.err
    return json.loads(Path("numbers.json").read_text())


def test_all_formats_say_the_same(command: Command, grid: Path, tmp_path: Path) -> None:
    formats = ("html", "json", "csv", "md", "tex", "svg")
    result = command(report, str(grid), "-o", "out/all.html", "--format", *formats)
    assert result.code == 0, result.err
    folder = tmp_path / "out" / "all"
    numbers = json.loads((folder / "report.json").read_text())
    first = numbers["results"][0]
    assert (first["environment"], first["group"], first["seeds"]) == ("CartPole-v1", "a2c", 4)
    scores = [np.load(grid / "a2c" / f"CartPole-v1_{n}" / "evaluations.npz")["results"][-1].mean() for n in range(1, 5)]
    assert first["mean"]["value"] == pytest.approx(np.mean(scores), abs=1e-9)
    assert min(scores) <= first["mean"]["low"] <= first["mean"]["value"] <= first["mean"]["high"] <= max(scores)
    with (folder / "results.csv").open() as stream:
        row = next(csv.DictReader(stream))
    assert float(row["mean"]) == first["mean"]["value"]
    assert float(row["mean low"]) == first["mean"]["low"]
    shown = f"{first['mean']['value']:.1f}"
    assert all(shown in (folder / f"report.{name}").read_text() for name in ("md", "tex"))
    assert shown in (tmp_path / "out" / "all.html").read_text()
    for figure in (
        "aggregates",
        "profiles",
        "efficiency",
        "comparisons",
        "evaluation-Hopper-v5",
        "training-Hopper-v5-hours",
    ):
        assert "<path" in (folder / f"{figure}.svg").read_text()


def test_runs_of_the_zoo_are_read(command: Command, tmp_path: Path) -> None:
    made_run(tmp_path / "logs", "sac", "Pendulum-v1", 1, [-900, -200], record=False)
    folder = tmp_path / "logs" / "sac" / "Pendulum-v1_2"
    folder.mkdir()
    write_monitor(folder, [-5.0, -3.0], [100, 100], [1.0, 2.0])
    (folder / "Pendulum-v1.zip").touch()
    runs = {run["run"]: run for run in _numbers(command, "logs")["runs"]}
    assert (runs[1]["score"], runs[1]["seed"], runs[1]["steps"], runs[1]["hours"]) == (-200.0, None, 1000, 100 / 3600)
    assert (runs[2]["score"], runs[2]["episodes"], runs[2]["steps"]) == (-4.0, 2, 200)


def test_a_trained_run_is_read(command: Command, ppo_run: Run) -> None:
    numbers = _numbers(command, str(ppo_run.path))
    evaluations = np.load(ppo_run.evaluations_file)
    [run] = numbers["runs"]
    assert (run["score"], run["seed"], run["steps"]) == (evaluations["results"][-1].mean(), 1, 256)
    curve = numbers["curves"]["CartPole-v1"]["evaluation"]["ppo"]["seeds"][0]
    assert curve["steps"] == evaluations["timesteps"].tolist()
    assert 0 < curve["hours"][0] < curve["hours"][-1] < 0.1
    assert "One seed is an anecdote: ppo on CartPole-v1." in numbers["notes"]


def test_unequal_numbers_of_seeds_are_said(command: Command, tmp_path: Path) -> None:
    for number in (1, 2):
        made_run(tmp_path / "logs", "ppo", "CartPole-v1", number, [10, 20])
        made_run(tmp_path / "logs", "a2c", "CartPole-v1", number, [10, 20])
    assert not [note for note in _numbers(command, "logs")["notes"] if "number of seeds" in note]
    made_run(tmp_path / "logs", "ppo", "Acrobot-v1", 1, [-400, -100])
    [note] = [note for note in _numbers(command, "logs")["notes"] if "number of seeds" in note]
    assert {"ppo 1 to 2", "a2c 2"} <= set(re.split(r"[:,.] ", note))


def test_steps_of_the_emulator_are_brought_to_those_of_the_training(command: Command, tmp_path: Path) -> None:
    folder = made_run(tmp_path / "logs", "dqn", "PongNoFrameskip-v4", 1, [-20, -10])
    write_monitor(folder, [-20.0, -10.0], [2000, 2000], [5.0, 10.0])  # 1,000 steps of four frames
    curves = _numbers(command, "logs")["curves"]["PongNoFrameskip-v4"]
    assert curves["training"]["dqn"]["seeds"][0]["steps"] == [500, 1000]


def test_episodes_of_several_environments_are_put_in_their_order(command: Command, tmp_path: Path) -> None:
    folder = made_run(tmp_path / "logs", "ppo", "CartPole-v1", 1, [1, 2], steps=60)
    write_monitor(folder, [1.0, 3.0], [10, 10], [1.0, 3.0], number=0, start=1000.0)
    write_monitor(folder, [2.0, 4.0], [20, 20], [1.0, 3.0], number=1, start=1001.0)
    seed = _numbers(command, "logs")["curves"]["CartPole-v1"]["training"]["ppo"]["seeds"][0]
    assert (seed["steps"], seed["value"]) == ([10, 30, 40, 60], [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda run: (run / "run.json").write_text("{"), "run.json is damaged"),
        (lambda run: (run / "evaluations.npz").write_bytes(b"PK" + bytes(50)), "evaluations.npz is damaged"),
        (lambda run: (run / "evaluations.npz").write_bytes((run / "evaluations.npz").read_bytes()[:-30]), "damaged"),
        (lambda run: write_evaluations(run, [1, 2, 3], [[1.0], [2.0]]), "evaluations.npz is damaged"),
        (lambda run: (run / "0.monitor.csv").write_text("#{}\nr,l,t\n1,2\n"), "0.monitor.csv is damaged"),
        (lambda run: (run / "0.monitor.csv").write_text("nothing"), "0.monitor.csv is damaged"),
    ],
)
def test_a_damaged_run_is_named_and_skipped(
    command: Command, tmp_path: Path, damage: Callable[[Path], object], reason: str
) -> None:
    made_run(tmp_path / "logs", "ppo", "CartPole-v1", 1, [1, 2, 3])
    damage(made_run(tmp_path / "logs", "ppo", "CartPole-v1", 2, [1, 2, 3]))
    result = command(report, "logs", "-o", "numbers.json")
    assert result.code == 0, result.err
    assert "CartPole-v1_2" in result.err
    assert reason in result.err
    numbers = json.loads(Path("numbers.json").read_text())
    assert [run["run"] for run in numbers["runs"]] == [1]
    assert numbers["skipped"][0]["folder"].endswith("CartPole-v1_2")


def test_a_line_that_was_being_written_is_no_damage(command: Command, tmp_path: Path) -> None:
    folder = made_run(tmp_path / "logs", "ppo", "CartPole-v1", 1, [1, 2, 3])
    with (folder / "0.monitor.csv").open("a") as stream:
        stream.write("5.0,1")
    assert len(_numbers(command, "logs")["runs"]) == 1


def test_seeds_that_went_wrong_are_named(command: Command, tmp_path: Path) -> None:
    logs, rise = tmp_path / "logs", np.linspace(20, 500, 30)
    for number in (1, 2, 3):
        made_run(logs, "ppo", "CartPole-v1", number, rise + number)
    made_run(logs, "ppo", "CartPole-v1", 4, np.where(np.arange(30) == 20, np.nan, rise))
    made_run(logs, "ppo", "CartPole-v1", 5, np.r_[rise[:20], np.full(10, 30.0)])
    made_run(logs, "ppo", "CartPole-v1", 6, np.full(30, 20.0))
    write_record(made_run(logs, "ppo", "CartPole-v1", 7, rise), status="failed", reason="it broke", seed=7)
    numbers = _numbers(command, "logs")
    assert {one["seed"]: one["trouble"] for one in numbers["trouble"]} == {
        4: "diverged",
        5: "collapsed",
        6: "far behind",
        7: "failed",
    }


def test_a_score_that_is_no_number_counts_as_a_random_agent(command: Command, tmp_path: Path) -> None:
    made_run(tmp_path / "logs", "ppo", "CartPole-v1", 1, [100, 500])
    made_run(tmp_path / "logs", "ppo", "CartPole-v1", 2, [100, np.nan])
    assert _numbers(command, "logs")["results"][0]["mean"]["value"] == (500 + 23.7) / 2


def test_conditions_choose_runs(command: Command, grid: Path) -> None:
    def chosen(*conditions: str) -> set[tuple[str, str, int]]:
        runs = _numbers(command, str(grid), "--filter", *conditions)["runs"]
        return {(run["group"], run["environment"], run["seed"]) for run in runs}

    assert chosen("algo=ppo", "env=cart*", "seed<3") == {("ppo", "CartPole-v1", 1), ("ppo", "CartPole-v1", 2)}
    assert {seed for _, _, seed in chosen("gamma=0.99")} == {2, 4}
    assert {name for name, _, _ in chosen("algo!=ppo", "state=finished")} == {"a2c"}


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--filter", "algo=pppo"], ("algo=pppo", "'ppo'")),
        (["--filter", "gama=0.9"], ("gama", "'gamma'")),
        (["--filter", "nothing"], ("'nothing' is no condition", "algo=ppo")),
        (["--filter", "seed<x"], ("seed<x", "one number")),
        (["--compare", "ppo", "a22c"], ("a22c", "'a2c'")),
        (["--format", "pngg"], ("pngg", "'png'")),
        (["--score", "last"], ("last",)),
        (["--scores", "no.yml"], ("no.yml",)),
        (["--max-timesteps", "10"], ("first 10 steps", "--max-timesteps")),
        (["--confidence", "95"], ("--confidence", "95")),
    ],
)
def test_mistakes_are_named(command: Command, grid: Path, arguments: list[str], parts: tuple[str, ...]) -> None:
    command(report, str(grid), "-o", "x.json", *arguments).assert_refused(*parts)
    assert not Path("x.json").exists()


def test_a_folder_without_runs_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    command(report, "empty").assert_refused("empty", "<algo>/<env>_<n>")
    command(report, "emptty").assert_refused("emptty", "'empty'")


def test_things_of_several_kinds_are_compared(command: Command, grid: Path, tmp_path: Path) -> None:
    made_grid(tmp_path / "other", ["ppo"], ["CartPole-v1"], 3)
    numbers = _numbers(command, str(grid), "--compare", "ppo", "algo=a2c gamma=0.9", "other/ppo")
    assert numbers["groups"] == ["ppo", "algo=a2c gamma=0.9", "other/ppo"]
    seeds = {row["group"]: row["seeds"] for row in numbers["results"] if row["environment"] == "CartPole-v1"}
    assert seeds == {"ppo": 7, "algo=a2c gamma=0.9": 2, "other/ppo": 3}
    pair = numbers["comparisons"][0]
    assert (pair["X"], pair["Y"], pair["environment"]) == ("ppo", "algo=a2c gamma=0.9", "all")
    assert 0 <= pair["P(X > Y)"]["low"] <= pair["P(X > Y)"]["value"] <= pair["P(X > Y)"]["high"] <= 1


def test_two_folders_are_told_apart(command: Command, grid: Path, tmp_path: Path) -> None:
    made_grid(tmp_path / "other", ["ppo"], ["CartPole-v1"], 1)
    assert _numbers(command, str(grid), "other")["groups"] == [f"a2c ({grid})", f"ppo ({grid})", "ppo (other)"]


def test_folders_alone_are_compared(command: Command, tmp_path: Path) -> None:
    made_grid(tmp_path / "old", ["ppo"], ["CartPole-v1"], 2)
    made_grid(tmp_path / "new", ["ppo"], ["CartPole-v1"], 3)
    result = command(report, "--compare", "old", "new", "-o", "numbers.json")
    assert result.code == 0, result.err
    numbers = json.loads(Path("numbers.json").read_text())
    assert [(row["group"], row["seeds"]) for row in numbers["results"]] == [("old", 2), ("new", 3)]


def test_environments_without_a_scale_are_left_out_and_named(command: Command, tmp_path: Path) -> None:
    made_grid(tmp_path / "logs", ["a2c", "ppo"], ["CartPole-v1", "Mine-v0"], 2)
    numbers = _numbers(command, "logs")
    assert numbers["overall_environments"] == ["CartPole-v1"]
    assert any(note.startswith("Mine-v0 is not among") for note in numbers["notes"])
    (tmp_path / "mine.yml").write_text("environments:\n  Mine-v0: [0, 400]\n")
    numbers = _numbers(command, "logs", "--scores", "mine.yml")
    assert numbers["overall_environments"] == ["CartPole-v1", "Mine-v0"]
    row = next(row for row in numbers["results"] if row["environment"] == "Mine-v0")
    assert row["normalised"]["value"] == pytest.approx(row["mean"]["value"] / 400)
    assert _numbers(command, "logs", "--normalise", "range")["overall_environments"] == ["CartPole-v1", "Mine-v0"]


def test_runs_are_cut_and_scored_as_wanted(command: Command, tmp_path: Path) -> None:
    made_run(tmp_path / "logs", "ppo", "CartPole-v1", 1, [10, 40, 20, 30], steps=400)

    def score(*arguments: str) -> float:
        return float(_numbers(command, "logs", *arguments)["runs"][0]["score"])

    assert (score(), score("--score", "best"), score("--score", "mean"), score("-max", "300")) == (30, 40, 25, 20)


def test_losses_come_from_the_log(command: Command, tmp_path: Path) -> None:
    folder = made_run(tmp_path / "logs", "ppo", "CartPole-v1", 1, [10, 40])
    lines = ["time/total_timesteps,train/loss,rollout/ep_rew_mean", "100,,1", "500,0.5,2", "1000,0.25,3"]
    (folder / "progress.csv").write_text("\n".join(lines))
    seed = _numbers(command, "logs", "--losses")["curves"]["CartPole-v1"]["train/loss"]["ppo"]["seeds"][0]
    assert (seed["steps"], seed["value"]) == ([500, 1000], [0.5, 0.25])


@pytest.mark.slow
def test_a_thousand_runs_take_seconds(tmp_path: Path) -> None:
    algorithms = ["a2c", "ars", "crossq", "ddpg", "dqn", "ppo", "qrdqn", "sac", "td3", "tqc"]
    environments = ["Acrobot-v1", "Ant-v5", "BipedalWalker-v3", "CartPole-v1", "HalfCheetah-v5", "Hopper-v5"]
    environments += ["LunarLander-v3", "Pendulum-v1", "Swimmer-v5", "Walker2d-v5"]
    made_grid(tmp_path / "logs", algorithms, environments, 10, n_evaluations=100)
    began = time.process_time()
    result = report_runs(tmp_path / "logs", output=str(tmp_path / "report.html"))
    assert time.process_time() - began < 20
    assert len(result.report.runs) == 1000
    tracemalloc.start()
    collect([str(tmp_path / "logs")])
    assert tracemalloc.get_traced_memory()[1] < 500e6
    tracemalloc.stop()
