"""SB3's policies with the same weights, which act with less bookkeeping."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import stable_baselines3.dqn.policies as dqn
import stable_baselines3.sac.policies as sac
import stable_baselines3.td3.policies as td3
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    ContinuousCritic,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor
from torch import nn
from torch.nn import functional

from rl_experiments.algorithms.sb3.learner.distributions import QUICK
from rl_experiments.algorithms.sb3.learner.networks import QuickCritic, quicken_networks


class QuickPolicy:
    """What all of them have: their parameters at hand, and modes only where a layer has modes."""

    held: tuple[nn.Parameter, ...]
    has_modes: bool
    training: bool

    def set_training_mode(self, mode: bool) -> None:
        """See SB3, which goes through all layers at each step."""
        if self.has_modes:
            super().set_training_mode(mode)  # type: ignore[misc]
        else:
            self.training = mode

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """See torch, which looks for them anew each time."""
        return iter(self.held) if recurse else super().parameters(recurse)  # type: ignore[misc]


class _ActsOnly(QuickPolicy):
    def _predict(self, *arguments: Any, **named: Any) -> torch.Tensor:
        with torch.inference_mode():
            return super()._predict(*arguments, **named)  # type: ignore[misc]


class _ActorCritic(_ActsOnly):
    action_space: spaces.Space
    is_plain: bool
    """Whether observations are vectors of numbers, which go into two towers of layers as they are."""

    def forward(self, obs: Any, deterministic: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See SB3; while it collects experience, no gradients are asked for."""
        if torch.is_grad_enabled():
            return super().forward(obs, deterministic)  # type: ignore[misc]
        with torch.inference_mode():
            if not self.is_plain:
                return super().forward(obs, deterministic)  # type: ignore[misc]
            distribution, values = self._heads(obs)
            actions = distribution.get_actions(deterministic=deterministic)
            return actions.reshape((-1, *(self.action_space.shape or ()))), values, distribution.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """See SB3."""
        if not self.is_plain:
            return super().evaluate_actions(obs, actions)  # type: ignore[misc]
        distribution, values = self._heads(obs)
        return values, distribution.log_prob(actions), distribution.entropy()

    def _heads(self: Any, obs: torch.Tensor) -> tuple[Any, torch.Tensor]:
        features, towers = obs.float().flatten(1), self.mlp_extractor
        distribution = self._get_action_dist_from_latent(towers.policy_net.forward(features))
        value = self.value_net
        return distribution, functional.linear(towers.value_net.forward(features), value.weight, value.bias)


class QuickActorCriticPolicy(_ActorCritic, ActorCriticPolicy):
    """Of vectors."""


class QuickActorCriticCnnPolicy(_ActorCritic, ActorCriticCnnPolicy):
    """Of pictures."""


class QuickMultiInputActorCriticPolicy(_ActorCritic, MultiInputActorCriticPolicy):
    """Of dictionaries."""


class QuickQNetwork(QuickPolicy, dqn.QNetwork):
    """Of DQN."""


class QuickDQNPolicy(_ActsOnly, dqn.DQNPolicy):
    """Of vectors."""


class QuickDQNCnnPolicy(_ActsOnly, dqn.CnnPolicy):
    """Of pictures."""


class QuickSACPolicy(_ActsOnly, sac.SACPolicy):
    """Of vectors."""


class QuickSACCnnPolicy(_ActsOnly, sac.CnnPolicy):
    """Of pictures."""


class QuickSACActor(QuickPolicy, sac.Actor):
    """Of SAC."""


class QuickTD3Policy(_ActsOnly, td3.TD3Policy):
    """Of vectors."""


class QuickTD3CnnPolicy(_ActsOnly, td3.CnnPolicy):
    """Of pictures."""


class QuickTD3Actor(QuickPolicy, td3.Actor):
    """Of TD3 and DDPG."""


class QuickContinuousCritic(QuickPolicy, QuickCritic):
    """Of SAC, TD3 and DDPG."""


_CLASSES: dict[type, type] = {
    ActorCriticPolicy: QuickActorCriticPolicy,
    ActorCriticCnnPolicy: QuickActorCriticCnnPolicy,
    MultiInputActorCriticPolicy: QuickMultiInputActorCriticPolicy,
    ContinuousCritic: QuickContinuousCritic,
    dqn.QNetwork: QuickQNetwork,
    dqn.DQNPolicy: QuickDQNPolicy,
    dqn.CnnPolicy: QuickDQNCnnPolicy,
    sac.Actor: QuickSACActor,
    sac.SACPolicy: QuickSACPolicy,
    sac.CnnPolicy: QuickSACCnnPolicy,
    td3.Actor: QuickTD3Actor,
    td3.TD3Policy: QuickTD3Policy,
    td3.CnnPolicy: QuickTD3CnnPolicy,
}
"""Only these: whoever derives from them may rely on what is left out here."""
_WITHOUT_MODES = (
    *("torch.nn.modules.linear", "torch.nn.modules.conv", "torch.nn.modules.container", "torch.nn.modules.flatten"),
    *("torch.nn.modules.activation", "stable_baselines3.", "rl_experiments.algorithms.sb3.learner."),
)


def quicken_policy(policy: nn.Module, precision: str) -> None:
    """
    :param policy: as SB3 made it, on its device; changed in place
    :param precision: of its convolutions
    """
    quicken_networks(policy, precision)
    for part in policy.modules():
        quick = _CLASSES.get(type(part))
        if quick is not None:
            part.has_modes = any(map(_has_modes, part.modules()))  # type: ignore[assignment]
            part.held = tuple(part.parameters())  # type: ignore[assignment]
            part.__class__ = quick
            if isinstance(part, _ActorCritic):
                part.is_plain = _is_plain(part)
        distribution = getattr(part, "action_dist", None)
        if type(distribution) in QUICK:
            distribution.__class__ = QUICK[type(distribution)]  # type: ignore[index]


def _is_plain(policy: Any) -> bool:
    space = policy.observation_space
    types = (type(policy.features_extractor), type(policy.mlp_extractor), type(policy.value_net))
    numbers = isinstance(space, spaces.Box) and not is_image_space(space)
    shared = policy.share_features_extractor and not policy.use_sde
    return bool(types == (FlattenExtractor, MlpExtractor, nn.Linear) and numbers and shared)


def _has_modes(module: nn.Module) -> bool:
    return isinstance(module, nn.RReLU) or not f"{type(module).__module__}.".startswith(_WITHOUT_MODES)
