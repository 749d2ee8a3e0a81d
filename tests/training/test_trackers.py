"""Trackers without a network, with the real packages; one that fails costs no training."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_experiments import resume_run, train
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.runs.record import read_record
from rl_experiments.training import trackers
from rl_experiments.training.settings import Experiment
from rl_experiments.training.trackers import TrackedRun
from tests.helpers.commands import CommandResult
from tests.helpers.tiny import tiny_experiment

Command = Callable[..., CommandResult]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")


def _trained(tmp_path: Path, tracker: str | bool, **settings: Any) -> Path:
    defaults: dict[str, Any] = {"n_timesteps": 128, "eval_freq": 64, "eval_episodes": 1, "save_freq": 64}
    experiment = tiny_experiment("ppo", "CartPole-v1", tmp_path / "logs", track=tracker, **{**defaults, **settings})
    return experiment.run().run.path


def _goes_on(run: Path) -> dict[str, Any]:
    """:return: what the record says of the tracker before and after the run went on, which must be the same"""
    before = read_record(run)["tracker"]
    resume_run(run, n_timesteps=256)
    assert read_record(run)["tracker"] == before
    return dict(before)


@pytest.mark.slow
def test_mlflow_gets_numbers_and_hyperparameters_and_goes_on(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    run = _trained(tmp_path, "mlflow", wandb_project_name="mine", wandb_tags=("one", "two"))
    known = _goes_on(run)
    client = mlflow.MlflowClient()
    stored = client.get_run(known["id"])
    assert (stored.info.status, stored.data.tags["tags"]) == ("FINISHED", "one,two")
    assert (stored.data.params["gamma"], stored.data.params["algo"]) == ("0.98", "ppo")
    rewards = {point.step: point.value for point in client.get_metric_history(known["id"], "eval/mean_reward")}
    assert list(rewards) == [64, 128, 192, 256]
    assert rewards[256] == read_record(run)["last_mean_reward"]
    assert "train/loss" in stored.data.metrics


def test_trackio_gets_numbers_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    utils = pytest.importorskip("trackio.utils", reason="trackio is not installed")
    known = _goes_on(_trained(tmp_path, "trackio", wandb_project_name="mine"))
    [file] = Path(utils.TRACKIO_DIR).glob("mine*.db")
    with sqlite3.connect(file) as database:
        rows = database.execute("SELECT step, metrics FROM metrics WHERE run_name = ?", (known["name"],)).fetchall()
    steps = {step for step, metrics in rows if "eval/mean_reward" in json.loads(metrics)}
    assert steps == {64, 128, 192, 256}


def test_wandb_follows_the_tensorboard_log_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    known = _goes_on(_trained(tmp_path, True))
    folders = list((tmp_path / "wandb").glob(f"offline-run-*-{known['id']}"))
    assert len(folders) == 2  # the same run, from two processes as it were
    assert all(list(folder.glob("*.wandb")) for folder in folders)
    assert list((tmp_path / "runs" / known["name"]).rglob("events.out.tfevents*"))


def test_a_tracker_that_fails_costs_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run = _trained(tmp_path, "mlflow", n_timesteps=64)
    assert read_record(run)["status"] == "finished"
    assert capsys.readouterr().err.count("mlflow failed, and the training goes on without it") == 1


def test_a_table_is_followed_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    utils = pytest.importorskip("trackio.utils", reason="trackio is not installed")
    settings: dict[str, Any] = {"n_timesteps": 4000, "eval_freq": 2000, "verbose": 0, "track": "trackio"}
    experiment = Experiment(algo="q_learning", env="FrozenLake-v1", log_folder=str(tmp_path / "logs"), **settings)
    run = experiment.run().run.path
    before = read_record(run)["tracker"]
    resume_run(run, n_timesteps=6000)
    assert read_record(run)["tracker"] == before
    [file] = Path(utils.TRACKIO_DIR).glob("sb3*.db")
    with sqlite3.connect(file) as database:
        rows = database.execute("SELECT step, metrics FROM metrics WHERE run_name = ?", (before["name"],)).fetchall()
    stored = {step: json.loads(metrics)["eval/mean_reward"] for step, metrics in rows}
    with np.load(run / "evaluations.npz") as evaluations:
        scores = dict(zip(evaluations["timesteps"].tolist(), evaluations["results"].mean(axis=1), strict=True))
    assert stored == pytest.approx(scores)


class _Hangs:
    """A tracker whose server takes the numbers and says nothing more."""

    identity = "one"

    def __init__(self, run: TrackedRun) -> None:
        pass

    def log(self, values: Mapping[str, float], steps: int) -> None:
        threading.Event().wait()


def test_a_tracker_that_hangs_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("trackio", reason="trackio is not installed")
    monkeypatch.setitem(trackers._CLASSES, "trackio", (_Hangs, "trackio"))  # type: ignore[arg-type]
    monkeypatch.setattr(trackers, "PATIENCE", 0.5)
    run = _trained(tmp_path, "trackio", n_timesteps=128)
    record = read_record(run)
    assert (record["status"], record["steps"], record["tracker"]["id"]) == ("finished", 128, "one")
    assert capsys.readouterr().err.count("trackio failed, and the training goes on without it: TimeoutError") == 1


def test_the_flag_alone_is_weights_and_biases(command: Command) -> None:
    parse = train.build_parser().parse
    assert [parse(["--track", *words]).track for words in ([], ["trackio"], ["--seed", "1"])] == [
        "wandb",
        "trackio",
        "wandb",
    ]
    assert (Experiment(track=True).track, Experiment().track) == ("wandb", False)
    command(train, "--track", "mlfow").assert_refused("--track", "mlflow")
    with pytest.raises(ConfigurationError, match="trackio"):
        Experiment(track="nobody")
