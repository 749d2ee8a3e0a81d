"""Every algorithm of SBX trains, goes on after a kill as if nothing had happened, and loads as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_experiments import load_agent
from rl_experiments.core.accelerated import has_sbx
from rl_experiments.training.resuming import resume_run
from tests.helpers.resuming import as_killed_after, complete_outcome, differences
from tests.helpers.tiny import tiny_experiment

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not has_sbx(), reason="SBX is not installed")]

PENDULUM = "Pendulum-v1"
GOAL = {"policy": "MultiInputPolicy", "replay_buffer_class": "HerReplayBuffer"}
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "crossq": ("crossq", PENDULUM, {"normalize": True}),
    "ddpg": ("ddpg", PENDULUM, {"noise_type": "ornstein-uhlenbeck", "noise_std": 0.1}),
    "dqn": ("dqn", "CartPole-v1", {"policy_kwargs": "dict(net_arch=[8, 8], activation_fn=nn.Tanh)", "n_steps": 3}),
    "dqn-memory": (
        "dqn",
        "CartPole-v1",
        {
            "policy_kwargs": "dict(net_arch=[8, 8])",
            "optimize_memory_usage": True,
            "buffer_size": 90,
            "replay_buffer_kwargs": "dict(handle_timeout_termination=False)",
        },
    ),
    "ppo": ("ppo", "CartPole-v1", {"learning_rate": "lin_1e-3", "clip_range": "lin_0.2"}),
    "ppo-box": ("ppo", PENDULUM, {"normalize": True, "use_sde": True, "target_kl": 0.02, "n_envs": 2}),
    "sac": ("sac", PENDULUM, {"n_envs": 2, "normalize": True, "learning_rate": "lin_1e-3"}),
    "sac-fixed": (
        "sac",
        PENDULUM,
        {"ent_coef": 0.1, "use_sde": True, "policy_kwargs": "dict(optimizer_class=optim.AdamW)"},
    ),
    "td3": ("td3", PENDULUM, {"noise_type": "normal", "noise_std": 0.1, "train_freq": [1, "episode"]}),
    "tqc": ("tqc", PENDULUM, {"policy_kwargs": "dict(net_arch=dict(pi=[8], qf=[8, 4]), n_quantiles=5)"}),
    "her": ("sac", "toy_envs:ToyGoal-v0", GOAL),
    "her-crossq": ("crossq", "toy_envs:ToyGoal-v0", GOAL),
    "atari": (
        "dqn",
        "PongNoFrameskip-v4",
        {"policy_kwargs": "dict(net_arch=[16])", "learning_starts": 40, "batch_size": 4},
    ),
    "atari-ppo": ("ppo", "BreakoutNoFrameskip-v4", {"policy_kwargs": None}),
    "mujoco": ("tqc", "Hopper-v5", {"normalize": True}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_training_ends_as_one_that_was_never_stopped(name: str, tmp_path: Path) -> None:
    algo, env, hyperparams = CASES[name]
    experiment = tiny_experiment(
        algo, env, tmp_path / "whole", hyperparams, backend="sbx",
        n_timesteps=400, eval_freq=110, eval_episodes=1, save_freq=100,
    )  # fmt: skip
    result = experiment.run()
    killed = as_killed_after(result.run, 0, tmp_path / "killed")
    resume_run(killed.path)
    assert differences(complete_outcome(result.run), complete_outcome(killed)) == []
    agent = load_agent(killed)
    assert agent.backend == "sbx"
    space = agent.observation_space
    samples = [space.sample() for _ in range(8)]
    seen: Any = np.stack(samples) if not isinstance(samples[0], dict) else {
        key: np.stack([sample[key] for sample in samples]) for key in samples[0]
    }  # fmt: skip
    expected, _ = result.model.predict(seen, deterministic=True)
    np.testing.assert_array_equal(agent.predict(seen, deterministic=True)[0], expected)
