"""What a vector of environments is, for ``run.json``. Importing this module imports torch."""

from __future__ import annotations

from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.envs.lean import LeanVecEnv
from rl_experiments.envs.native.adapter import NativeVecEnv
from rl_experiments.envs.worker_vectors import WorkerVecEnv

FUSED = "fused Atari"


def kind_of(env: VecEnv) -> str:
    """:return: in words: what steps the environments"""
    base = env.unwrapped
    if isinstance(base, NativeVecEnv):
        return base.name
    if isinstance(base, WorkerVecEnv):
        return "processes"
    if isinstance(base, LeanVecEnv):
        return FUSED if base.is_fused else "lean"
    return "SB3"
