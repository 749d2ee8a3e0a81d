"""Training with SBX: one tiny run of SAC, and what is refused before anything is compiled."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_experiments import evaluate, load_agent, train
from rl_experiments.algorithms.registry import get_algorithm
from rl_experiments.core.accelerated import has_sbx
from rl_experiments.core.errors import ConfigurationError, UntrustedError
from rl_experiments.runs import checkpoints, open_run
from rl_experiments.training.resuming import resume_run
from tests.helpers.resuming import as_killed_after, complete_outcome, differences
from tests.helpers.tiny import tiny_experiment

pytestmark = pytest.mark.skipif(not has_sbx(), reason="SBX is not installed")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a tiny training of SAC returned."""
    folder = tmp_path_factory.mktemp("sbx")
    settings: dict[str, Any] = {"n_timesteps": 240, "eval_freq": 110, "eval_episodes": 1, "save_freq": 100}
    return tiny_experiment("sac", "Pendulum-v1", folder, {"normalize": True}, backend="sbx", **settings).run()


def test_a_resumed_training_ends_as_one_that_was_never_stopped(trained: Any, tmp_path: Path) -> None:
    killed = as_killed_after(trained.run, 0, tmp_path / "killed")
    assert resume_run(killed.path).steps == 240
    assert differences(complete_outcome(trained.run), complete_outcome(killed)) == []
    with zipfile.ZipFile(killed.final_model) as archive:
        assert archive.getinfo("states.msgpack").file_size > 1000


def test_an_agent_loads_without_its_pickles(trained: Any, tmp_path: Path) -> None:
    run = trained.run
    record = json.loads((run.path / "run.json").read_text())
    assert (record["backend"], run.arguments["backend"]) == ("sbx", "sbx")
    copy = as_killed_after(run, 9, tmp_path / "logs")
    with zipfile.ZipFile(run.final_model) as source, zipfile.ZipFile(copy.final_model, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "data":
                data = json.loads(content)
                data["policy"][":serialized:"] = "bm90IGEgcGlja2xl"
                content = json.dumps(data).encode()
            target.writestr(name, content)
    agent = load_agent(copy)
    assert agent.backend == "sbx"
    seen = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    expected, _ = trained.model.predict(seen, deterministic=True)
    np.testing.assert_array_equal(agent.predict(seen, deterministic=True)[0], expected)
    again = [evaluate(agent, n_episodes=1, seed=3).returns for _ in range(2)]
    assert again[0] == again[1]


def test_plain_sbx_reads_the_file(trained: Any) -> None:
    import sbx

    model = sbx.SAC.load(trained.run.final_model)
    seen = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    expected, _ = trained.model.predict(seen, deterministic=True)
    np.testing.assert_array_equal(model.predict(seen, deterministic=True)[0], expected)


def test_a_file_of_sbx_alone_is_only_read_where_it_is_trusted(trained: Any, tmp_path: Path) -> None:
    copy = as_killed_after(trained.run, 9, tmp_path)
    with zipfile.ZipFile(trained.run.final_model) as source, zipfile.ZipFile(copy.final_model, "w") as target:
        for name in source.namelist():
            if name not in ("states.msgpack", "policy.json"):
                target.writestr(name, source.read(name))
    with pytest.raises(UntrustedError, match="--trust"):
        load_agent(copy)
    assert load_agent(copy, trust=True).backend == "sbx"


@pytest.mark.parametrize("harm", ["short", "layers", "other", "text"])
def test_a_damaged_file_is_told_in_one_line(harm: str, trained: Any, tmp_path: Path) -> None:
    copy = as_killed_after(trained.run, 9, tmp_path)
    with zipfile.ZipFile(trained.run.final_model) as source, zipfile.ZipFile(copy.final_model, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if harm == "short" and name == "states.msgpack":
                content = content[:-50]
            if harm in ("layers", "other") and name == "policy.json":
                layers = [1 << 19, 1 << 19] if harm == "layers" else [9]
                described = json.loads(content)
                content = json.dumps({**described, "policy_kwargs": {"net_arch": layers}}).encode()
            if harm == "text" and name == "policy.json":
                content = b"{"
            target.writestr(name, content)
    with pytest.raises(ConfigurationError) as caught:
        load_agent(copy)
    assert copy.final_model.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_going_on_from_a_model(trained: Any, tmp_path: Path, command: Any) -> None:
    model = str(trained.run.final_model)
    small = ("-params", "normalize:True", "batch_size:16", "learning_starts:60")
    given = ("--algo", "sac", "--env", "Pendulum-v1", "-i", model, "-n", "100", "--eval-freq", "-1", "--verbose", "0")
    result = command(train, *given, "--backend", "sbx", *small)
    assert result.code == 0, result.err
    run = open_run(tmp_path / "logs" / "sac" / "Pendulum-v1_1")
    assert load_agent(run).backend == "sbx"
    assert not checkpoints.checkpoints_of(run)
    refused = command(train, *given, *small)
    assert refused.code == 2
    assert "Expected --backend sbx" in refused.err


def test_what_sbx_has_not_is_named() -> None:
    with pytest.raises(ConfigurationError, match="crossq, ddpg, dqn, ppo, sac, td3, tqc"):
        get_algorithm("a2c", "sbx")


@pytest.mark.parametrize(
    ("algo", "env", "values", "expected"),
    [
        ("sac", "Pendulum-v1", {"target_update_interval": 4}, "target_update_interval 1"),
        ("sac", "Pendulum-v1", {"optimize_memory_usage": True}, "optimize_memory_usage False"),
        ("dqn", "CartPole-v1", {"policy_kwargs": "dict(net_arch=[64, 128])"}, "two layers of one size"),
        ("ppo", "CartPole-v1", {"policy_kwargs": "dict(activation_fn=nn.Hardtanh)"}, "ReLU, Tanh"),
        ("sac", "Pendulum-v1", {"policy": "CnnPolicy"}, "SBX's sac has no policy"),
        ("ppo", "toy_envs:ToyDictionary-v0", {}, "takes no dictionary"),
    ],
)
def test_what_sbx_cannot_do_is_refused(
    algo: str, env: str, values: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        tiny_experiment(algo, env, tmp_path, {"policy_kwargs": None, **values}, backend="sbx").describe()
