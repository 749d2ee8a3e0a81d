"""A training that was killed or stopped goes on as if nothing had happened."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from rl_experiments import Run, train
from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.runs import checkpoints, open_run
from rl_experiments.runs.lock import holding
from rl_experiments.training.resuming import resume_run
from tests.helpers.commands import CommandResult, start_module
from tests.helpers.resuming import as_killed_after, complete_outcome, differences, outcome, times_that_shrink
from tests.helpers.tiny import tiny_experiment

PENDULUM = "Pendulum-v1"
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a2c": ("a2c", PENDULUM, {"normalize": True, "use_sde": True}),
    "ars": ("ars", "CartPole-v1", {}),
    "ddpg": ("ddpg", PENDULUM, {"noise_type": "ornstein-uhlenbeck", "noise_std": 0.1}),
    "dqn": ("dqn", "CartPole-v1", {"buffer_size": 90, "optimize_memory_usage": False}),
    "ppo": ("ppo", "CartPole-v1", {"learning_rate": "lin_1e-3", "clip_range": "lin_0.2"}),
    "ppo_lstm": ("ppo_lstm", PENDULUM, {"normalize": True}),
    "sac": ("sac", PENDULUM, {"n_envs": 2, "use_sde": True, "normalize": True}),
    "frames": ("dqn", "CartPole-v1", {"frame_stack": 3, "n_steps": 3}),
    "her": ("sac", "toy_envs:ToyGoal-v0", {"policy": "MultiInputPolicy", "replay_buffer_class": "HerReplayBuffer"}),
    "history": ("a2c", PENDULUM, {"env_wrapper": ["rl_experiments.envs.wrappers.HistoryWrapper"]}),
    "dictionary": ("dqn", "toy_envs:ToyDictionary-v0", {"policy": "MultiInputPolicy"}),
}
SLOW: dict[str, tuple[str, str, dict[str, Any]]] = {
    "crossq": ("crossq", PENDULUM, {}),
    "qrdqn": ("qrdqn", "CartPole-v1", {"normalize": True}),
    "td3": ("td3", PENDULUM, {"noise_type": "normal", "noise_std": 0.1, "n_envs": 2}),
    "tqc": ("tqc", PENDULUM, {"normalize": True}),
    "trpo": ("trpo", "CartPole-v1", {}),
    "ppo_mask": ("ppo_mask", "toy_envs:ToyMasked-v0", {}),
    "episodes": ("sac", PENDULUM, {"train_freq": [1, "episode"], "gradient_steps": -1}),
    "optimized": ("dqn", "CartPole-v1", {"optimize_memory_usage": True, "buffer_size": 90}),
    "infos": (
        "sac",
        "toy_envs:ToyGoal-v0",
        {
            "policy": "MultiInputPolicy",
            "replay_buffer_class": "HerReplayBuffer",
            "replay_buffer_kwargs": "dict(copy_info_dict=True)",
            "buffer_size": 150,
        },
    ),
    "box2d": ("ppo", "LunarLander-v3", {}),
    "box2d-her": ("dqn", "LunarLander-v3", {"optimize_memory_usage": True, "buffer_size": 90}),
    "mujoco": ("ppo", "Hopper-v5", {"normalize": True}),
    "mujoco-off": ("td3", "Ant-v5", {"normalize": True}),
    "atari": ("dqn", "PongNoFrameskip-v4", {"learning_starts": 40, "buffer_size": 100, "batch_size": 4}),
    "atari-sticky": ("a2c", "ALE/Breakout-v5", {}),
    "atari-on": ("a2c", "BreakoutNoFrameskip-v4", {}),
}


def _experiment(name: str, folder: Path, **settings: Any) -> Any:
    algo, env, hyperparams = {**CASES, **SLOW}[name]
    if name.startswith("optimized") or hyperparams.get("optimize_memory_usage"):
        hyperparams = {**hyperparams, "replay_buffer_kwargs": "dict(handle_timeout_termination=False)"}
    defaults: dict[str, Any] = {"n_timesteps": 400, "eval_freq": 110, "eval_episodes": 1, "save_freq": 100}
    if name == "ars":
        defaults |= {"n_timesteps": 600}
    return tiny_experiment(algo, env, folder, hyperparams, **{**defaults, **settings})


def _check_equal(name: str, tmp_path: Path, **settings: Any) -> None:
    whole = _experiment(name, tmp_path / "whole", **settings).run().run
    killed = as_killed_after(whole, 0, tmp_path / "killed")
    resume_run(killed.path)
    assert differences(complete_outcome(whole), complete_outcome(killed)) == []
    assert times_that_shrink(killed) == []
    assert json.loads((killed.path / "run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_training_ends_as_one_that_was_never_stopped(name: str, tmp_path: Path) -> None:
    _check_equal(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_resumed_training_ends_as_one_that_was_never_stopped_elsewhere(name: str, tmp_path: Path) -> None:
    _check_equal(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "sac", "mujoco", "atari-on"])
def test_environments_in_processes_of_their_own(name: str, tmp_path: Path) -> None:
    _check_equal(name, tmp_path, vec_env="subproc")


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return start_module("rl_experiments.train", "--num-threads", "1", "--verbose", "0", *arguments, cwd=folder)


def _wait_for(folder: Path, pattern: str, process: subprocess.Popen[str]) -> Path:
    deadline = time.monotonic() + 60
    while not (found := sorted(folder.glob(f"logs/*/*/{pattern}"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return next(parent for parent in found[0].parents if parent.name.endswith("_1"))


def _undisturbed(command: Any, folder: Path, *arguments: str) -> Run:
    result = command(train, "--num-threads", "1", "--verbose", "0", "-f", str(folder), *arguments)
    assert result.code == 0, result.err
    return open_run(next(folder.glob("*/*")))


DQN = ("--algo", "dqn", "--env", "CartPole-v1", "--seed", "3", "--eval-freq", "700", "--eval-episodes", "2")
DQN_SMALL = (
    *("-params", "policy_kwargs:dict(net_arch=[8])", "learning_starts:100", "buffer_size:800", "batch_size:8"),
    *("train_freq:4", "gradient_steps:1"),
)


@pytest.mark.parametrize("delay", [0.0, 0.03, pytest.param(0.17, marks=pytest.mark.slow)])
def test_killed_at_any_moment(delay: float, command: Any, tmp_path: Path) -> None:
    given = (*DQN, "-n", "3000", "--save-freq", "400", *DQN_SMALL)
    process = _start(tmp_path, *given)
    path = _wait_for(tmp_path, "checkpoints/[0-9]*", process)
    time.sleep(delay)
    process.kill()
    process.communicate()
    resume_run(path)
    assert differences(outcome(_undisturbed(command, tmp_path / "whole", *given)), outcome(open_run(path))) == []


PPO = ("--env", "CartPole-v1", "--seed", "3", "--eval-freq", "700", "--eval-episodes", "2")
PPO_SMALL = ("-params", "policy_kwargs:dict(net_arch=[8])", "n_envs:1", "n_steps:128", "batch_size:64", "n_epochs:2")


@pytest.mark.parametrize(
    "arguments",
    [(*DQN, "-n", "3000", "--save-freq", "400", *DQN_SMALL), (*PPO, "-n", "9000", "--save-freq", "500", *PPO_SMALL)],
    ids=["soon", "within a long rollout"],
)
def test_a_signal_leaves_a_checkpoint_and_the_command_that_goes_on(
    arguments: tuple[str, ...], command: Any, tmp_path: Path
) -> None:
    process = _start(tmp_path, *arguments)
    path = _wait_for(tmp_path, "checkpoints/[0-9]*", process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143, out + err
    record = json.loads((path / "run.json").read_text())
    latest = checkpoints.read(checkpoints.checkpoints_of(open_run(path))[-1])
    assert record["status"] == "interrupted"
    assert 0 <= record["steps"] - latest.steps <= (4 if "dqn" in arguments else 1000)
    resumed_with = f"python -m rl_experiments.train --resume logs/{path.parent.name}/{path.name}"
    assert out == f"It goes on at {latest.steps} steps with: {resumed_with}\n"
    resume_run(path)
    whole = _undisturbed(command, tmp_path / "whole", *arguments)
    assert differences(outcome(whole), outcome(open_run(path))) == []


def test_a_signal_before_the_first_checkpoint_says_that_it_begins_again(tmp_path: Path) -> None:
    process = _start(tmp_path, "--env", "toy_envs:ToySlow-v0", "-n", "100000")
    _wait_for(tmp_path, "run.json", process)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert out.startswith("It has no checkpoint yet, and begins again with: python -m rl_experiments.train --resume")


def test_a_run_that_went_on_from_a_model_goes_on(ppo: Run, tmp_path: Path) -> None:
    whole = _experiment("ppo", tmp_path / "logs", trained_agent=str(ppo.best_model)).run().run
    killed = as_killed_after(whole, 0, tmp_path / "killed")
    resume_run(killed.path)
    assert differences(outcome(whole), outcome(killed)) == []


def test_callbacks_of_the_users_own_go_on(tmp_path: Path) -> None:
    """The training ends when so many episodes are over."""
    own = [{"stable_baselines3.common.callbacks.StopTrainingOnMaxEpisodes": {"max_episodes": 12}}]
    given = {"hyperparams": {"callback": own, "n_envs": 1}, "n_timesteps": 2000, "eval_freq": -1, "save_freq": 64}
    whole = tiny_experiment("ppo", "CartPole-v1", tmp_path / "logs", **given).run()
    killed = as_killed_after(whole.run, 0, tmp_path / "killed")
    assert resume_run(killed.path).steps == whole.steps < 2000
    assert differences(outcome(whole.run), outcome(killed)) == []


@pytest.mark.parametrize("name", ["ppo", pytest.param("dqn", marks=pytest.mark.slow)])
def test_the_log_goes_on_as_if_nothing_had_happened(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"tensorboard_log": str(tmp_path / "board"), "log_interval": 2, "verbose": 1, "n_timesteps": 500}
    whole = _experiment(name, tmp_path / "logs", **settings).run().run
    (folder,) = (tmp_path / "board").glob("*/*")
    before, counts = _curves(folder), _counts(capsys.readouterr().out)
    resume_run(as_killed_after(whole, 0, tmp_path / "killed").path)
    assert list((tmp_path / "board").glob("*/*")) == [folder]
    assert len(list(folder.iterdir())) > 1
    assert _curves(folder) == before
    resumed = _counts(capsys.readouterr().out)
    assert resumed == counts[len(counts) - len(resumed) :]
    assert resumed or name == "dqn"


def _curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """:return: steps and values as TensorBoard shows them"""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    names = [name for name in events.Tags()["scalars"] if not name.startswith("time/")]
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}


def _counts(out: str) -> list[str]:
    """:return: the iterations and episodes that the terminal shows"""
    return [line.split()[3] for line in out.splitlines() if "iterations" in line or "episodes" in line]


@pytest.fixture(scope="module")
def ppo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished PPO run with the checkpoints at 128, 320 and 384 of 400 steps, or some of these."""
    return _experiment("ppo", tmp_path_factory.mktemp("logs")).run().run


def _resume(command: Any, *arguments: str) -> CommandResult:
    result = command(train, *arguments)
    assert isinstance(result, CommandResult)
    return result


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--algo", "a2c"), ["--algo is 'a2c'", "has 'ppo'", "another experiment"]),
        (("--env", "Acrobot-v1"), ["--env is 'Acrobot-v1'", "CartPole-v1"]),
        (("--seed", "9"), ["--seed is 9", "has 1"]),
        (("--num-threads", "2"), ["--num-threads is 2", "has 1"]),
        (("--vec-env", "subproc"), ["--vec-env is 'subproc'", "'dummy'"]),
        (("--eval-freq", "50"), ["--eval-freq is 50", "110"]),
        (("-params", "gamma:0.5"), ["hyperparams gamma is 0.5"]),
        (("--env-kwargs", "render_mode:rgb_array"), ["env_kwargs render_mode is 'rgb_array'", "None"]),
        (("-n", "300"), ["-n is 300", "400 steps", "only be extended"]),
        (("--dry-run",), ["--dry-run"]),
        (("-optimize",), ["-optimize"]),
        (("--save-every", "-1"), ["save_every", "above 0", "-1"]),
    ],
)
def test_what_would_be_another_experiment_is_refused(
    arguments: tuple[str, ...], parts: list[str], command: Any, ppo: Run, tmp_path: Path
) -> None:
    run = as_killed_after(ppo, 0, tmp_path / "killed")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    _resume(command, *arguments, "--resume", str(run.path)).assert_refused(*parts)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_the_same_again_and_more_steps_are_accepted(command: Any, ppo: Run, tmp_path: Path) -> None:
    run = as_killed_after(ppo, 0, tmp_path / "logs")
    given = ("--algo", "ppo", "--env", "CartPole-v1", "--seed", "1", "-params", "n_steps:32", "-n", "500")
    result = _resume(command, *given, "-f", str(tmp_path / "logs"), "--resume")
    assert result.code == 0, result.err
    record = json.loads((run.path / "run.json").read_text())
    assert (record["status"], record["n_timesteps"], record["steps"]) == ("finished", 500, 512)
    assert open_run(run.path).hyperparameters["n_timesteps"] == 500
    assert [part["steps"] for part in record["resumed"]] == [checkpoints.read(checkpoints.checkpoints_of(ppo)[0]).steps]


def test_without_a_path_the_latest_that_was_stopped_is_meant(command: Any, ppo: Run, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    run = as_killed_after(ppo, 0, logs)
    with holding(run):
        given = ("--algo", "ppo", "--env", "CartPole-v1", "-f", str(logs), "--resume")
        _resume(command, *given).assert_refused("no run of ppo on CartPole-v1", "is being trained")
        _resume(command, "--resume", str(run.path)).assert_refused("is being trained by another process")
    assert _resume(command, *given).code == 0
    _resume(command, *given).assert_refused("no run of ppo on CartPole-v1", "CartPole-v1_1 is finished")
    _resume(command, "--resume", str(run.path)).assert_refused("finished after 400 steps", "larger -n")
    _resume(command, "--algo", "dqn", "-f", str(logs), "--resume").assert_refused("no run of dqn")
    _resume(command, "--resume", str(tmp_path / "nothing")).assert_refused("no run folder")


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "manifest", "no manifest"])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(
    damage: str, command: Any, ppo: Run, tmp_path: Path
) -> None:
    run = as_killed_after(ppo, 1, tmp_path / "killed")
    first, second = checkpoints.checkpoints_of(run)
    file = second / ("manifest.json" if "manifest" in damage else "state.pkl")
    if damage in ("gone", "no manifest"):
        file.unlink()
    elif damage == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    else:
        file.write_bytes(file.read_bytes()[:20])
    result = _resume(command, "--resume", str(run.path), "--verbose", "1")
    assert result.code == 0, result.err
    assert f"The checkpoint {second} is skipped" in result.err
    assert f"at {checkpoints.read(first).steps:,} of 400 steps" in result.out
    assert differences(outcome(ppo), outcome(run)) == []


def test_where_no_checkpoint_is_whole_nothing_is_trained(command: Any, ppo: Run, tmp_path: Path) -> None:
    run = as_killed_after(ppo, 1, tmp_path / "killed")
    for path in checkpoints.checkpoints_of(run):
        (path / "state.pkl").write_bytes(b"")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    _resume(command, "--resume", str(run.path)).assert_refused("No checkpoint of", "can be used")
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_episodes_stay_until_the_checkpoint_is_in_place(ppo: Run, tmp_path: Path, monkeypatch) -> None:
    """A stop in between would leave the later checkpoints without their episodes."""
    run = as_killed_after(ppo, 1, tmp_path / "killed")
    first = checkpoints.checkpoints_of(run)[0]
    size = (run.path / "0.monitor.csv").stat().st_size
    assert size > min(checkpoints.read(first).monitors(run).values())
    with monkeypatch.context() as context:
        context.setattr("rl_experiments.training.checkpoint_files.CheckpointFiles.restore", _fail)
        with pytest.raises(RLExperimentsError):
            resume_run(first)
    assert (run.path / "0.monitor.csv").stat().st_size == size
    resume_run(run.path)
    assert differences(outcome(ppo), outcome(run)) == []


def _fail(*arguments: Any) -> None:
    raise RLExperimentsError("stopped")


def test_what_a_killed_save_left_goes(ppo: Run, tmp_path: Path) -> None:
    run = as_killed_after(ppo, 1, tmp_path / "killed")
    left = run.path / ".CartPole-v1.0123abcd.tmp.zip"
    own = run.path / ".notes.tmp.txt"
    for file in (left, own):
        file.write_bytes(b"half")
    resume_run(run.path)
    assert (left.exists(), own.exists()) == (False, True)


def test_models_of_before_the_stop_count_for_keep_last(ppo: Run, tmp_path: Path) -> None:
    whole = _experiment("ppo", tmp_path / "whole", keep_last=2, save_freq=64).run().run
    run = as_killed_after(whole, 0, tmp_path / "killed")
    resume_run(run.path)
    assert sorted(run.checkpoints()) == sorted(whole.checkpoints())
    assert len(run.checkpoints()) == 2


def test_a_run_that_a_limit_ended_goes_on_with_another(command: Any, tmp_path: Path) -> None:
    run = _experiment("ppo", tmp_path, stop_at_reward=1.0).run().run
    steps = json.loads((run.path / "run.json").read_text())["steps"]
    assert steps < 400
    _resume(command, "--resume", str(run.path)).assert_refused("--stop-at-reward is 1", "Another limit")
    assert _resume(command, "--resume", str(run.path), "--stop-at-reward", "499").code == 0
    assert json.loads((run.path / "run.json").read_text())["steps"] >= 400


def test_a_run_without_a_checkpoint_begins_again(command: Any, ppo: Run, tmp_path: Path) -> None:
    run = as_killed_after(ppo, -1, tmp_path / "killed")
    assert checkpoints.checkpoints_of(run) == []
    result = _resume(command, "--resume", str(run.path), "--verbose", "1")
    assert result.code == 0, result.err
    assert "at 0 of 400 steps (it has no checkpoint yet)" in result.out
    assert differences(outcome(ppo), outcome(run)) == []
    (run.path / "run.json").unlink()
    _resume(command, "--resume", str(run.path)).assert_refused("no run.json")


def test_a_checkpoint_that_cannot_be_written_costs_no_more_than_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The state of a checkpoint is larger than that, the model at the end is not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (32_000, limit[1]))
    try:
        result = _experiment("ppo", tmp_path).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert result.status == "finished"
    assert result.run.final_model.is_file()
    assert list((result.run.path / "checkpoints").iterdir()) == []
    assert "The checkpoint at 128 steps cannot be written: File too large" in capsys.readouterr().err


def test_an_error_leaves_the_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    experiment = tiny_experiment("a2c", "toy_envs:ToyBreaks-v0", tmp_path, n_timesteps=5000, save_freq=10)
    with pytest.raises(RLExperimentsError, match=r"It goes on at \d+ steps with: python -m rl_experiments.train"):
        experiment.run()


def test_what_cannot_be_saved_is_said_at_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_experiment("ppo", "LunarLander-v3", tmp_path, verbose=1).run()
    out = capsys.readouterr().out
    assert "The state of the environment cannot be saved (LunarLander/world" in out
    assert "Note" not in tiny_experiment("ppo", "CartPole-v1", tmp_path, verbose=1).describe()


def test_the_command_of_the_start_may_be_said_again(command: Any, tmp_path: Path) -> None:
    given = (
        *("--algo", "a2c", "--env", "FrozenLake-v1", "-n", "400", "-f", str(tmp_path / "logs"), "--save-freq", "100"),
        *("--seed", "2", "--num-threads", "auto", "--eval-freq", "100", "--env-kwargs", "is_slippery:False"),
        *("-params", "policy_kwargs:dict(net_arch=[8], activation_fn=nn.ReLU)", "learning_rate:lin_1e-3", "n_envs:2"),
    )
    assert command(train, *given).code == 0
    whole = open_run(tmp_path / "logs" / "a2c" / "FrozenLake-v1_1")
    killed = as_killed_after(whole, 0, tmp_path / "killed")
    result = command(train, *given, "-f", str(tmp_path / "killed"), "--resume")
    assert result.code == 0, result.err
    assert differences(outcome(whole), outcome(killed)) == []
