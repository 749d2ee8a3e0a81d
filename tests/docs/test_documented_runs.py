"""What the manual shows does run: trainings with a tiny budget, uploads against a Hub on this machine."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rl_experiments.algorithms.registry import get_algorithm
from tests.conftest import ROOT
from tests.helpers.commands import CommandResult, run_module
from tests.helpers.documented import Shown, put_files_of, shown_commands
from tests.helpers.hub_server import HubServer
from tests.helpers.made_runs import made_grid, made_run
from tests.helpers.resuming import as_killed_after
from tests.helpers.tiny import TINY, tiny_experiment

ME = "YOUR_HF_USERNAME"
_TAKES_LONG = {"train", "grid"}
_CORRIDOR = "docs/guides/custom_environments.md"
_PLAYERS = {"enjoy", "record_video", "record_training", "push_to_hub", "reproduce"}
_READERS = {"report", "plot", "benchmark", "list", "list_runs"}
_OTHERS = {
    "brax_ppo": "compiles for minutes; its own tests train it",
    "postgresql": "needs a database; tests/tuning/test_postgres.py has one",
    "Ant-v3": "needs an agent of earlier; tests/runs/test_old_agents.py has some",
    "FetchReach-v1": "needs an agent of earlier; tests/runs/test_old_agents.py has some",
    "LunarLander-v2": "needs an agent of earlier; tests/runs/test_old_agents.py has some",
}
_OWN = ("CartPole-v1", "Corridor-v0")
_FILES = {
    "my_ppo.yml": "".join(
        f"{env}:\n  n_timesteps: 64\n  policy: MlpPolicy\n  n_steps: 32\n  batch_size: 32\n" for env in _OWN
    ),
    "my_zoo_file.yml": "CartPole-v1:\n  n_timesteps: 64\n  policy: 'MlpPolicy'\n  n_steps: 32\n  batch_size: 32\n",
    "my_grid.yml": "algos: [ppo]\nenvs: [CartPole-v1]\nseeds: 1\n",
    "benchmark.md": "|algo|env_id|mean_reward|std_reward|\n|---|---|---|---|\n|ppo|CartPole-v1|500.0|0.0|\n",
}


def _runs_here() -> list[object]:
    found = []
    for shown in shown_commands():
        reasons = [pytest.mark.skip(reason=reason) for part, reason in _OTHERS.items() if part in str(shown)]
        if "ray" in shown.words and importlib.util.find_spec("ray") is None:
            reasons = [pytest.mark.skip(reason="ray is not installed")]
        found.append(pytest.param(shown, id=str(shown), marks=reasons))
    return found


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hub on which the reader of the manual has an account."""
    with HubServer() as server:
        server.add_user(ME, token="hf_me")
        server.add_organization("sb3", members={ME})
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("shown", _runs_here())
def test_a_command_that_is_shown_runs(shown: Shown, tmp_path: Path, hub: HubServer) -> None:
    shown = _here(shown)
    scene = Scene(tmp_path, hub)
    scene.prepare(shown)
    result = scene.run(shown.command, *shown.words, *_small(shown))
    # A grid or a benchmark says with 1 that some failed, and 'reproduce' that the outcome is another one.
    assert result.code == 0, f"{shown}\n{result.out[-2000:]}\n{result.err[-2000:]}"
    if shown.command == "push_to_hub" and "--no-upload" not in shown.words:
        (repository,) = [repo for _, repo in hub.storage.repositories]
        assert "README.md" in hub.repo(repository).files()


class Scene:
    """
    A folder with what a command needs, trained for an instant.

    :param folder: in which commands run
    :param hub: with which they talk
    """

    def __init__(self, folder: Path, hub: HubServer) -> None:
        self.folder = folder
        self._variables = hub.environment(folder / "home", "hf_me") | {"WANDB_MODE": "offline"}
        shutil.copytree(ROOT / "hyperparams", folder / "hyperparams")
        put_files_of(_CORRIDOR, folder)
        for name, content in _FILES.items():
            (folder / name).write_text(content)

    def run(self, command: str, *words: str) -> CommandResult:
        """Run a command in a process of its own."""
        return run_module("rl_experiments", command, *words, cwd=self.folder, timeout=900, **self._variables)

    def prepare(self, shown: Shown) -> None:
        """Train, tune, or publish what a command reads."""
        if shown.command in _READERS:
            self._fill(shown)
        elif "--resume" in shown.words:
            algo, env, folder = self._chosen(shown)
            whole = tiny_experiment(algo, env, self.folder / "whole", save_freq=100, n_timesteps=400).run().run
            as_killed_after(whole, 0, self.folder / folder)
        elif shown.command in _PLAYERS:
            self._train(*self._chosen(shown))
        elif shown.command == "load_from_hub":
            self._publish(shown)
        elif "--export" in shown.words or "--from-study" in shown.words:
            words = ("--algo", "ppo", "--env", "CartPole-v1", "-f", "logs/")
            self._must("tune", *words, *_small(Shown("tune", words, "")))
        if any(word.startswith("logs/ppo/CartPole-v1_1/") for word in shown.words):
            self._train("ppo", "CartPole-v1", "logs")
        if "--upload-only" in shown.words:
            words = tuple(word for word in shown.words if word != "--upload-only")
            self._must("push_to_hub", *words, "--no-upload", *_small(shown))

    def _chosen(self, shown: Shown) -> tuple[str, str, str]:
        if shown.command == "reproduce":
            folder, algo, name = shown.words[0].split("/")
            return algo, name.rpartition("_")[0], folder
        folder = shown.value("-f", "--folder", "--log-folder") or "logs"
        return shown.value("--algo") or "ppo", shown.value("--env") or "CartPole-v1", folder

    def _train(self, algo: str, env: str, folder: str) -> None:
        if env == "Corridor-v0":
            words = ("--algo", algo, "--env", env, "--gym-packages", "my_package", "-f", folder)
            self._must("train", *words, *_small(Shown("train", words, "")))
        elif algo in TINY:
            tiny_experiment(algo, env, self.folder / folder, eval_freq=100, save_freq=100).run()
        else:
            self._must("train", "--algo", algo, "--env", env, "-f", folder, "-n", "2000")

    def _fill(self, shown: Shown) -> None:
        """Runs to read: made ones where none is played."""
        named = shown.value("-f", "--folder", "--log-dir", "--log-folder")
        if shown.command == "benchmark":
            self._train("ppo", "CartPole-v1", named or "logs")
            return
        given = [word for word in shown.words if word.endswith("/")] if shown.command == "report" else []
        algos, envs = ["ppo", "a2c"], ["CartPole-v1", "PongNoFrameskip-v4"]
        if shown.command == "plot":
            algos = list(dict.fromkeys([*algos, shown.value("-a") or "ppo"]))
            envs = list(dict.fromkeys([*envs, *[env for env in [shown.value("-e")] if env and "-v" in env]]))
        for folder in [named] if named else given or ["logs"]:
            made_grid(self.folder / folder, algos, envs, n_seeds=3)
        if shown.words[0] == "train":
            made_run(self.folder / "logs", "ppo", "CartPole-v1", 9, range(10), episodes=120, steps=12_000)
        if shown.words[0] == "compare":
            words = ("-a", "ppo", "a2c", "-e", "CartPole", "-f", "logs/", "-o", "results", "--save", "plots/")
            self._must("plot", "evaluations", *words)

    def _publish(self, shown: Shown) -> None:
        algo, env = shown.value("--algo"), shown.value("--env")
        if algo is None or env is None:
            algo, _, env = shown.words[0].partition("/")[2].partition("-")
        words = ("--algo", algo, "--env", env, "-f", "mine", "-orga", shown.value("-orga") or "sb3")
        self._train(algo, env, "mine")
        self._must("push_to_hub", *words, "--no-render", "--n-eval-episodes", "1", "-n", "8")

    def _must(self, *words: str) -> None:
        result = self.run(*words)
        assert result.code == 0, f"{words}\n{result.err[-2000:]}"


def _here(shown: Shown) -> Shown:
    """The same with folders that exist."""
    return Shown(shown.command, tuple(word.replace("/shared/", "shared/") for word in shown.words), shown.where)


def _small(shown: Shown) -> tuple[str, ...]:
    """What makes a command short; the last of two equal flags wins."""
    if "--dry-run" in shown.words or "--resume" in shown.words:
        return ()
    if shown.command in _TAKES_LONG and shown.value("--algo", "--algos") == "q_learning":
        return ("-n", "2000", *(("--seeds", "1") if shown.command == "grid" else ()))
    if shown.command == "train":
        return ("-n", "64", "--eval-freq", "-1", "--num-threads", "1", *_buffers(shown))
    if shown.command == "grid":
        return ("-n", "64", "--seeds", "1", "--eval-freq", "64", "--jobs", "2", *_buffers(shown))
    if shown.command == "tune" and "--export" not in shown.words:
        few = ("--n-trials", "1", "--n-jobs", "1", "--confirm", "1", "--confirm-seeds", "1", "--n-evaluations", "1")
        return ("-n", "64", *few)
    return {
        "enjoy": ("--n-timesteps", "20", "--n-episodes", "1", "--n-envs", "1"),
        "record_video": ("-n", "8"),
        "record_training": ("-n", "8"),
        "push_to_hub": ("-n", "8", "--n-eval-episodes", "1"),
        "benchmark": ("-n", "20", "--jobs", "1", "--n-episodes", "1"),
    }.get(shown.command, ())


def _buffers(shown: Shown) -> tuple[str, ...]:
    """Small ones, for algorithms that learn from one."""
    algos = [name for name in (shown.value("--algo", "--algos") or "ppo").split(",") if name]
    if not all(get_algorithm(name).off_policy for name in algos):
        return ()
    return ("-params", "buffer_size:1000", "learning_starts:60", "batch_size:16")
