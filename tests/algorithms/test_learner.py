"""The learner: SB3's results with less work, and what it saves loads in SB3 alone."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer

from rl_experiments.algorithms import get_algorithm
from rl_experiments.algorithms.sb3 import build_model, save_model
from rl_experiments.algorithms.sb3.learner import BFLOAT16, quicken
from rl_experiments.algorithms.sb3.learner import frames as frames_module
from rl_experiments.algorithms.sb3.learner.frames import FrameReplayBuffer, bytes_of_step
from rl_experiments.algorithms.sb3.learner.networks import BFloat16CNN
from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core import pickles
from rl_experiments.core.symbols import Trust

PICTURES = spaces.Box(0, 255, (4, 12, 10), np.uint8)
ATARI = spaces.Box(0, 255, (4, 84, 84), np.uint8)


class _Pictures(gym.Env):
    """Random pictures, as Atari has them."""

    observation_space = spaces.Box(0, 255, (4, 36, 36), np.uint8)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self._picture(), {}

    def step(self, action: Any) -> Any:
        end = self.np_random.random() < 0.1
        return self._picture(), float(action == 1), bool(end), False, {}

    def _picture(self) -> np.ndarray:
        return self.np_random.integers(0, 255, (4, 36, 36), np.uint8)


MODELS: dict[str, tuple[Callable[[], Any], int]] = {
    "ppo": (lambda: PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=32, n_epochs=2, seed=0, device="cpu"), 128),
    "a2c": (lambda: A2C("MlpPolicy", "Pendulum-v1", seed=0, device="cpu"), 100),
    "sac": (lambda: SAC("MlpPolicy", "Pendulum-v1", learning_starts=20, seed=0, device="cpu"), 40),
    "td3": (lambda: TD3("MlpPolicy", "Pendulum-v1", learning_starts=20, seed=0, device="cpu"), 40),
    "dqn": (lambda: DQN("MlpPolicy", "CartPole-v1", learning_starts=20, seed=0, device="cpu"), 100),
    "dqn of pictures": (
        lambda: DQN("CnnPolicy", _Pictures(), learning_starts=20, buffer_size=100, seed=0, device="cpu"),
        36,
    ),
    "ppo of pictures": (
        lambda: PPO("CnnPolicy", _Pictures(), n_steps=32, batch_size=16, n_epochs=2, seed=0, device="cpu"),
        64,
    ),
}


def _weights(model: Any) -> np.ndarray:
    return torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()]).numpy()


@pytest.mark.parametrize("kind", MODELS)
def test_it_learns_what_sb3_learns_with_the_same_random_numbers(kind: str) -> None:
    make, steps = MODELS[kind]
    initial = _weights(make())
    plain = make().learn(steps)
    drawn = (np.random.get_state()[1], torch.get_rng_state())
    ours = make()
    quicken(ours)
    ours.learn(steps)
    assert not np.array_equal(_weights(plain), initial)
    difference = np.linalg.norm(_weights(ours) - _weights(plain)) / np.linalg.norm(_weights(plain))
    assert difference < (0.0 if kind == "a2c" else 1e-5) or difference == 0
    assert np.array_equal(drawn[0], np.random.get_state()[1])  # type: ignore[arg-type]
    assert torch.equal(drawn[1], torch.get_rng_state())
    observation = plain.observation_space.sample()
    actions = [model.predict(observation, deterministic=True)[0] for model in (plain, ours)]
    assert np.allclose(*actions, atol=1e-4)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW])
def test_a_model_of_before_goes_on_and_one_of_now_goes_on_in_sb3(optimizer: Any, tmp_path: Path) -> None:
    """Optimizers of convolutions keep their numbers in another order here."""

    def make() -> Any:
        kwargs = {"optimizer_class": optimizer}
        arguments: dict[str, Any] = {"n_steps": 32, "batch_size": 16, "n_epochs": 2, "seed": 0, "device": "cpu"}
        return PPO("CnnPolicy", _Pictures(), policy_kwargs=kwargs, **arguments)

    def learn_on(path: Path, quick: bool) -> np.ndarray:
        model = make()
        if quick:
            quicken(model)
        model.set_parameters(path, exact_match=True, device="cpu")
        model.set_random_seed(5)
        return _weights(model.learn(32))

    for quick in (False, True):
        model = make()
        if quick:
            quicken(model)
        model.learn(64).save(tmp_path / "model.zip")
        ours, plain = (learn_on(tmp_path / "model.zip", side) for side in (True, False))
        assert not np.array_equal(plain, _weights(model))
        assert np.linalg.norm(ours - plain) < 1e-5 * np.linalg.norm(plain)


def _step(rng: np.random.Generator, observation: np.ndarray) -> tuple[tuple[Any, ...], np.ndarray]:
    """Stacks that go on, ends of all kinds, and a screen that stands still now and then."""
    n_envs, shape = len(observation), observation.shape[2:]
    picture = rng.integers(0, 255, (n_envs, 1, *shape), np.uint8)
    if rng.random() < 0.2:
        picture[0] = observation[0, -1]
    following = np.concatenate([observation[:, 1:], picture], 1)
    stored, done = following.copy(), rng.random(n_envs) < 0.1
    for env in np.flatnonzero(done):
        following[env, :-1] = 0 if rng.random() < 0.5 else following[env, -1]  # a new stack, or a lost life
        following[env, -1] = rng.integers(0, 255, shape)
    infos = [{"TimeLimit.truncated": bool(rng.random() < 0.5)} for _ in range(n_envs)]
    return (observation, stored, rng.integers(0, 3, n_envs), rng.random(n_envs), done, infos), following


@pytest.mark.parametrize(("optimized", "timeouts"), [(False, True), (False, False), (True, False)])
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("frame_stack", [4, 2, None])
def test_shared_frames_give_sb3s_samples_bit_for_bit(
    optimized: bool, timeouts: bool, n_envs: int, frame_stack: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "_BYTES_OF_CHUNK", 1000)
    arguments: dict[str, Any] = {"device": "cpu", "n_envs": n_envs, "optimize_memory_usage": optimized}
    arguments["handle_timeout_termination"] = timeouts
    plain = ReplayBuffer(40 * n_envs, PICTURES, spaces.Discrete(3), **arguments)
    ours = FrameReplayBuffer(40 * n_envs, PICTURES, spaces.Discrete(3), frame_stack=frame_stack, **arguments)
    rng, observation = np.random.default_rng(0), np.zeros((n_envs, *PICTURES.shape), np.uint8)
    for step in range(150):
        row, observation = _step(rng, observation)
        plain.add(*row)
        ours.add(*row)
        if step % 9 == 3:
            samples = []
            for buffer in (plain, ours):
                np.random.seed(step)
                samples.append(buffer.sample(16))
            for first, second in zip(*samples, strict=True):
                assert (first is None and second is None) or (
                    first.dtype == second.dtype and torch.equal(first, second)
                )
    assert ours.pool.nbytes < 60 * 2 * n_envs * 120 * 4  # pieces that nobody needs any more are used again


def test_a_million_steps_of_atari_take_less_than_8_gb() -> None:
    assert bytes_of_step(ATARI, 4) * 10**6 < 8e9
    buffer = FrameReplayBuffer(9000, ATARI, spaces.Discrete(6), "cpu", frame_stack=4)
    observation = np.zeros((1, *ATARI.shape), np.uint8)
    for step in range(9000):
        picture = np.full((1, 1, 84, 84), step % 255 + 1, np.uint8)
        following = np.concatenate([observation[:, 1:], picture], 1)
        buffer.add(observation, following, np.zeros(1), np.zeros(1), np.zeros(1), [{}])
        observation = following
    assert buffer.pool.nbytes < 9000 * bytes_of_step(ATARI, 4) + 2 * frames_module._BYTES_OF_CHUNK


def _built(name: str, env: Any, precision: str = "float32", **values: Any) -> Any:
    content = {"policy": "CnnPolicy", "n_timesteps": 100, **values}
    hyperparameters = Hyperparameters(content, dict.fromkeys(content, "test"), None)  # type: ignore[arg-type]
    return build_model(get_algorithm(name), hyperparameters, env, seed=0, device="cpu", precision=precision)


def test_what_is_saved_loads_and_acts_where_this_package_is_not_installed(tmp_path: Path) -> None:
    from stable_baselines3.common.env_util import make_vec_env

    env = make_vec_env(_Pictures, 1, seed=0)
    dqn = _built("dqn", env, BFLOAT16, learning_starts=10, buffer_size=100, batch_size=8).learn(30)
    ppo = _built("ppo", env, n_steps=16, batch_size=8, n_epochs=1).learn(16)
    assert isinstance(dqn.replay_buffer, FrameReplayBuffer)
    assert isinstance(ppo.rollout_buffer, RolloutBuffer)
    save_model(dqn, tmp_path / "dqn.zip")
    save_model(ppo, tmp_path / "ppo.zip")
    program = f"""
import sys
class Refuse:
    def find_spec(self, name, *rest):
        if name.split('.')[0] == 'rl_experiments':
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.buffers import ReplayBuffer
for cls in (DQN, PPO):
    model = cls.load({str(tmp_path)!r} + '/' + cls.__name__.lower() + '.zip', device='cpu')
    action = model.predict(np.full((4, 36, 36), 7, np.uint8), deterministic=True)[0]
    print(action, type(model.policy.optimizer).__name__)
    model.save({str(tmp_path)!r} + '/again.zip')
    if cls is DQN:
        assert model.replay_buffer_class is ReplayBuffer and model.replay_buffer_kwargs == {{}}
assert not any(name.startswith('rl_experiments') for name in sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert out.returncode == 0, out.stderr
    picture = np.full((4, 36, 36), 7, np.uint8)
    actions = [int(model.predict(picture, deterministic=True)[0]) for model in (dqn, ppo)]
    assert out.stdout.split() == [str(actions[0]), "Adam", str(actions[1]), "Adam"]


def test_bfloat16_changes_the_numbers_and_keeps_weights_of_32_bits() -> None:
    from stable_baselines3.common.env_util import make_vec_env

    models = [
        _built("dqn", make_vec_env(_Pictures, 1, seed=0), precision, learning_starts=10, buffer_size=100, batch_size=8)
        for precision in ("float32", BFLOAT16)
    ]
    full, half = (model.learn(30) for model in models)
    assert isinstance(half.q_net.features_extractor, BFloat16CNN)
    assert {parameter.dtype for parameter in half.policy.parameters()} == {torch.float32}
    assert 0 < np.linalg.norm(_weights(half) - _weights(full)) < 0.1 * np.linalg.norm(_weights(full))


def test_a_saved_replay_buffer_is_read_without_running_code(tmp_path: Path) -> None:
    buffer = FrameReplayBuffer(20, PICTURES, spaces.Discrete(3), "cpu", frame_stack=4)
    rng, observation = np.random.default_rng(0), np.zeros((1, *PICTURES.shape), np.uint8)
    for _ in range(30):
        row, observation = _step(rng, observation)
        buffer.add(*row)
    again = pickles.loads_trusting(pickle.dumps(buffer), Trust())
    assert np.array_equal(again.observations[:], buffer.observations[:])
    assert np.array_equal(again.next_observations[:], buffer.next_observations[:])
    assert again.observations[:].any()
