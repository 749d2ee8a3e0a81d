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
from torch.nn import functional


class QuickCategoricalDistribution(CategoricalDistribution):
    """Numbers that are none are still found: by the sampling."""

    _logits: torch.Tensor
    _given: torch.Tensor

    def proba_distribution(self, action_logits: torch.Tensor) -> QuickCategoricalDistribution:
        """See SB3."""
        self._given, self._logits = action_logits, functional.log_softmax(action_logits, dim=-1)
        return self

    @property
    def distribution(self) -> Categorical:  # type: ignore[override]
        """The same as torch has it, for whoever asks."""
        return Categorical(logits=self._given)

    def log_prob(self, actions: torch.Tensor) -> torch.Tensor:
        """See SB3."""
        return self._logits.gather(-1, actions.long().unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> torch.Tensor:
        """See SB3; an action that cannot be counts nothing."""
        logits = self._logits.clamp(min=torch.finfo(self._logits.dtype).min)
        return -(logits * self._logits.exp()).sum(-1)

    def sample(self) -> torch.Tensor:
        """See SB3; the same random numbers."""
        return torch.multinomial(functional.softmax(self._given, dim=-1), 1, True).squeeze(-1)

    def mode(self) -> torch.Tensor:
        """See SB3."""
        return torch.argmax(self._given, dim=1)


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
