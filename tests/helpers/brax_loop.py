"""
Brax's own ``ppo.train`` beside ours, in a process of its own.

``python brax_loop.py FOLDER`` trains both from the same seed, prints as JSON how far their parameters are apart, and
what a ``PolicySaver`` in Brax's training left in the folder.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from rl_experiments import PolicySaver, evaluate, load_agent
from rl_experiments.algorithms.brax import BraxPPO
from rl_experiments.core.accelerated import choose_device, prepare_jax, quiet_imports
from rl_experiments.envs.brax.simulation import make_environment
from rl_experiments.runs import checkpoints
from rl_experiments.training.brax.learner import BraxLearner, load_brax

NAME, KWARGS, SEED, N_UPDATES, N_ENVS = "inverted_pendulum", {"backend": "spring"}, 3, 4, 8
SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-3,
    "entropy_cost": 1e-2,
    "discounting": 0.97,
    "unroll_length": 5,
    "batch_size": 8,
    "num_minibatches": 2,
    "num_updates_per_batch": 2,
    "normalize_observations": True,
    "reward_scaling": 0.5,
    "max_grad_norm": 1.0,
    "episode_length": 40,
}
SIZES = {"policy_hidden_layer_sizes": (8, 8), "value_hidden_layer_sizes": (8,)}


def main() -> None:
    """Train both, and print."""
    prepare_jax("this test")
    theirs, saver = train_with_brax(Path(sys.argv[1]))
    first, last = train_ours()
    run = saver.run
    there = checkpoints.read(checkpoints.checkpoints_of(run)[-1])
    restored = evaluate(load_agent(run), n_episodes=2).returns.tolist()
    found = {
        "apart": apart(theirs, last),
        "learned": apart(first[1:], last[1:]),
        "steps": list(run.resumable()),
        "returns": [there.facts["evaluation"]["returns"], restored],
    }
    print(json.dumps(found))


def train_with_brax(folder: Path) -> tuple[Any, PolicySaver]:
    """:return: the parameters that Brax ends with, and what saved its policies"""
    with quiet_imports():
        from brax.training.agents.ppo import networks, train
    steps = N_UPDATES * BraxPPO(**SETTINGS).steps_of_an_update
    factory = functools.partial(networks.make_ppo_networks, **SIZES)
    config = {**SETTINGS, "num_timesteps": steps, "num_envs": N_ENVS, "network_factory": factory, "seed": SEED}
    saver = PolicySaver(NAME, KWARGS, log_folder=folder, n_eval_episodes=2, say=lambda text: None, **config)
    environment = make_environment(NAME, KWARGS)
    _, params, _ = train.train(environment, **config, num_evals=2, num_eval_envs=2, policy_params_fn=saver)
    saver.close()
    return params, saver


def train_ours() -> tuple[Any, Any]:
    """:return: our parameters before and after as many updates"""
    import jax

    load_brax()
    learner = BraxLearner(BraxPPO(**SETTINGS, **SIZES), N_ENVS, NAME, KWARGS, choose_device("cpu"))
    state = learner.begin(SEED)
    first = jax.device_get(state.parameters)
    learner.compile(state)
    for _ in range(N_UPDATES):
        state, _ = learner.update(state, SETTINGS["learning_rate"])
    return first, jax.device_get(state.parameters)


def apart(one: Any, other: Any) -> float:
    """:return: the largest difference of two numbers in the same place"""
    import jax

    differences = jax.tree.map(lambda a, b: np.abs(np.asarray(a, float) - np.asarray(b, float)).max(), one, other)
    return float(max(jax.tree.leaves(differences)))


if __name__ == "__main__":
    main()
