"""The command tune, from trials over confirmation to a block of YAML and a training with it."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import optuna
import pytest

from rl_experiments import Run, train, tune
from rl_experiments.core import yaml_io
from rl_experiments.runs import RunRecord
from rl_experiments.tuning.storage import open_storage
from tests.helpers.commands import CommandResult, start_module, unmeasured

SMALL = ["-params", "n_steps:16", "batch_size:16", "n_epochs:1", "n_envs:1"]
ON_LINE = ["--algo", "ppo", "--env", "toy_envs:ToyLine-v0", "-n", "64", "--eval-episodes", "1", "--seed", "3", *SMALL]
SLOWLY = [name.replace("ToyLine", "ToySlow").replace("64", "2000") for name in ON_LINE]
STUDY = Path("logs/ppo/study_ToyLine-v0")


def study_of(env: str) -> optuna.Study:
    name = f"study_{env}"
    return optuna.load_study(storage=open_storage(f"logs/ppo/{name}/journal.log"), study_name=name)


class _Page(HTMLParser):
    """Collects what a page would fetch, and how its tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.rows = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.rows += tag == "tr"
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href")]


def test_from_trials_to_a_training(command: Callable[..., CommandResult]) -> None:
    shown = command(tune, *ON_LINE, "--n-trials", "3", "--n-jobs", "2", "--confirm", "2", "--confirm-seeds", "2")
    assert shown.code == 0, shown.err
    study = study_of("ToyLine-v0")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3
    for trial in study.trials:
        (folder,) = trial.user_attrs["runs"]
        assert folder == str(STUDY / f"trial_{trial.number}" / "ppo" / "ToyLine-v0_1")
        record = RunRecord.read(Run(Path(folder), "ppo", "ToyLine-v0"))
        assert (record["status"], record["seed"]) == ("finished", 3 + trial.number)
        assert "Eval num_timesteps" in (STUDY / f"trial_{trial.number}" / f"seed_{record['seed']}.log").read_text()
    assert "Confirmed: 55.0 (median of 2 fresh seeds: 55.00, 55.00)" in shown.out
    with (STUDY / "trials.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["confirmed"] for row in rows) == ["", "55.0", "55.0"]
    page = _Page((STUDY / "report.html").read_text())
    assert page.fetched == []
    assert page.rows == 2 + 1 + 3 + 1
    # The study has its trials: the same command makes no other, and tells the same.
    again = command(tune, *ON_LINE, "--n-trials", "3", "--confirm", "2", "--confirm-seeds", "2")
    assert (again.code, len(study_of("ToyLine-v0").trials)) == (0, 3)
    shown = command(tune, *ON_LINE, "--export")
    assert shown.code == 0, shown.err
    for part in ("of the study study_ToyLine-v0", "Score 55", "Confirmed 55: seed 1000006: 55, seed", "torch"):
        assert part in shown.out
    Path("mine.yml").write_text("# Kept.\nCartPole-v1:\n  n_envs: 1 # too\n")
    shown = command(tune, *ON_LINE, "--export", "mine.yml")
    assert shown.code == 0, shown.err
    text = Path("mine.yml").read_text()
    assert text.startswith("# Kept.\nCartPole-v1:\n  n_envs: 1 # too\n")
    block = yaml_io.read(Path("mine.yml"))["toy_envs:ToyLine-v0"]
    best = Run(Path(re.search(r"trial (\d+) of", text)[1]), "ppo", "ToyLine-v0")  # type: ignore[index]
    run = Run(STUDY / f"trial_{best.path}" / "ppo" / "ToyLine-v0_1", "ppo", "ToyLine-v0")
    assert block == dict(run.hyperparameters)
    for number in ("0", "best"):
        shown = command(train, "--from-study", f"{STUDY}#{number}", "--seed", "3", "--num-threads", "1")
        assert shown.code == 0, shown.err
    trained = Run(Path("logs/ppo/ToyLine-v0_1"), "ppo", "ToyLine-v0")
    first = Run(STUDY / "trial_0" / "ppo" / "ToyLine-v0_1", "ppo", "ToyLine-v0")
    assert dict(trained.hyperparameters) == dict(first.hyperparameters)
    assert dict(Run(Path("logs/ppo/ToyLine-v0_2"), "ppo", "ToyLine-v0").hyperparameters) == block


def test_seeds_and_objectives(command: Callable[..., CommandResult]) -> None:
    shown = command(
        tune,
        *ON_LINE,
        "--n-trials",
        "1",
        "--seeds",
        "3",
        "--objective",
        "auc",
        "--n-evaluations",
        "2",
        "--confirm",
        "0",
    )
    assert shown.code == 0, shown.err
    (trial,) = study_of("ToyLine-v0").trials
    assert trial.user_attrs["scores"] == [55.0] * 3
    assert trial.user_attrs["seeds"] == [3, 4, 5]
    assert trial.user_attrs["curves"] == {str(seed): [[32, 55.0], [64, 55.0]] for seed in (3, 4, 5)}
    assert trial.intermediate_values == dict.fromkeys(range(1, 7), 55.0)
    other = command(tune, *ON_LINE, "--n-trials", "2", "--seeds", "3", "--n-evaluations", "2", "--confirm", "0")
    other.assert_refused("--objective auc, not last", "another --study-name")


def test_a_space_of_ones_own(command: Callable[..., CommandResult]) -> None:
    Path("mine.yml").write_text(
        "extends: true\ngamma: {choices: [0.5, 0.6]}\nn_envs: {choices: [1, 2]}\nent_coef: null\n"
    )
    arguments = ["--algo", "ppo", "--env", "CartPole-v1", "--dry-run", "--space"]
    shown = command(tune, *arguments, "mine.yml")
    assert shown.code == 0, shown.err
    assert re.search(r"gamma +one of 0.5, 0.6\n", shown.out)
    assert re.search(r"n_envs +one of 1, 2\n", shown.out)
    assert "learning_rate" in shown.out
    assert not re.search(r"ent_coef +1e-08 to", shown.out)
    Path("mine.yml").write_text("gama: {choices: [0.5]}\n")
    command(tune, *arguments, "mine.yml").assert_refused("Did you mean 'gamma'?")
    assert not Path("logs").exists()


def test_tables_are_tuned_by_how_far_they_are(command: Callable[..., CommandResult]) -> None:
    shown = command(
        tune, "--algo", "q_learning", "--env", "FrozenLake-v1", "--n-trials", "2", "--n-evaluations", "4",
        "--seed", "1", "--eval-episodes", "5", "--confirm", "0", "--pruner", "none", "-params",
        "n_episodes:200", "compiled:False",
    )  # fmt: skip
    assert shown.code == 0, shown.err
    name = "study_FrozenLake-v1"
    study = optuna.load_study(storage=open_storage(f"logs/q_learning/{name}/journal.log"), study_name=name)
    for trial in study.trials:
        assert [len(curve) for curve in trial.user_attrs["curves"].values()] == [4]
        record = RunRecord.read(Run(Path(trial.user_attrs["runs"][0]), "q_learning", "FrozenLake-v1"))
        assert record["episodes"] == 200
        assert record["hyperparameters"]["gamma"]["value"] == trial.user_attrs["hyperparameters"]["gamma"]


def test_nothing_to_export(command: Callable[..., CommandResult]) -> None:
    command(tune, *ON_LINE, "--export").assert_refused("There is no storage logs/ppo/study_ToyLine-v0/journal.log")


def _begin(*flags: str) -> subprocess.Popen[str]:
    return start_module("rl_experiments.tune", *SLOWLY, "--confirm", "0", *flags, cwd=Path.cwd(), env=unmeasured())


def _wait_for(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if (value := found()) is not None:
            return value
        time.sleep(0.2)
    raise TimeoutError


def _process_in_training() -> int | None:
    """Of a training that has begun."""
    monitors = list(Path("logs/ppo/study_ToySlow-v0").glob("trial_*/ppo/*/run.json"))
    records = [RunRecord.read(Run(path.parent, "ppo", "ToySlow-v0")) for path in monitors]
    running = [record["process"]["pid"] for record in records if record["status"] == "running"]
    return running[-1] if running else None


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_same_command_goes_on(number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--n-trials", "2", "--n-jobs", "2"]
    process = _begin(*flags)
    _wait_for(_process_in_training)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), err
    assert "Traceback" not in err
    if number != signal.SIGKILL:
        assert "To go on: python -m rl_experiments.tune" in err
    again = _begin(*flags)
    _, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    trials = study_of("ToySlow-v0").trials
    done = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert [trial.state.name for trial in trials if trial not in done] == ["FAIL"] * (len(trials) - 2)
    for trial in done:
        original = trials[trial.user_attrs.get("retry_of", trial.number)]
        assert trial.params == original.params
        assert trial.user_attrs["seeds"] == original.user_attrs["seeds"]


@pytest.mark.slow
def test_a_training_that_is_killed_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    process = _begin("--n-trials", "1", "--n-jobs", "1")
    os.kill(_wait_for(_process_in_training), signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "Trial 0: its process crashed (SIGKILL); it begins again" in out
    (trial,) = study_of("ToySlow-v0").trials
    assert (trial.state.name, trial.value) == ("COMPLETE", 55.0)
    assert trial.user_attrs["runs"] == ["logs/ppo/study_ToySlow-v0/trial_0/ppo/ToySlow-v0_2"]
