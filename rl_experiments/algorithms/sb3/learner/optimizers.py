"""Optimizers that update all parameters in a few calls, with the state that the plain ones have."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch.optim import Adam, AdamW, Optimizer


class _Fused(Optimizer):
    """Stored as the plain optimizer is, so that this loads what that saved, and the other way round."""

    def state_dict(self) -> dict[str, Any]:
        """:return: as if it was not fused, and every tensor contiguous"""
        content = super().state_dict()
        groups = [{**group, "fused": None} for group in content["param_groups"]]
        state = {
            key: {name: _plain(value) for name, value in values.items()} for key, values in content["state"].items()
        }
        return {**content, "param_groups": groups, "state": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Fused kernels walk through memory: what they read together must lie alike."""
        content = copy.copy(state_dict)
        content["param_groups"] = [{**group, "fused": True} for group in state_dict["param_groups"]]
        super().load_state_dict(content)
        for parameter, values in self.state.items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape and value.dim() > 0:
                    values[name] = torch.empty_like(parameter).copy_(value)


def _plain(value: Any) -> Any:
    return value.contiguous() if isinstance(value, torch.Tensor) else value


class FusedAdam(_Fused, Adam):
    """Adam in one call."""


class FusedAdamW(_Fused, AdamW):
    """AdamW in one call."""


class JointRMSpropTFLike(RMSpropTFLike):
    """SB3's RMSprop of TensorFlow, each operation on all parameters in one call; the same bits."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; what is rarely used is left to SB3."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            rare = group["momentum"] or group["centered"] or group["weight_decay"]
            if closure is not None or rare or any(not self.state[parameter] for parameter in parameters):
                return super().step(closure)
        for group in self.param_groups:
            self._step(group)
        return None

    def _step(self, group: dict[str, Any]) -> None:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        gradients = [parameter.grad for parameter in parameters]
        squares = [self.state[parameter]["square_avg"] for parameter in parameters]
        for parameter in parameters:
            self.state[parameter]["step"] += 1
        torch._foreach_mul_(squares, group["alpha"])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["alpha"])
        averages = torch._foreach_add(squares, group["eps"])
        torch._foreach_sqrt_(averages)
        torch._foreach_addcdiv_(parameters, gradients, averages, value=-group["lr"])


_ON_DEVICES = ("cpu", "cuda")


def make_joint(optimizer: Optimizer) -> None:
    """
    Let an optimizer of torch or SB3 work on all parameters together, in place; any other stays as it is.

    :param optimizer: that has made no step yet
    """
    kind = type(optimizer)
    if kind is RMSpropTFLike:
        optimizer.__class__ = JointRMSpropTFLike
    if kind not in (Adam, AdamW) or not all(map(_can_be_fused, optimizer.param_groups)):
        return
    optimizer.__class__ = FusedAdam if kind is Adam else FusedAdamW
    optimizer._step_supports_amp_scaling = True  # type: ignore[attr-defined]
    optimizer._need_device_dtype_check_for_fused = True  # type: ignore[attr-defined]
    for group in optimizer.param_groups:
        group["fused"] = True


def _can_be_fused(group: dict[str, Any]) -> bool:
    simple = not (group["capturable"] or group["differentiable"] or group["foreach"] or group["fused"])
    return simple and all(
        parameter.device.type in _ON_DEVICES and parameter.is_floating_point() for parameter in group["params"]
    )
