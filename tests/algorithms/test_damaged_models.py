"""A zip that is damaged, or made to exhaust what loads it, is refused in one line that names the file."""

from __future__ import annotations

import io
import shutil
import struct
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rl_experiments import Run, enjoy, load_agent, push_to_hub, train
from rl_experiments.algorithms import get_algorithm
from rl_experiments.algorithms.sb3 import load_model
from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from tests.helpers.tampering import (
    Touch,
    members_of,
    patch_directory,
    rewrite_data,
    rewrite_weights,
    serialized,
    torch_bytes,
    write_members,
)
from tests.helpers.tiny import tiny_experiment


@pytest.fixture
def copied(ppo_run: Run, tmp_path: Path) -> Run:
    """A copy of the run that a test may damage."""
    folder = tmp_path / "logs" / "ppo" / ppo_run.path.name
    shutil.copytree(ppo_run.path, folder)
    return Run(folder, ppo_run.algorithm, ppo_run.env_name)


def _with(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda path: write_members(path, {**members_of(path), name: content})


def _without(name: str) -> Callable[[Path], None]:
    return lambda path: write_members(path, {key: item for key, item in members_of(path).items() if key != name})


def _compressed(method: int) -> Callable[[Path], None]:
    return lambda path: write_members(path, members_of(path), method)


def _corrupt(path: Path) -> None:
    _compressed(zipfile.ZIP_DEFLATED)(path)
    content = bytearray(path.read_bytes())
    for index in range(60, len(content) // 2, 7):
        content[index] ^= 0x55
    path.write_bytes(content)


def _corrupt_weights(path: Path) -> None:
    content = path.read_bytes()
    weights = members_of(path)["policy.pth"]
    middle = content.index(weights) + len(weights) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def _twice(path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("data", "{}")


def _data(**changes: Any) -> Callable[[Path], None]:
    return lambda path: rewrite_data(path, **changes)


def _weights(change: Callable[[torch.Tensor], Any]) -> Callable[[Path], None]:
    return lambda path: rewrite_weights(path, change)


def _nested_bomb(path: Path) -> None:
    weights = path.with_name("weights")
    with zipfile.ZipFile(weights, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10 << 20))
    _with("policy.pth", weights.read_bytes())(path)


def _slow_keys(path: Path) -> None:
    """A key of tuples of one and the same tuple, which takes 2**100 steps to hash."""
    pickled = b"\x80\x02}K\x01K\x02\x86" + 100 * b"q\x01h\x01\x86" + b"K\x01s."
    weights = path.with_name("weights")
    weights.write_bytes(torch_bytes({}))
    members = {name: pickled if name.endswith("data.pkl") else item for name, item in members_of(weights).items()}
    write_members(weights, members)
    _with("policy.pth", weights.read_bytes())(path)


def _large_box() -> spaces.Box:
    box = spaces.Box(-1.0, 1.0, (4,))
    box._shape = (10**6, 10**6)
    return box


DAMAGES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "corrupted": (_corrupt, ["no model"]),
    "corrupted-weights": (_corrupt_weights, ["'policy.pth'", "damaged"]),
    "encrypted": (lambda path: patch_directory(path, "data", 8, b"\1"), ["'data'", "encrypted"]),
    "twice": (_twice, ["two members 'data'"]),
    "bzip2": (_compressed(zipfile.ZIP_BZIP2), ["compressed in another way"]),
    "lzma": (_compressed(zipfile.ZIP_LZMA), ["compressed in another way"]),
    "absurd-size": (lambda path: patch_directory(path, "data", 24, struct.pack("<I", 0xFFFFFFF0)), ["would unpack"]),
    "absurd-size-of-weights": (_nested_bomb, ["'policy.pth'", "would unpack"]),
    "keys-that-take-long": (_slow_keys, ["'policy.pth'", "tuple as key"]),
    "slip": (_with("../../evil.txt", b"x"), ["'../../evil.txt'"]),
    "absolute": (_with("/tmp/evil.txt", b"x"), ["'/tmp/evil.txt'"]),
    "without-data": (_without("data"), ["no member 'data'"]),
    "without-weights": (_without("policy.pth"), ["no policy.pth"]),
    "list": (_with("data", b"[]"), ["no mapping"]),
    "no-json": (_with("data", b"\xff\xfe{"), ["no model"]),
    "nested": (_with("data", b"[" * 100_000), ["nested too deeply"]),
    "weights-that-run": (_with("policy.pth", torch_bytes(Touch(Path("ran")))), ["'policy.pth'", "system"]),
    "no-weights": (_with("policy.pth", b"text"), ["'policy.pth'"]),
    "empty-weights": (_with("policy.pth", b""), ["'policy.pth'"]),
    "list-of-weights": (_with("policy.pth", torch_bytes([1])), ["does not load"]),
    "unknown-weights": (_with("x.pth", torch_bytes({})), ["does not load"]),
    "other-shapes": (_weights(lambda tensor: tensor[None]), ["does not load", "size mismatch"]),
    "text-for-weights": (_weights(str), ["does not load"]),
    "pretended-weights": (
        _weights(lambda tensor: torch.zeros(1).expand(10**12)),
        ["(1000000000000,)", "not stored"],
    ),
    "sparse-weights": (_weights(lambda tensor: tensor.to_sparse()), ["not stored whole"]),
    "wide-layers": (_data(policy_kwargs={"net_arch": [10**9]}), ["larger than the weights"]),
    "many-layers": (_data(policy_kwargs={"net_arch": [8] * 10**5}), ["larger than the weights"]),
    "wide-and-wide": (_data(policy_kwargs={"net_arch": [30_000, 30_000]}), ["larger than the weights"]),
    "negative-layer": (_data(policy_kwargs={"net_arch": [-1]}), ["does not load"]),
    "many-actions": (_data(action_space=serialized(spaces.Discrete(10**12))), ["action"]),
    "some-more-actions": (_data(action_space=serialized(spaces.Discrete(10**7))), []),
    "large-observations": (_data(observation_space=serialized(_large_box())), ["observation"]),
    "no-space": (_data(observation_space=5), ["'observation_space'", "must be a space"]),
    "no-policy": (_data(policy_class=serialized(torch.nn.Linear)), ["'policy_class'", "must be a policy"]),
    "no-arguments": (_data(policy_kwargs=[1]), ["'policy_kwargs'", "mapping"]),
    "method": (_data(predict=5), ["'predict'", "method"]),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_model_is_refused_by_every_command(case: str, copied: Run, command, tmp_path: Path) -> None:
    damage, parts = DAMAGES[case]
    damage(copied.final_model)
    folder = ("--algo", "ppo", "--env", "CartPole-v1", "-f", "logs")
    going_on = ("-i", str(copied.final_model), "-n", "64", "-params", "n_envs:2", "n_steps:32", "batch_size:16")
    started = time.monotonic()
    command(enjoy, *folder, "--no-render", "-n", "5").assert_refused("CartPole-v1.zip", *parts)
    command(push_to_hub, *folder, "--no-upload").assert_refused("CartPole-v1.zip", *parts)
    command(train, *going_on, "-f", "other", "--num-threads", "1").assert_refused("CartPole-v1.zip", *parts)
    assert time.monotonic() - started < 20
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.glob("hub/*"))
    assert not list(tmp_path.glob("other/*/*"))


ABSURD = {
    "qrdqn": {"policy_kwargs": {"net_arch": [8], "n_quantiles": 10**10}},
    "ppo_lstm": {"policy_kwargs": {"net_arch": [8], "lstm_hidden_size": 10**9}},
    "tqc": {"policy_kwargs": {"net_arch": [8], "n_critics": 10**9}},
    "sac": {"policy_kwargs": {"net_arch": [8], "n_critics": 10**9}},
    "ppo_mask": {"action_space": serialized(spaces.Discrete(10**10))},
    "dqn": {"policy_kwargs": {"net_arch": [10**9]}},
}
ROLLOUTS = {"n_steps": 10**13, "n_envs": 10**13, "buffer_size": 10**13, "env": "no_such_package:X-v0"}


@pytest.mark.parametrize("algo", sorted([*ABSURD, "a2c", "ars", "crossq", "ddpg", "ppo", "td3", "trpo"]))
def test_what_an_agent_does_not_need_is_not_made_and_the_rest_must_fit(algo: str, tmp_path: Path) -> None:
    env = "Pendulum-v1" if algo in ("ars", "crossq", "ddpg", "sac", "td3", "tqc") else "CartPole-v1"
    model = tiny_experiment(algo, env, tmp_path).run().run.final_model
    observation = np.full((1, 3 if env == "Pendulum-v1" else 4), 0.1, np.float32)
    before = load_model(model, get_algorithm(algo)).predict(observation, deterministic=True)[0]
    rewrite_data(model, **ROLLOUTS)
    after = load_model(model, get_algorithm(algo)).predict(observation, deterministic=True)[0]
    np.testing.assert_array_equal(before, after)
    if algo in ABSURD:
        rewrite_data(model, **ABSURD[algo])
        with pytest.raises(ConfigurationError, match=r"larger than the weights|dimensions"):
            load_model(model, get_algorithm(algo))


def test_one_model_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    """SB3 adds the steps of an n-step return to the arguments of the replay buffer."""
    model = tiny_experiment("dqn", "CartPole-v1", tmp_path, {"n_steps": 3}).run().run.final_model
    for _ in range(2):
        load_model(model, get_algorithm("dqn"))
    load_agent(tiny_experiment("dqn", "CartPole-v1", tmp_path).run().run)


def test_weights_of_an_old_torch_are_read(copied: Run) -> None:
    members = members_of(copied.final_model)
    weights = torch.load(io.BytesIO(members["policy.pth"]), weights_only=True)
    stream = io.BytesIO()
    torch.save(weights, stream, _use_new_zipfile_serialization=False)
    write_members(copied.final_model, {**members, "policy.pth": stream.getvalue()})
    load_agent(copied)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_model_that_was_packed_again_loads(method: int, copied: Run) -> None:
    write_members(copied.final_model, members_of(copied.final_model), method)
    load_agent(copied)


def test_weights_that_are_no_numbers_are_said_by_the_agent(copied: Run, command) -> None:
    rewrite_weights(copied.final_model, lambda tensor: tensor * float("nan"))
    try:
        load_agent(copied)
    except RLExperimentsError as error:
        pytest.fail(f"it does not load: {error}")
    result = command(enjoy, "--algo", "ppo", "--env", "CartPole-v1", "-f", "logs", "--no-render", "-n", "5")
    result.assert_refused("the agent failed to act", "step 1")
