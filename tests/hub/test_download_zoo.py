"""The zoo gets our agents, we get the zoo's, and SB3 loads both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rl_experiments import Run, enjoy, load_agent, load_from_hub, push_to_hub
from tests.helpers.commands import CommandResult, run_module, run_python
from tests.helpers.hub_repositories import add_repository, course_files, zoo_files
from tests.helpers.hub_server import HubServer

pytest.importorskip("requests", reason="the zoo's load_from_hub imports requests")
Command = Callable[..., CommandResult]
FLAGS = ("--algo", "a2c", "--env", "Pendulum-v1", "-f", "logs")


@pytest.fixture
def published(
    hub: HubServer, normalized_run: Run, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[str, str]:
    """What a child process needs to talk to a Hub on which the club has a normalised agent."""
    environment = hub.environment(tmp_path / "home", "hf_ann")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    flags = (*FLAGS[:4], "-f", str(normalized_run.path.parent.parent), "-orga", "club", "--no-render")
    assert command(push_to_hub, *flags, "--n-eval-episodes", "1", "--verbose", "0").code == 0
    return environment


def test_the_zoo_loads_and_plays_what_we_published(
    published: dict[str, str], normalized_run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "zoo"
    folder.mkdir()
    loaded = run_module("rl_zoo3.load_from_hub", *FLAGS, "-orga", "club", cwd=folder, **published)
    assert loaded.code == 0, loaded.err
    run = Run(folder / "logs/a2c/Pendulum-v1_1", "a2c", "Pendulum-v1")
    assert run.final_model.read_bytes() == normalized_run.final_model.read_bytes()
    assert run.final_statistics.read_bytes() == normalized_run.final_statistics.read_bytes()
    assert run.evaluations_file.read_bytes() == normalized_run.evaluations_file.read_bytes()
    played = run_module("rl_zoo3.enjoy", *FLAGS, "--no-render", "-n", "210", cwd=folder, **published)
    assert played.code == 0, played.err
    assert "Episode Reward" in played.out


def test_sb3_loads_what_we_published(published: dict[str, str], normalized_run: Run, tmp_path: Path) -> None:
    script = """
import numpy as np
from huggingface_sb3 import load_from_hub
from stable_baselines3 import A2C
model = A2C.load(load_from_hub("club/a2c-Pendulum-v1", "a2c-Pendulum-v1.zip"))
print(model.predict(np.zeros((1, 3), np.float32), deterministic=True)[0].item())
"""
    done = run_python("-c", script, cwd=tmp_path, **published)
    assert done.code == 0, done.err
    acted = load_agent(normalized_run).predict(np.zeros((1, 3), np.float32), deterministic=True)[0].item()
    assert float(done.out.splitlines()[-1]) == pytest.approx(acted)


ZOO: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "plain": ("ppo", "CartPole-v1", ("n_steps:32", "n_envs:2", "batch_size:16")),
    "normalised": ("td3", "Pendulum-v1", ("normalize:True", "learning_starts:50", "train_freq:4")),
}


@pytest.mark.parametrize(
    ("name", "by_flags"),
    [
        pytest.param("plain", True, id="plain-by-flags", marks=pytest.mark.slow),
        pytest.param("normalised", True, id="normalised-by-flags"),
        pytest.param("plain", False, id="plain-by-name"),
        pytest.param("normalised", False, id="normalised-by-name", marks=pytest.mark.slow),
    ],
)
def test_what_the_zoo_pushed_comes_back(
    by_flags: bool, name: str, hub: HubServer, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    algo, env, hyperparams = ZOO[name]
    flags = ("--algo", algo, "--env", env)
    limits = ("-n", "300", "--eval-freq", "100", "--eval-episodes", "1", "--seed", "1", "--verbose", "0")
    trained = run_module("rl_zoo3.train", *flags, *limits, "-f", "zoo", "-params", *hyperparams, cwd=tmp_path)
    assert trained.code == 0, trained.err
    original = Run(tmp_path / "zoo" / algo / f"{env}_1", algo, env)
    add_repository(hub, f"sb3/{algo}-{env}", zoo_files(original.path, algo, env))
    for variable, value in hub.environment(tmp_path / "home", "hf_ann").items():
        monkeypatch.setenv(variable, value)
    loaded = command(load_from_hub, *(flags if by_flags else (f"sb3/{algo}-{env}",)), "-f", "logs")
    assert loaded.code == 0, loaded.err
    run = Run(tmp_path / "logs" / algo / f"{env}_1", algo, env)
    assert run.final_model.read_bytes() == original.final_model.read_bytes()
    assert run.evaluations_file.read_bytes() == original.evaluations_file.read_bytes()
    assert len(run.monitor_files()) == len(original.monitor_files()) > 0
    for file in ("args.yml", "config.yml"):
        assert (run.config_folder / file).read_bytes() == (original.config_folder / file).read_bytes()
    assert run.final_statistics.is_file() == (name == "normalised")
    played = command(enjoy, *flags, "-f", "logs", "--no-render", "-n", "20")
    assert played.code == 0, played.err
    by_the_zoo = run_module("rl_zoo3.enjoy", *flags, "-f", "logs", "--no-render", "-n", "20", cwd=tmp_path)
    assert by_the_zoo.code == 0, by_the_zoo.err


def test_the_zoo_plays_an_atari_agent_that_came_without_a_configuration(
    hub: HubServer, atari_run: Run, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env = "PongNoFrameskip-v4"
    add_repository(hub, "ann/pong", course_files(atari_run.final_model, f"dqn-{env}", env, "DQN"))
    for variable, value in hub.environment(tmp_path / "home", "hf_ann").items():
        monkeypatch.setenv(variable, value)
    loaded = command(load_from_hub, "ann/pong", "-f", "logs")
    assert loaded.code == 0, loaded.err
    flags = ("--algo", "dqn", "--env", env, "-f", "logs", "--no-render", "-n", "20")
    played = run_module("rl_zoo3.enjoy", *flags, cwd=tmp_path)
    assert played.code == 0, played.err
    assert "Stacking 4 frames" in played.out


PACKAGE = """
import gymnasium, sys
from huggingface_sb3 import package_to_hub
from stable_baselines3 import A2C
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize
env = VecNormalize(make_vec_env("Pendulum-v1", 1, env_kwargs={"render_mode": "rgb_array"}))
model = A2C.load(sys.argv[1])
package_to_hub(model=model, model_name="my-agent", model_architecture="A2C", env_id="Pendulum-v1", eval_env=env,
               repo_id="ann/unit6", commit_message="x", n_eval_episodes=1, video_length=2)
"""


def test_what_the_course_s_own_function_pushes_comes_back(
    hub: HubServer, normalized_run: Run, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = hub.environment(tmp_path / "home", "hf_ann", xet=False)
    pushed = run_python("-c", PACKAGE, str(normalized_run.final_model), cwd=tmp_path, **environment)
    assert pushed.code == 0, pushed.err
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    loaded = command(load_from_hub, "ann/unit6", "-f", "logs")
    assert loaded.code == 0, loaded.err
    assert "wrote one with normalize: True" in loaded.out
    played = run_module("rl_zoo3.enjoy", *FLAGS, "--no-render", "-n", "20", cwd=tmp_path)
    assert played.code == 0, played.err
    agent = load_agent("logs/a2c/Pendulum-v1_1")
    assert agent.recipe.statistics is not None
    action, _ = agent.predict(np.zeros((1, 3), np.float32), deterministic=True)
    expected, _ = load_agent(normalized_run).predict(np.zeros((1, 3), np.float32), deterministic=True)
    np.testing.assert_array_equal(action, expected)
