"""Jobs on a real Ray cluster of three nodes on this machine, one of which is killed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rl_experiments import Experiment
from rl_experiments.core.errors import MissingPackageError
from rl_experiments.launching import Job, Launcher, Needs, Outcome, Question

try:
    import ray
    from ray.cluster_utils import Cluster
except ImportError:
    ray = None

needs_ray = pytest.mark.skipif(ray is None, reason="ray is not installed")


@pytest.mark.skipif(ray is not None, reason="ray is installed")
def test_without_ray_the_extra_is_named() -> None:
    from rl_experiments.launching.on_ray import RayTasks

    with pytest.raises(MissingPackageError, match=r"rl_experiments\[ray\]"):
        RayTasks()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Three nodes of one core each."""
    monkeypatch.chdir(tmp_path)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        nodes.add_node(num_cpus=1)
    try:
        yield nodes
    finally:
        if ray.is_initialized():
            ray.shutdown()
        nodes.shutdown()


def _asks(parent: Any) -> str:
    parent(1)
    return f"{parent.ask('how far?')} {os.path.basename(os.getcwd())}"


def _fails(parent: Any) -> None:
    raise ValueError("of no use")


def _dies(parent: Any) -> None:
    os._exit(3)


def finished(launcher: Launcher, n_jobs: int) -> dict[str, Outcome]:
    """Answer all questions until so many jobs have ended."""
    outcomes: dict[str, Outcome] = {}
    deadline = time.monotonic() + 200
    while len(outcomes) < n_jobs and time.monotonic() < deadline:
        for event in launcher.wait(1.0):
            if isinstance(event, Question):
                launcher.answer(event.job.name, f"not {event.value}")
            else:
                outcomes[event.job.name] = event
    return outcomes


@needs_ray
@pytest.mark.slow
def test_jobs_answer_fail_and_are_lost(cluster: Any, tmp_path: Path) -> None:
    from rl_experiments.launching.on_ray import RayTasks

    launcher = RayTasks(cluster.address, capacity=3)
    for name, work in (("asks", _asks), ("fails", _fails), ("dies", _dies)):
        launcher.submit(Job(name, work, tmp_path / f"{name}.log", Needs(1)))
    assert not launcher.has_room
    outcomes = finished(launcher, 3)
    assert outcomes["asks"].result == f"not how far? {tmp_path.name}"
    assert outcomes["fails"].reason == "ValueError: of no use"
    assert not outcomes["fails"].lost
    assert outcomes["dies"].lost
    assert "in _fails" in (tmp_path / "fails.log").read_text()
    launcher.close()


@needs_ray
@pytest.mark.slow
def test_a_node_that_dies_costs_no_finished_trial(cluster: Any, tmp_path: Path) -> None:
    import threading

    from rl_experiments.tuning.settings import Study
    from rl_experiments.tuning.study import run_study

    experiment = Experiment(
        algo="ppo", env="toy_envs:ToySlow-v0", n_timesteps=2000, eval_episodes=1, seed=1, verbose=0, study_name="s",
        hyperparams={"n_steps": 16, "batch_size": 16, "n_epochs": 1},
    )  # fmt: skip

    folder = tmp_path / "logs" / "ppo" / "s"

    def kill_one() -> None:
        """When two trials are done, and three under way: one on each node."""
        done = 0
        while done < 2 or len(list(folder.glob("trial_*/ppo/*/0.monitor.csv"))) < done + 3:
            time.sleep(0.2)
            done = (folder / "journal.log").read_text().count('"scores"') if (folder / "journal.log").is_file() else 0
        cluster.remove_node(list(cluster.worker_nodes)[-1], allow_graceful=False)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    study = Study(n_trials=8, n_jobs=3, launcher="ray", ray_address=cluster.address, pruner="none")
    result = run_study(experiment, study)
    killer.join(timeout=5)
    assert not killer.is_alive()
    states = [trial.state.name for trial in result.study.trials]
    assert states == ["COMPLETE"] * 8, states
    assert {trial.value for trial in result.study.trials} == {55.0}
    attempts = list(folder.glob("trial_*/*_attempt_2.log"))
    assert attempts, "no training was under way on the node that was killed"
    for trial in result.study.trials:
        assert (Path(trial.user_attrs["runs"][0]) / "ToySlow-v0.zip").is_file()


@needs_ray
@pytest.mark.slow
def test_a_run_of_a_grid_goes_on_when_its_node_dies(cluster: Any, tmp_path: Path) -> None:
    import threading

    from rl_experiments.launching.grid.running import run_grid
    from rl_experiments.launching.grid.settings import Grid
    from rl_experiments.runs.record import read_record

    settings = {
        "n_timesteps": 2000,
        "save_freq": 100,
        "eval_freq": -1,
        "hyperparams": {"n_steps": 16, "batch_size": 16, "n_epochs": 1},
    }
    grid = Grid(
        algos=("ppo",),
        envs=("toy_envs:ToySlow-v0",),
        seeds=(1, 2, 3),
        launcher="ray",
        ray_address=cluster.address,
        experiment=settings,
    )

    def kill_one() -> None:
        """When all three are under way: one on each node."""
        while len(list((tmp_path / "logs" / "ppo").glob("*/checkpoints/0*"))) < 3:
            time.sleep(0.2)
        cluster.remove_node(list(cluster.worker_nodes)[-1], allow_graceful=False)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    lines: list[str] = []
    result = run_grid(grid, lines.append)
    assert not killer.is_alive()
    assert result.count("finished") == 3, lines
    assert any("it is tried again" in line for line in lines), lines
    runs = {str(state.run) for state in result.states}
    assert len(runs) == len(list((tmp_path / "logs" / "ppo").iterdir())) == 3
    assert any(read_record(run).get("resumed") for run in runs)
