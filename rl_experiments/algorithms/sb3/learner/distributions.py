"""Distributions of actions without the checks of every value that torch makes each time one is built."""

from __future__ import annotations

import math
from typing import Any

import torch
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    SquashedDiagGaussianDistribution,
)
from torch.distributions import Categorical, Normal


class QuickCategoricalDistribution(CategoricalDistribution):
    """Numbers that are none are still found: by the sampling."""

    def proba_distribution(self, action_logits: torch.Tensor) -> QuickCategoricalDistribution:
        """See SB3."""
        self.distribution = Categorical(logits=action_logits, validate_args=False)
        return self


class _QuickGaussian(DiagGaussianDistribution):
    def proba_distribution(self, mean_actions: torch.Tensor, log_std: torch.Tensor) -> Any:
        """See SB3; where the sum tells that some number is none, torch says so as ever."""
        finite = math.isfinite(float(mean_actions.detach().sum()))
        std = torch.ones_like(mean_actions) * log_std.exp()
        self.distribution = Normal(mean_actions, std, validate_args=False if finite else None)
        return self


class QuickDiagGaussianDistribution(_QuickGaussian):
    """A Gaussian."""


class QuickSquashedDiagGaussianDistribution(_QuickGaussian, SquashedDiagGaussianDistribution):
    """A Gaussian through a tanh."""


QUICK = {
    CategoricalDistribution: QuickCategoricalDistribution,
    DiagGaussianDistribution: QuickDiagGaussianDistribution,
    SquashedDiagGaussianDistribution: QuickSquashedDiagGaussianDistribution,
}
