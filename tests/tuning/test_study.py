"""Whole studies with tiny budgets, on real storages."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from stable_baselines3.common.save_util import load_from_zip_file

from rl_experiments import Experiment, Run, train
from rl_experiments.algorithms import algorithm_names, get_algorithm
from rl_experiments.core.errors import ConfigurationError, TrainingError
from rl_experiments.runs import RunRecord
from rl_experiments.training.preparation import prepare
from rl_experiments.tuning import searching, study, sweeping
from rl_experiments.tuning.loading import load_trial, trial_of
from rl_experiments.tuning.settings import Study
from rl_experiments.tuning.storage import open_storage
from tests.helpers.commands import CommandResult, run_module, start_module
from tests.tuning.test_space import environment_of

ON_LINE = {"algo": "ppo", "env": "toy_envs:ToyLine-v0", "n_timesteps": 64, "eval_episodes": 1, "verbose": 0}
SMALL = {"n_steps": 16, "batch_size": 16, "n_epochs": 1}
FAST = ("dqn", "ppo", "td3")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def on_line(**settings: Any) -> Experiment:
    return Experiment(**{"hyperparams": SMALL, "seed": 1, **ON_LINE, **settings})


def tuned(algorithm: str, **settings: Any) -> Experiment:
    given: dict[str, Any] = {"n_timesteps": 120, "eval_episodes": 1, "seed": 2, "verbose": 0}
    if get_algorithm(algorithm).off_policy:
        given["hyperparams"] = {"learning_starts": 100, "buffer_size": 1000}
    return Experiment(
        algo=algorithm, storage="study.log", study_name="s", **{"env": environment_of(algorithm), **given, **settings}
    )


def check_what_was_trained(values: dict[str, Any], model: Any) -> None:
    """Compare sampled values with the attributes of the model that was trained."""
    for name, value in values.items():
        if name in ("noise_type", "noise_std", "replay_buffer_kwargs", "policy_kwargs"):
            continue
        found = model.delta_std_schedule if name == "delta_std" else getattr(model, name)
        found = found.frequency if name == "train_freq" else found
        assert (found(1.0) if callable(found) else found) == value, name
    for name, value in values.get("policy_kwargs", {}).items():
        found = model.policy_kwargs[name]
        assert (f"nn.{found.__name__}" if isinstance(found, type) else found) == (
            str(value) if isinstance(found, type) else value
        )
    for name, value in values.get("replay_buffer_kwargs", {}).items():
        assert model.replay_buffer_kwargs[name] == value
    if "noise_type" in values:
        noise = model.action_noise
        assert (noise is None) == (values["noise_type"] is None)
        assert noise is None or float(noise._sigma[0]) == values["noise_std"]


def run_of(trial: optuna.trial.FrozenTrial) -> Run:
    """The run of a trial with one seed."""
    folder = Path(trial.user_attrs["runs"][0])
    return Run(folder, folder.parent.name, folder.name.rpartition("_")[0])


def trained_model(run: Run) -> Any:
    """The model as SB3 itself reads it; a buffer for hindsight would need the environment."""
    kept = load_from_zip_file(run.final_model)[0] or {}
    hindsight = {"replay_buffer_class": None, "replay_buffer_kwargs": {}} if kept.get("replay_buffer_kwargs") else {}
    model = get_algorithm(run.algorithm).load_class().load(run.final_model, device="cpu", custom_objects=hindsight)
    model.replay_buffer_kwargs = kept.get("replay_buffer_kwargs")
    return model


def check_trials(experiment: Experiment, n_trials: int) -> list[dict[str, Any]]:
    """Run a study, and compare what it sampled with its models on disk, and with what is read back from it."""
    result = study.run_study(experiment, Study(n_trials=n_trials))
    assert [trial.state for trial in result.study.trials] == [TrialState.COMPLETE] * n_trials, result.study.trials
    found = []
    for number, trial in enumerate(result.study.trials):
        origin, values = load_trial("study.log", "s", number, experiment.algo)
        assert origin == f"trial {number} of s"
        run = run_of(trial)
        check_what_was_trained(values, trained_model(run))
        again = Experiment(**{**experiment.as_arguments(), "trial_id": number})
        prepared = prepare(again, trial_of(again))
        saved = prepared.configuration.saved_hyperparameters
        assert dict(saved) == {name: run.hyperparameters[name] for name in run.hyperparameters}
        assert RunRecord.read(run)["seed"] == trial.user_attrs["seed"] == 2 + number
        found.append(values)
    return found


@pytest.mark.parametrize(
    "algorithm",
    [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in algorithm_names("sb3")],
)
def test_what_was_sampled_is_what_is_trained_with_and_read_back(algorithm: str) -> None:
    check_trials(tuned(algorithm), 3 if algorithm == "td3" else 2)


@pytest.mark.slow
def test_all_kinds_of_noise() -> None:
    given = {"learning_starts": 1000, "policy_kwargs": {"net_arch": [8]}}
    values = check_trials(tuned("td3", hyperparams=given, n_timesteps=40), 12)
    assert {value["noise_type"] for value in values} == {None, "normal", "ornstein-uhlenbeck"}


@pytest.mark.parametrize("algorithm", ["sac", pytest.param("tqc", marks=pytest.mark.slow)])
def test_hindsight_and_network_are_merged(algorithm: str, tmp_path: Path) -> None:
    (tmp_path / "her.yml").write_text(
        "toy_envs:ToyGoal-v0:\n  n_timesteps: 120\n  policy: MultiInputPolicy\n  learning_starts: 100\n"
        "  replay_buffer_class: HerReplayBuffer\n"
        "  replay_buffer_kwargs: dict(goal_selection_strategy='future', copy_info_dict=True)\n"
        "  policy_kwargs: dict(n_critics=1, activation_fn=nn.Tanh)\n"
    )
    experiment = tuned(algorithm, env="toy_envs:ToyGoal-v0", conf_file="her.yml", hyperparams=None)
    for number, values in enumerate(check_trials(experiment, 2)):
        assert set(values["replay_buffer_kwargs"]) == {"n_sampled_goal", "goal_selection_strategy"}
        folder = Path(f"logs/{algorithm}/s/trial_{number}/{algorithm}/ToyGoal-v0_1")
        model = trained_model(Run(folder, algorithm, "ToyGoal-v0"))
        assert model.replay_buffer_kwargs == {"copy_info_dict": True, **values["replay_buffer_kwargs"]}
        assert model.policy_kwargs["n_critics"] == 1
        assert model.policy_kwargs["activation_fn"].__name__ == "Tanh"


@pytest.mark.parametrize("storage", ["here/study.log", "sqlite:///there/study.db"])
def test_the_command(storage: str, command: Callable[..., CommandResult], tmp_path: Path) -> None:
    common = ["--algo", "ppo", "--env", "CartPole-v1", "--storage", storage, "--study-name", "mine", "--seed", "1"]
    shown = command(
        train, "-optimize", *common, "-n", "64", "--n-trials", "2", "--eval-episodes", "1",
        "--optimization-log-path", "each", "-params", "n_steps:16", "n_envs:2",
    )  # fmt: skip
    assert shown.code == 0, shown.err
    for part in ("Number of finished trials: 2", "Best trial:", "Value:", "Params:", "User attributes:", "mine in"):
        assert part in shown.out
    assert not shown.err
    # Plots in a format of their own come where plotly is installed.
    left = sorted(path.name for path in (tmp_path / "logs" / "ppo").iterdir() if path.suffix != ".html")
    assert len(left) == 3, left
    assert left.pop(0) == "mine"
    assert {path.name for path in (tmp_path / "logs" / "ppo" / "mine").iterdir()} == {
        "report.html",
        "trial_0",
        "trial_1",
    }
    assert left[0].startswith("report_CartPole-v1_2-trials-64-tpe-median_")
    assert left[0].endswith(".csv")
    assert left[1].endswith("_best.yml")
    for number in (0, 1):
        assert {path.name for path in (tmp_path / "each" / f"trial_{number}").iterdir()} == {
            "best_model.zip",
            "evaluations.npz",
        }
    shown = command(train, *common, "--trial-id", "0", "--dry-run")
    assert shown.code == 0, shown.err
    assert "# trial 0 of mine" in shown.out
    shown = command(train, *common, "--trial-id", "1", "-n", "64", "-params", "n_steps:16", "n_envs:2")
    assert shown.code == 0, shown.err
    _, values = load_trial(storage, "mine", 1, "ppo")
    saved = (tmp_path / "logs" / "ppo" / "CartPole-v1_1" / "CartPole-v1" / "config.yml").read_text()
    assert str(values["gamma"]) in saved
    best = next((tmp_path / "logs" / "ppo").glob("*_best.yml"))
    shown = command(train, "--algo", "ppo", "--env", "CartPole-v1", "-c", str(best), "--dry-run")
    assert shown.code == 0, shown.err
    number = 1 if str(values["gamma"]) in best.read_text() else 0
    assert str(load_trial(storage, "mine", number, "ppo")[1]["gamma"]) in shown.out


def test_the_table(tmp_path: Path) -> None:
    result = study.run_study(on_line(), Study(n_trials=2, no_optim_plots=True))
    with result.report.table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["number"] for row in rows] == ["0", "1"]
    assert {row["state"] for row in rows} == {"COMPLETE"}
    assert float(rows[0]["value"]) == 55.0
    columns = list(rows[0])
    assert columns[:5] == ["number", "value", "datetime_start", "datetime_complete", "duration"]
    assert columns[-1] == "state"
    assert "params_learning_rate" in columns
    assert json.loads(rows[0]["user_attrs_hyperparameters"]) == result.study.trials[0].user_attrs["hyperparameters"]


def test_dry_run(command: Callable[..., CommandResult], tmp_path: Path) -> None:
    shown = command(train, "-optimize", "--algo", "td3", "--env", "Pendulum-v1", "--dry-run", "--storage", "s.log")
    assert shown.code == 0, shown.err
    assert "when noise_type is" in shown.out
    assert "500 trials of" in shown.out
    assert list(tmp_path.iterdir()) == []


REFUSED: list[tuple[list[str], str]] = [
    (["--n-trials", "0"], "n_trials must be at least 1"),
    (["--n-jobs", "0"], "n_jobs must be at least 1"),
    (["--n-evaluations", "0"], "n_evaluations must be at least 1"),
    (["--n-startup-trials", "-1"], "n_startup_trials"),
    (["--trial-id", "0"], "does not go with -optimize"),
    (["-i", "model.zip"], "does not go with -i"),
    (["--sampler", "auto"], "pip install optunahub"),
    (["--storage", "nonsense"], "storage 'nonsense' cannot be used"),
    (["--seeds", "0"], "expected from 1 to"),
    (["--confirm", "-1"], "confirm must be at least 0"),
    (["--pruner", "wilcoxon", "--seeds", "4"], "needs --seeds 5"),
    (["--space", "nowhere.yml"], "There is no search space nowhere.yml"),
    (["--ray-address", "auto"], "is for --launcher ray"),
    (["--study-name", "CartPole-v1_3"], "is that of a run"),
    (["--study-name", "a/b"], "can have no / in it"),
    (["-params", "gama:0.9"], "Did you mean 'gamma'?"),
]


@pytest.mark.parametrize(("flags", "message"), REFUSED)
def test_a_study_that_cannot_be_is_refused(
    flags: list[str], message: str, command: Callable[..., CommandResult], tmp_path: Path
) -> None:
    if "auto" in flags and searching.importlib.util.find_spec("optunahub"):
        pytest.skip("optunahub is installed")
    command(train, "-optimize", "--algo", "ppo", "--env", "CartPole-v1", *flags).assert_refused(message)
    assert not (tmp_path / "logs").exists()


def test_the_same_seed_gives_the_same_study() -> None:
    experiment = Experiment(algo="a2c", env="CartPole-v1", n_timesteps=400, eval_episodes=2, seed=7, verbose=0)
    first, second = (study.run_study(experiment, Study(n_trials=3)).study.trials for _ in range(2))
    assert [(trial.params, trial.value) for trial in first] == [(trial.params, trial.value) for trial in second]
    assert [trial.user_attrs["seed"] for trial in first] == [7, 8, 9]
    assert len({trial.params["learning_rate"] for trial in first}) == 3


def test_a_study_that_goes_on_is_the_one_without_the_pause() -> None:
    whole = study.run_study(on_line(storage="whole.log", study_name="s"), Study(n_trials=4)).study.trials
    for _ in range(2):
        parts = study.run_study(on_line(storage="parts.log", study_name="s"), Study(n_trials=2)).study.trials
    assert [trial.params for trial in parts] == [trial.params for trial in whole]


def test_max_total_trials_counts_those_that_were_there() -> None:
    for expected in (2, 3, 3):
        limit = Study(max_total_trials=expected, n_trials=1)
        result = study.run_study(on_line(storage="s.log", study_name="s"), limit)
        assert len(result.study.trials) == expected


def test_a_study_of_something_else_is_refused() -> None:
    study.run_study(on_line(storage="s.log", study_name="s"), Study(n_trials=1))
    with pytest.raises(ConfigurationError, match="tunes the algorithm ppo, not a2c"):
        study.run_study(on_line(storage="s.log", study_name="s", algo="a2c", hyperparams={}), Study(n_trials=1))
    with pytest.raises(ConfigurationError, match="tunes the algorithm ppo, not a2c"):
        load_trial("s.log", "s", 0, "a2c")
    with pytest.raises(ConfigurationError, match="tunes the environment"):
        study.run_study(on_line(storage="s.log", study_name="s", env="toy_envs:ToyMasked-v0"), Study(n_trials=1))


def test_failures_are_failures(capsys: pytest.CaptureFixture[str]) -> None:
    experiment = on_line(env="toy_envs:ToyBreaks-v0", n_timesteps=400, storage="s.log", study_name="s")
    with pytest.raises(
        TrainingError, match="3 trials in a row failed, the last because of RuntimeError: the line broke"
    ):
        study.run_study(experiment, Study(n_trials=10))
    kept = optuna.load_study(storage=open_storage("s.log"), study_name="s")
    assert [trial.state for trial in kept.trials] == [TrialState.FAIL] * 3
    assert {trial.user_attrs["failure"] for trial in kept.trials} == {"RuntimeError: the line broke"}
    shown = capsys.readouterr()
    assert "Trial 0 failed: RuntimeError: the line broke" in shown.err
    assert "No trial came to its end" in shown.out


@pytest.mark.parametrize(("algorithm", "message"), [("ppo", r"\(NaN\)"), ("dqn", "gave the reward nan")])
def test_what_is_no_number_fails(algorithm: str, message: str) -> None:
    experiment = on_line(
        algo=algorithm, env_kwargs={"scale": float("nan")}, storage="s.log", study_name="s", hyperparams={"n_envs": 1}
    )
    with pytest.raises(TrainingError, match=message):
        study.run_study(experiment, Study(n_trials=3))
    kept = optuna.load_study(storage=open_storage("s.log"), study_name="s").trials
    assert [trial.state for trial in kept] == [TrialState.FAIL] * 3
    assert "nan" in kept[0].user_attrs["failure"].lower()


def test_failures_between_successes_do_not_stop() -> None:
    """A trial of more than 64 steps in one environment breaks here, and the space has both."""
    Path("envs.yml").write_text("n_envs: {choices: [1, 2]}\n")
    experiment = on_line(env="toy_envs:ToyBreaks-v0", n_timesteps=120, hyperparams={**SMALL, "learning_rate": 0.001})
    result = study.run_study(experiment, Study(n_trials=8, sampler="random", space="envs.yml"))
    states = {(trial.params["n_envs"], trial.state.name) for trial in result.study.trials}
    assert states == {(1, "FAIL"), (2, "COMPLETE")}
    failed = [trial for trial in result.study.trials if trial.state == TrialState.FAIL]
    assert {trial.user_attrs["failure"] for trial in failed} == {"RuntimeError: the line broke"}


@pytest.mark.parametrize(("algorithm", "n_envs"), [("ppo", 2), ("dqn", 1), ("ars", 1)])
def test_pruned_trials_end_early(algorithm: str, n_envs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "make_pruner", lambda *arguments: optuna.pruners.ThresholdPruner(upper=10))
    given = {"n_envs": n_envs, "n_delta": 4} if algorithm == "ars" else {"n_envs": n_envs}
    experiment = on_line(algo=algorithm, hyperparams=given, n_timesteps=400)
    trial = study.run_study(experiment, Study(n_trials=1, n_evaluations=4)).study.trials[0]
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {1: 55.0}
    run = run_of(trial)
    assert run.final_model.is_file()
    assert (RunRecord.read(run)["status"], RunRecord.read(run)["reason"].split(":")[0]) == ("finished", "pruned")
    result = study.run_study(experiment, Study(n_trials=1, n_evaluations=1)).study.trials[0]
    assert result.state == TrialState.COMPLETE


def test_evaluations_are_where_they_should_be(tmp_path: Path) -> None:
    import numpy as np

    experiment = on_line(
        n_timesteps=120, hyperparams={**SMALL, "n_envs": 2}, optimization_log_path="each", eval_episodes=3
    )
    result = study.run_study(experiment, Study(n_trials=1, n_evaluations=3))
    assert result.study.trials[0].intermediate_values == {1: 55.0, 2: 55.0, 3: 55.0}
    with np.load(tmp_path / "each" / "trial_0" / "evaluations.npz") as kept:
        assert kept["timesteps"].tolist() == [40, 80, 120]
        assert kept["results"].shape == (3, 3)


@pytest.mark.slow
def test_asynchronous_ars(tmp_path: Path) -> None:
    experiment = on_line(algo="ars", hyperparams={"n_envs": 2, "n_delta": 2}, n_timesteps=80)
    result = study.run_study(experiment, Study(n_trials=1, n_evaluations=2))
    assert result.study.trials[0].intermediate_values == {1: 55.0, 2: 55.0}


def test_ctrl_c(tmp_path: Path) -> None:
    import signal
    import time

    arguments = ["-optimize", "--algo", "ppo", "--env", "toy_envs:ToySlow-v0", "-n", "100000", "--storage", "s.log"]
    given = (*arguments, "--study-name", "s", "-params", "n_envs:1")
    process = start_module("rl_experiments.train", *given, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and "hyperparameters" not in _text(tmp_path / "s.log"):
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "Number of finished trials: 1 (1 fail)" in out


def test_processes(command: Callable[..., CommandResult], tmp_path: Path) -> None:
    shown = run_module(
        "rl_experiments.train", "-optimize", "--algo", "ppo", "--env", "toy_envs:ToyLine-v0", "-n", "64",
        "--n-trials", "5", "--n-jobs", "2", "--eval-episodes", "1", "--study-name", "s", "--seed", "1",
        "-params", "n_steps:16", "batch_size:16", "n_epochs:1", cwd=tmp_path,
    )  # fmt: skip
    assert shown.code == 0, shown.err
    kept = optuna.load_study(storage=open_storage("logs/ppo/s/journal.log"), study_name="s").trials
    assert [trial.state for trial in kept] == [TrialState.COMPLETE] * 5
    assert len({trial.params["learning_rate"] for trial in kept}) == 5
    assert sorted(trial.user_attrs["seed"] for trial in kept) == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_a_process_that_dies_fails_its_trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os\nimport gymnasium as gym\nfrom toy_envs import Line\n\n\n"
        "class Deadly(Line):\n    def step(self, action):\n        os._exit(9)\n\n\n"
        "gym.register('Deadly-v0', entry_point=Deadly)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    experiment = on_line(env="deadly:Deadly-v0", storage="s.log", study_name="s")
    with pytest.raises(TrainingError, match=r"the last because of its process crashed \(exit code 9\)"):
        study.run_study(experiment, Study(n_trials=6, n_jobs=2))
    kept = optuna.load_study(storage=open_storage("s.log"), study_name="s").trials
    assert [trial.state for trial in kept[:3]] == [TrialState.FAIL] * 3
    logs = [path.name for path in (tmp_path / "logs" / "ppo" / "s" / "trial_0").glob("*.log")]
    assert sorted(logs) == ["seed_1.log", "seed_1_attempt_2.log"]  # it was given a second chance


def test_samplers_and_pruners() -> None:
    assert isinstance(searching.make_sampler("random", 1, 0), optuna.samplers.RandomSampler)
    assert isinstance(searching.make_pruner("halving", 1, 3), optuna.pruners.SuccessiveHalvingPruner)
    assert isinstance(searching.make_pruner("none", 1, 3), optuna.pruners.NopPruner)
    median = searching.make_pruner("median", 4, 7)
    assert (median._n_startup_trials, median._n_warmup_steps) == (4, 2)  # type: ignore[attr-defined]
    for make in (lambda: searching.make_sampler("tpee", 1, 0), lambda: searching.make_pruner("medain", 1, 1)):
        with pytest.raises(ConfigurationError, match="Did you mean"):
            make()


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""
