"""
What makes learning faster than SB3's own classes do, with the same results up to rounding.

A model is made by SB3 from SB3's own classes; then its policy, its optimizers and its rollout buffer become classes
that derive from them. What is saved names SB3's, so that it loads where this package is not installed.
"""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from torch import nn
from torch.optim import Optimizer

from rl_experiments.algorithms.sb3.learner.frames import FrameReplayBuffer
from rl_experiments.algorithms.sb3.learner.networks import BFLOAT16, FLOAT32, PRECISIONS
from rl_experiments.algorithms.sb3.learner.optimizers import make_joint
from rl_experiments.algorithms.sb3.learner.policies import quicken_policy
from rl_experiments.algorithms.sb3.learner.rollouts import QuickRolloutBuffer

__all__ = ["BFLOAT16", "FLOAT32", "PRECISIONS", "quicken"]


def quicken(model: Any, precision: str = FLOAT32) -> None:
    """
    :param model: of SB3 or sb3-contrib, just made or loaded; changed in place
    :param precision: of convolutions: ``bfloat16`` is faster, and changes the numbers
    """
    policy = model.policy
    if isinstance(policy, nn.Module):
        quicken_policy(policy, precision)
    for owner in (model, policy, getattr(policy, "actor", None), getattr(policy, "critic", None)):
        for value in list(getattr(owner, "__dict__", {}).values()):
            if isinstance(value, Optimizer):
                make_joint(value)
    if type(getattr(model, "rollout_buffer", None)) is RolloutBuffer:
        model.rollout_buffer.__class__ = QuickRolloutBuffer
    if getattr(model, "replay_buffer_class", None) is FrameReplayBuffer:
        model.replay_buffer_class = ReplayBuffer
        model.replay_buffer_kwargs = {
            name: value for name, value in model.replay_buffer_kwargs.items() if name != "frame_stack"
        }
