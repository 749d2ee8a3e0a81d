"""Playing every agent under a folder: what is played, what is kept, and what a broken agent costs."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rl_experiments import Experiment, Run, benchmark, benchmark_agents, enjoy
from rl_experiments.core import yaml_io
from rl_experiments.core.files import write_text
from rl_experiments.core.names import folder_name
from rl_experiments.core.processes import start_of, still_runs
from tests.helpers.commands import CommandResult, start_module
from tests.helpers.tiny import tiny_experiment

Command = Callable[..., CommandResult]
FAULTS = {
    "ToyError-v0": "ToyError-v0: the environment failed in step 15: RuntimeError: the toy broke",
    "ToyDeath-v0": "its process crashed (exit code 7)",
    "ToyInterrupt-v0": "KeyboardInterrupt",
    "ToyKill-v0": "its process crashed (SIGKILL)",
    "ToyNanReward-v0": "1 of 3 returns are NaN or infinite",
}


def test_a_table_is_played_too(command: Command) -> None:
    hyperparams = {"n_episodes": 3000, "compiled": False}
    env_kwargs = {"is_slippery": False}
    Experiment(algo="q_learning", env="FrozenLake-v1", env_kwargs=env_kwargs, hyperparams=hyperparams, verbose=0).run()
    result = command(benchmark, "--log-dir", "logs", "--benchmark-dir", "out", "-n", "300")
    assert result.code == 0, result.err
    agent = _agents("out")["q_learning FrozenLake-v1"]
    assert (agent["mean"], agent["std"], agent["agent"], agent["deterministic"]) == (1.0, 0.0, "q_learning", True)
    assert agent["steps"] == agent["episodes"] * 6


@pytest.fixture(scope="module")
def faultless(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return tiny_experiment("ppo", "toy_faults:ToyFaulty-v0", tmp_path_factory.mktemp("logs"), n_timesteps=64).run().run


def _as_agent(run: Run, log_dir: Path, env_id: str, number: int = 1) -> Path:
    """The same agent in another environment, as if it had been trained there."""
    name = folder_name(env_id)
    folder = log_dir / run.algorithm / f"{name}_{number}"
    shutil.copytree(run.path, folder)
    if name != run.env_name:
        (folder / f"{run.env_name}.zip").rename(folder / f"{name}.zip")
        (folder / run.env_name).rename(folder / name)
    arguments = yaml_io.read(folder / name / "args.yml")
    write_text(folder / name / "args.yml", yaml_io.dump_like_the_zoo({**arguments, "env": env_id}))
    (folder / "run.json").unlink()
    return folder


def _agents(folder: str | Path) -> dict[str, dict[str, Any]]:
    content = json.loads((Path(folder) / "benchmark.json").read_text())
    return {f"{agent['algorithm']} {agent['environment']}": agent for agent in content["agents"]}


def test_every_agent_is_played_as_enjoy_plays_it(
    command: Command, ppo_run: Run, normalized_run: Run, tmp_path: Path
) -> None:
    for number in (1, 2):
        _as_agent(ppo_run, tmp_path / "agents", "CartPole-v1", number)
    _as_agent(normalized_run, tmp_path / "agents", "Pendulum-v1")
    (tmp_path / "agents" / "ppo" / "CartPole-v1_3").mkdir()
    (tmp_path / "published.md").write_text(
        "|algo|env_id|mean_reward|std_reward|n_timesteps|eval_timesteps|eval_episodes|\n|---|---|---:|---:|---|---:|---:|\n"
        "|a2c|[Pendulum-v1](https://huggingface.co/sb3/a2c-Pendulum-v1)|-162.9|103.2|1M|150000|750|\n"
    )
    flags = ("--log-dir", "agents", "--benchmark-dir", "out", "-n", "450", "--published", "published.md")
    result = command(benchmark, *flags)
    assert result.code == 0, result.err
    agents = _agents("out")
    assert list(agents) == ["a2c Pendulum-v1", "ppo CartPole-v1"]
    assert agents["ppo CartPole-v1"]["run"] == "agents/ppo/CartPole-v1_2"
    for name, agent in agents.items():
        algo, env = name.split()
        played = command(
            enjoy, "--algo", algo, "--env", env, "-f", "agents", "-n", "450", "--no-render", "--json", "scores.json"
        )
        assert played.code == 0
        scores = json.loads(Path("scores.json").read_text())
        assert [agent["mean"], agent["std"], agent["episodes"]] == [
            scores["mean_reward"],
            scores["std_reward"],
            scores["n_eval_episodes"],
        ]
        with (Path("out") / f"{algo}-{env}" / "0.monitor.csv").open() as stream:
            logged = [float(row[0]) for row in list(csv.reader(stream))[2:]]
        assert logged == pytest.approx(scores["returns"], abs=1e-5)
    pendulum = agents["a2c Pendulum-v1"]
    assert pendulum["difference"] == pendulum["mean"] - -162.9
    error = (pendulum["std"] ** 2 / (pendulum["episodes"] - 1) + 103.2**2 / 749) ** 0.5
    assert pendulum["difference_in_standard_errors"] == pytest.approx(pendulum["difference"] / error)
    table = Path("out/benchmark.md").read_text()
    assert f"| a2c       | Pendulum-v1 | {pendulum['mean']:.3f} |" in table
    with Path("out/benchmark.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["mean"]) for row in rows] == [agent["mean"] for agent in agents.values()]


def test_what_is_the_same_is_not_played_again(command: Command, ppo_run: Run, tmp_path: Path) -> None:
    folder = _as_agent(ppo_run, tmp_path / "agents", "CartPole-v1")
    flags = ["--log-dir", "agents", "--benchmark-dir", "out", "--n-episodes", "2", "--verbose", "0"]
    file = Path("out/ppo-CartPole-v1/result.json")

    def play(*more: str) -> bool:
        """Whether it was played."""
        before = file.stat().st_mtime_ns if file.exists() else None
        result = command(benchmark, *flags, *more)
        assert (result.code, result.out, result.err) == (0, "", "")
        return file.stat().st_mtime_ns != before

    assert play()
    assert not play()
    assert not play("--jobs", "1", "--timeout", "100")
    assert play("--seed", "1")
    assert play("--seed", "1", "-n", "1000")
    config = folder / "CartPole-v1" / "config.yml"
    config.write_text(config.read_text() + "\n")
    assert play("--seed", "1", "-n", "1000")
    file.write_text("{")
    assert play("--seed", "1", "-n", "1000")


def test_a_broken_agent_is_listed_with_its_reason(command: Command, faultless: Run, tmp_path: Path) -> None:
    agents = tmp_path / "agents"
    for name in (*FAULTS, "ToyFaulty-v0", "ToyNothing-v0"):
        _as_agent(faultless, agents, f"toy_faults:{name}")
    (_as_agent(faultless, agents, "toy_faults:ToyOddSpace-v0") / "ToyOddSpace-v0.zip").write_bytes(b"PK\3\4 nothing")
    (_as_agent(faultless, agents, "toy_faults:ToyNoModel-v0") / "ToyNoModel-v0.zip").unlink()
    shutil.copytree(agents / "ppo" / "ToyFaulty-v0_1", agents / "pppo" / "ToyFaulty-v0_1")
    flags = ("--log-dir", "agents", "--benchmark-dir", "out", "--n-episodes", "3", "--gym-packages", "toy_faults")
    result = command(benchmark, *flags, "--jobs", "4")
    assert result.code == 1
    assert "Traceback" not in result.err
    assert "[10/10]" in result.out
    assert "'pppo' is none. Did you mean 'ppo'?" in result.out
    assert "1 of 10 agents played, 9 failed" in result.out
    reasons = {name: agent["reason"] for name, agent in _agents("out").items()}
    for name, reason in FAULTS.items():
        assert reason in reasons[f"ppo toy_faults:{name}"]
    assert "There is no environment" in reasons["ppo toy_faults:ToyNothing-v0"]
    assert "zip" in reasons["ppo toy_faults:ToyOddSpace-v0"]
    assert "There is no final model" in reasons["ppo toy_faults:ToyNoModel-v0"]
    assert "lies in no algorithm's folder" in reasons["pppo toy_faults:ToyFaulty-v0"]
    good = _agents("out")["ppo toy_faults:ToyFaulty-v0"]
    assert (good["mean"], good["std"], good["episodes"], good["steps"]) == (10.0, 0.0, 3, 30)
    assert "## Without a score" in Path("out/benchmark.md").read_text()
    assert "RuntimeError: the toy broke" in (Path("out/ppo-ToyError-v0/log.txt")).read_text()


def _starts(log_dir: Path, out: Path) -> subprocess.Popen[str]:
    arguments = ["--log-dir", str(log_dir), "--benchmark-dir", str(out), "--n-episodes", "3", "--jobs", "1"]
    return start_module("rl_experiments.benchmark", *arguments, "--gym-packages", "toy_faults", cwd=out.parent)


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_benchmark_that_was_stopped_goes_on(faultless: Run, tmp_path: Path, number: signal.Signals) -> None:
    for name in ("ToyFaulty-v0", "ToyPause-v0"):
        _as_agent(faultless, tmp_path / "agents", f"toy_faults:{name}")
    out = tmp_path / "out"
    process = _starts(tmp_path / "agents", out)
    _wait_for((out / "ppo-ToyFaulty-v0" / "result.json").exists)
    _wait_for((out / ".playing-ppo-ToyPause-v0").exists)
    _wait_for(lambda: _children(process.pid))
    children = {child: start_of(child) for child in _children(process.pid)}
    process.send_signal(number)
    shown, errors = process.communicate(timeout=30)
    time.sleep(0.2)
    assert children
    assert not any(still_runs(child, start) for child, start in children.items())
    assert process.returncode == (128 + number if number == signal.SIGTERM else -number)
    if number == signal.SIGTERM:
        assert "1 of 2 agents played" in shown
        assert f"To go on: python -m rl_experiments.benchmark --log-dir {tmp_path}/agents" in errors
    statuses = [agent["status"] for agent in _agents(out).values()]
    assert statuses == ["played", "not played"]
    before = (out / "ppo-ToyFaulty-v0" / "result.json").stat().st_mtime_ns
    result = benchmark_agents(
        tmp_path / "agents", benchmark_dir=str(out), n_episodes=3, gym_packages=("toy_faults",), timeout=1.0
    )
    assert [agent.status for agent in result.agents] == ["played", "failed"]
    assert result.agents[1].reason in ("nothing happened for 1 seconds", "it was not done after 1 seconds")
    assert (out / "ppo-ToyFaulty-v0" / "result.json").stat().st_mtime_ns == before
    assert not list(out.glob(".playing-*"))


def test_what_cannot_work_is_said_at_once(command: Command, ppo_run: Run, tmp_path: Path) -> None:
    _as_agent(ppo_run, tmp_path / "agents", "CartPole-v1")
    (tmp_path / "empty").mkdir()
    (tmp_path / "no_table.md").write_text("nothing\n")
    command(benchmark, "--log-dir", "agent").assert_refused("There is no log folder agent", "'agents'")
    command(benchmark, "--log-dir", "empty").assert_refused("There is no agent in empty", "<algo>/<env>_<n>")
    command(benchmark, "--log-dir", "agents/ppo").assert_refused("--log-dir", str(tmp_path / "agents"))
    command(benchmark, "--log-dir", "agents", "--published", "no_table.md").assert_refused("no published score")
    command(benchmark, "--log-dir", "agents", "--benchmark-dir", "no_table.md").assert_refused("no_table.md")
    for flag, value in (("-n", "0"), ("--n-episodes", "0"), ("--jobs", "0"), ("--timeout", "0"), ("--seed", "-1")):
        command(benchmark, "--log-dir", "agents", flag, value).assert_refused(value)


def test_rows_that_were_not_read_are_told(command: Command, ppo_run: Run, tmp_path: Path) -> None:
    _as_agent(ppo_run, tmp_path / "agents", "CartPole-v1")
    (tmp_path / "table.csv").write_text("algo;env_id;mean\nppo;CartPole-v1;31,8\na2c;CartPole-v1;high\n")
    flags = ("--log-dir", "agents", "--benchmark-dir", "out", "--n-episodes", "1", "--published", "table.csv")
    result = command(benchmark, *flags)
    assert "1 of the rows of table.csv could not be read" in result.out + result.err
    assert ", published 31.80" in result.out + result.err


@pytest.mark.slow
def test_several_environments_count_as_in_the_zoo(command: Command, ppo_run: Run, tmp_path: Path) -> None:
    _as_agent(ppo_run, tmp_path / "agents", "CartPole-v1")
    flags = ("--log-dir", "agents", "--benchmark-dir", "out", "-n", "60", "--n-envs", "2", "--test-mode", "--no-hub")
    assert command(benchmark, *flags, "--with-mujoco").code == 0
    [agent] = _agents("out").values()
    assert agent["n_envs"] == 2
    assert {path.name for path in Path("out/ppo-CartPole-v1").glob("*.csv")} == {"0.monitor.csv", "1.monitor.csv"}
