"""SB3's networks with the same weights, which compute the same faster."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn
from torch.nn import functional

FLOAT32, BFLOAT16 = PRECISIONS = ("float32", "bfloat16")


class QuickSequential(nn.Sequential):
    """Layers without the bookkeeping of hooks, of which SB3 has none."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """:return: what the layers make of it"""
        for kind, layer in self._steps:  # type: ignore[union-attr]
            if kind is nn.Linear:
                x = functional.linear(x, layer.weight, layer.bias)
            elif kind is nn.Tanh:
                x = torch.tanh(x)
            elif kind is nn.ReLU:
                x = torch.relu(x)
            else:
                x = layer(x)
        return x


class ChannelsLastCNN(NatureCNN):
    """Convolutions on channels that lie beside each other, which is how processors like them."""

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """:return: features"""
        return super().forward(observations.contiguous(memory_format=torch.channels_last))


class BFloat16CNN(ChannelsLastCNN):
    """The same in numbers of 16 bits; its weights, their gradients and what it returns keep 32."""

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """:return: features"""
        with torch.autocast(observations.device.type, torch.bfloat16):
            return super().forward(observations).float()


class _WeightsApart:
    """
    Where an actor learns through a critic, the critic's own gradients are not needed: SB3 throws them away.
    """

    def forward(self, obs: Any, actions: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """See SB3."""
        if not (torch.is_grad_enabled() and actions.requires_grad):
            return super().forward(obs, actions)  # type: ignore[misc]
        with _held(self):
            return super().forward(obs, actions)  # type: ignore[misc]

    def q1_forward(self, obs: Any, actions: torch.Tensor) -> torch.Tensor:
        """See SB3."""
        if not (torch.is_grad_enabled() and actions.requires_grad):
            return super().q1_forward(obs, actions)  # type: ignore[misc]
        with _held(self):
            return super().q1_forward(obs, actions)  # type: ignore[misc]


class _held:  # noqa: N801
    """While the block runs, the networks of a critic collect no gradients."""

    def __init__(self, critic: Any) -> None:
        self._parameters = critic.held

    def __enter__(self) -> None:
        for parameter in self._parameters:
            parameter.requires_grad_(False)

    def __exit__(self, *error: object) -> None:
        for parameter in self._parameters:
            parameter.requires_grad_(True)


class QuickCritic(_WeightsApart, ContinuousCritic):
    """The critic of SAC, TD3 and DDPG."""


def quicken_networks(module: nn.Module, precision: str) -> None:
    """
    :param module: a policy of SB3, changed in place
    :param precision: one of :data:`PRECISIONS`; of convolutions
    """
    for part in module.modules():
        if type(part) is NatureCNN:
            part.__class__ = BFloat16CNN if precision == BFLOAT16 else ChannelsLastCNN
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        elif type(part) is nn.Sequential:
            part.__class__ = QuickSequential
            part._steps = [(type(layer), layer) for layer in part]  # type: ignore[assignment]
