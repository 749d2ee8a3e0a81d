"""Steps environments in every way in turn, in this process, and prints what each took: ``vectors.py ORDER``."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecTransposeImage

from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.envs import EnvironmentRecipe, make_envs

WRAPPER = "stable_baselines3.common.atari_wrappers.AtariWrapper"
BLOCKS = 5
AS_THE_ZOO = "the zoo"


def vector(kind: str, env_id: str, n_envs: int) -> VecEnv:
    """:return: the environments, made as the zoo makes them or in one of our ways"""
    is_atari = "NoFrameskip" in env_id
    if kind == AS_THE_ZOO:
        if is_atari:
            return VecTransposeImage(VecFrameStack(make_atari_env(env_id, n_envs, seed=1), 4))
        return make_vec_env(env_id, n_envs, seed=1)
    hyperparams: dict[str, Any] = {"env_wrapper": [WRAPPER], "frame_stack": 4} if is_atari else {}
    recipe = EnvironmentRecipe.from_hyperparameters(env_id, Hyperparameters(hyperparams))
    return make_envs(recipe, n_envs, 1, vec_env=kind, training=True)


def main(arguments: Sequence[str]) -> None:
    """Measure in blocks, each of all ways in turn."""
    order = json.loads(arguments[0])
    gym.register_envs(ale_py)
    kinds = [AS_THE_ZOO, "auto", "native"]
    if importlib.util.find_spec("envpool"):
        kinds.append("envpool")
    envs = {kind: vector(kind, order["env"], order["n_envs"]) for kind in kinds}
    taken = {kind: {"steps": 0, "seconds": 0.0, "cpu": 0.0} for kind in kinds}
    space = envs[AS_THE_ZOO].action_space
    space.seed(0)
    for env in envs.values():
        env.reset()
    for _ in range(BLOCKS):
        actions = [np.array([space.sample() for _ in range(order["n_envs"])]) for _ in range(100)]
        for kind, env in envs.items():
            one = taken[kind]
            begin, cpu, done = time.perf_counter(), time.process_time(), 0
            while time.perf_counter() - begin < order["seconds"] / BLOCKS:
                env.step(actions[done % len(actions)])
                done += 1
            one["steps"] += done * order["n_envs"]
            one["seconds"] += time.perf_counter() - begin
            one["cpu"] += time.process_time() - cpu
    print(json.dumps(taken))


if __name__ == "__main__":
    main(sys.argv[1:])
