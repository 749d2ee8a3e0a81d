"""Brax's PPO: what it leaves, what is loaded again, and what goes on after a kill."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rl_experiments.train
from rl_experiments.core.accelerated import is_jax_running
from rl_experiments.recording.replays import read_replays
from rl_experiments.runs import Run, checkpoints
from tests.helpers.browser import Page, find_browser
from tests.helpers.commands import CommandResult, run_module, run_python, unmeasured
from tests.helpers.hub_server import HubServer

pytestmark = pytest.mark.skipif(importlib.util.find_spec("brax") is None, reason="Brax is not installed")
COMPILED = {"JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir()) / "rl_experiments_compiled")}
"""Shared by all tests and test runs on a machine, which compile for half a minute otherwise."""
SIZES = (
    *("n_envs:8", "batch_size:8", "num_minibatches:2", "unroll_length:5", "num_updates_per_batch:1"),
    *("policy_hidden_layer_sizes:[8]", "value_hidden_layer_sizes:[8]", "episode_length:200"),
)
TINY = ("--algo", "brax_ppo", "--env", "inverted_pendulum", "--seed", "1", "-f", "logs", "-params", *SIZES)
UPDATE = 80


def train(folder: Path, *arguments: str) -> CommandResult:
    return run_module("rl_experiments.train", *TINY, *arguments, cwd=folder, timeout=280, **COMPILED)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, CommandResult]:
    """Six updates, with evaluations after each second one."""
    folder = tmp_path_factory.mktemp("brax")
    result = train(folder, "-n", str(6 * UPDATE), "--eval-freq", str(2 * UPDATE), "--eval-episodes", "2")
    assert result.code == 0, result.err
    return Run(folder / "logs" / "brax_ppo" / "inverted_pendulum_1", "brax_ppo", "inverted_pendulum"), result


@pytest.fixture(scope="module")
def checked(
    trained: tuple[Run, CommandResult], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """What :mod:`tests.helpers.brax_checks` found, and where it left replays."""
    folder = tmp_path_factory.mktemp("replays")
    run = trained[0].path
    done = run_python("-m", "tests.helpers.brax_checks", str(run), str(folder), cwd=Path.cwd(), timeout=280, **COMPILED)
    assert done.code == 0, done.err
    return json.loads(done.out.splitlines()[-1]), folder


def parameters(run: Run) -> bytes:
    with zipfile.ZipFile(run.final_model) as archive:
        return archive.read("params.msgpack")


def test_each_evaluation_leaves_a_policy_and_the_latest_what_training_goes_on_from(
    trained: tuple[Run, CommandResult],
) -> None:
    run, result = trained
    steps = [0, 2 * UPDATE, 4 * UPDATE, 6 * UPDATE]
    assert list(run.resumable()) == steps
    for path in run.resumable().values():
        there = checkpoints.read(path)
        there.check()
        assert there.facts["time"]
        assert sorted(there.files) == (["model.zip", "state.msgpack"] if there.steps in steps[-2:] else ["model.zip"])
        assert sorted(entry.name for entry in path.iterdir()) == sorted([*there.files, "manifest.json"])
        with zipfile.ZipFile(path / "model.zip") as archive:
            described = json.loads(archive.read("policy.json"))
        assert described["steps"] == there.steps
        assert described["environment"] == {"name": "inverted_pendulum", "kwargs": {"backend": "spring"}}
    with np.load(run.evaluations_file) as content:
        assert content["timesteps"].tolist() == steps
    for what in ("Compiling the update", "Compiled the update in", "of 480 steps", "left"):
        assert what in result.out


def test_restored_policies_reach_what_was_measured_in_training(checked: tuple[dict[str, Any], Path]) -> None:
    returns = checked[0]["returns"]
    assert len(returns) == 4
    for _, measured, restored in returns:
        assert measured == restored
    assert len({tuple(measured) for _, measured, _ in returns}) > 1


def test_parameters_in_the_forms_of_other_recipes_are_put_right(checked: tuple[dict[str, Any], Path]) -> None:
    found = checked[0]["forms"]
    assert len(found["alike"]) == 7
    assert all(found["alike"].values()), found["alike"]
    assert sorted(found["said"]) == ["number", "policy alone", "swapped"]
    assert "a int" in found["said"]["number"]
    assert "Expected what Brax's ppo.train returns: a tuple (normaliser, policy, value)" in found["said"]["number"]
    assert "another policy" in found["said"]["swapped"]


def test_a_replay_has_the_poses_of_the_environment(checked: tuple[dict[str, Any], Path]) -> None:
    replay = checked[0]["replay"]
    assert 10 < replay["steps"] < 200
    assert replay["done"]
    assert replay["same_poses"]
    assert replay["same_rewards"]
    assert replay["size"] < 300_000


@pytest.mark.skipif(find_browser() is None, reason="there is no browser")
def test_a_browser_plays_replays_without_a_network(checked: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    folder, last = checked[1], checked[0]["replay"]["steps"]
    page = Page(str(find_browser()), tmp_path / "profile")
    pixels = (
        "(() => { const c = document.getElementById('main'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; const s = new Set(); let sum = 0;"
        " for (let i = 0; i < d.length; i += 4) { s.add(d[i] * 65536 + d[i+1] * 256 + d[i+2]);"
        " sum = (sum * 31 + d[i]) % 1000000007; } return [s.size, sum]; })()"
    )
    try:
        page.open(folder / "replay.html")
        page.wait(
            f"window.replay.frame >= {last} && !window.replay.playing"
        )  # it begins by itself, and stops at the end
        assert "done" in page.evaluate("document.getElementById('where').textContent")
        colors, ending = page.evaluate(pixels)
        assert colors > 100
        page.evaluate("(() => { const t = document.getElementById('time'); t.value = 5; t.oninput({target: t}); })()")
        assert page.evaluate("window.replay.frame") == 5
        assert page.evaluate(pixels)[1] != ending
        page.evaluate("document.getElementById('play').click()")
        page.wait("window.replay.frame > 6")
        page.evaluate("document.getElementById('play').click()")
        assert not page.evaluate("window.replay.playing")
        assert page.requests == [(folder / "replay.html").resolve().as_uri()]
        page.open(folder / "training.html")
        assert page.evaluate("document.querySelectorAll('#tiles canvas').length") == 4
        assert page.evaluate("document.title") == "The <training>"
        page.evaluate(
            "(() => { const t = document.getElementById('training'); t.value = 1; t.oninput({target: t}); })()"
        )
        assert "160 steps" in page.evaluate("document.getElementById('where').textContent")
        assert page.requests[1:] == [(folder / "training.html").resolve().as_uri()]
        assert not page.errors
    finally:
        page.close()


@pytest.mark.skipif(find_browser() is None, reason="there is no browser")
@pytest.mark.slow
def test_the_command_shows_all_policies_of_a_training_in_one_page(
    trained: tuple[Run, CommandResult], tmp_path: Path
) -> None:
    flags = [*TINY[:4], "-f", str(trained[0].path.parents[1]), "--format", "html", "-o", str(tmp_path), "-n", "40"]
    done = run_module("rl_experiments.record_training", *flags, cwd=tmp_path, timeout=280, **COMPILED)
    assert done.code == 0, done.err
    replays = read_replays(tmp_path / "training.html")
    labels = ["0 steps", "160 steps", "320 steps", "480 steps", "best", "final"]
    assert [replay.label for replay in replays] == labels
    assert all(f"{label}: " in done.out for label in labels)
    page = Page(str(find_browser()), tmp_path / "profile")
    try:
        page.open(tmp_path / "training.html")
        assert page.evaluate("document.querySelectorAll('#tiles canvas').length") == len(labels)
        page.wait("window.replay.frame > 3")
        assert page.requests == [(tmp_path / "training.html").resolve().as_uri()]
        assert not page.errors
    finally:
        page.close()


@pytest.mark.slow
def test_a_published_policy_comes_back_with_its_replays(trained: tuple[Run, CommandResult], tmp_path: Path) -> None:
    run = trained[0]
    flags = [*TINY[:4], "-f", str(run.path.parents[1]), "-orga", "ann", "--n-eval-episodes", "2", "-n", "40"]
    with HubServer() as server:
        server.add_user("ann", token="hf_ann")
        here = {**COMPILED, **server.environment(tmp_path / "home", "hf_ann")}
        pushed = run_module("rl_experiments.push_to_hub", *flags, cwd=tmp_path, timeout=280, **here)
        assert pushed.code == 0, pushed.err
        flags = [*TINY[:4], "-f", str(tmp_path / "back"), "-orga", "ann"]
        loaded = run_module("rl_experiments.load_from_hub", *flags, cwd=tmp_path, timeout=280, **here)
        assert loaded.code == 0, loaded.err
    bundle = tmp_path / "hub" / "ann" / "brax_ppo-inverted_pendulum"
    assert {"README.md", "replay.mp4", "replay.html", "results.json"} <= {path.name for path in bundle.iterdir()}
    assert len(read_replays(bundle / "replay.html")) == 1
    back = Run(tmp_path / "back" / "brax_ppo" / "inverted_pendulum_1", "brax_ppo", "inverted_pendulum")
    assert parameters(back) == parameters(run)
    page = run_module(
        "rl_experiments.record_video", *flags[:6], "--format", "html", cwd=tmp_path, timeout=280, **COMPILED
    )
    assert page.code == 0, page.err


@pytest.mark.slow
def test_a_policy_more_compiles_nothing_more(tmp_path: Path) -> None:
    counts = []
    for frequency in (6 * UPDATE, UPDATE):
        flags = ["-n", str(6 * UPDATE), "--eval-freq", str(frequency), "--eval-episodes", "1"]
        done = run_module(
            "rl_experiments.train", *TINY, *flags, cwd=tmp_path, timeout=280, **COMPILED, JAX_LOG_COMPILES="1"
        )
        assert done.code == 0, done.err
        counts.append(done.err.count("Finished XLA compilation"))
    assert counts[0] == counts[1] > 0


@pytest.mark.slow
def test_our_loop_is_that_of_brax(tmp_path: Path) -> None:
    done = run_python("-m", "tests.helpers.brax_loop", str(tmp_path), cwd=Path.cwd(), timeout=280, **COMPILED)
    assert done.code == 0, done.err
    found = json.loads(done.out.splitlines()[-1])
    assert found["learned"] > 1e-3
    assert found["apart"] < 1e-5  # it is 0 where both are compiled alike
    assert found["steps"] == [0, 320]
    assert found["returns"][0] == found["returns"][1]


@pytest.mark.slow
def test_a_killed_training_goes_on_as_if_nothing_had_happened(
    trained: tuple[Run, CommandResult], tmp_path: Path
) -> None:
    arguments = [*TINY, "-n", str(6 * UPDATE), "--eval-freq", str(2 * UPDATE), "--eval-episodes", "2"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "rl_experiments.train", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**unmeasured(), **COMPILED},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Evaluation:") and f"{2 * UPDATE} of" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    resumed = run_module(
        "rl_experiments.train", *TINY[:4], "-f", "logs", "--resume", cwd=tmp_path, timeout=280, **COMPILED
    )
    assert resumed.code == 0, resumed.err
    run = Run(tmp_path / "logs" / "brax_ppo" / "inverted_pendulum_1", "brax_ppo", "inverted_pendulum")
    assert parameters(run) == parameters(trained[0])
    for one, other in zip(run.resumable().values(), trained[0].resumable().values(), strict=True):
        assert checkpoints.read(one).facts["evaluation"] == checkpoints.read(other).facts["evaluation"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--env", "inverted_pendulm"], ["Did you mean 'inverted_pendulum'?"]),
        (["--env", "CartPole-v1"], ["trains in environments of Brax", "inverted_pendulum"]),
        (["--env-kwargs", "backend:'sprin'"], ["has no backend 'sprin'", "Did you mean 'spring'?"]),
        (["-params", "n_envs:7"], ["batch_size * num_minibatches is 512", "Expected n_envs 8"]),
        (["-params", "normalize:True"], ["normalize_observations does it"]),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_compiled(
    arguments: list[str], parts: list[str], command: Callable[..., CommandResult]
) -> None:
    flags = ["--algo", "brax_ppo", "--env", "inverted_pendulum", "--verbose", "0", *arguments]
    command(rl_experiments.train, *flags).assert_refused(*parts)
    assert not os.listdir()
    assert not is_jax_running()
