"""SB3's rollout buffer, whose batches are cut out of tensors that are made once for all of them."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples

_NAMES = ("observations", "actions", "values", "log_probs", "advantages", "returns")


class QuickRolloutBuffer(RolloutBuffer):
    """The same samples in the same order; on a GPU it is SB3's own."""

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """See SB3."""
        if self.device.type != "cpu" or not self.full:
            yield from super().get(batch_size)
            return
        total = self.buffer_size * self.n_envs
        indices = torch.from_numpy(np.random.permutation(total))
        if not self.generator_ready:
            for name in _NAMES:
                setattr(self, name, self.swap_and_flatten(getattr(self, name)))
            self.generator_ready = True
            self._tensors = self._make_tensors()
        for batch in indices.split(batch_size or total):
            observations, *others = (tensor[batch] for tensor in self._tensors)
            yield RolloutBufferSamples(self._restored(observations), *others)

    def _make_tensors(self) -> list[torch.Tensor]:
        observations = self.observations
        if _is_picture(observations):
            # As convolutions like them; a byte is moved faster than the number that it becomes.
            observations = np.ascontiguousarray(observations.transpose(0, 2, 3, 1))
        numbers = [getattr(self, name).reshape(len(observations)) for name in _NAMES[2:]]
        return [torch.from_numpy(array) for array in (observations, self.actions.astype(np.float32), *numbers)]

    def _restored(self, observations: torch.Tensor) -> torch.Tensor:
        return observations.permute(0, 3, 1, 2) if _is_picture(observations) else observations


def _is_picture(array: np.ndarray | torch.Tensor) -> bool:
    return array.ndim == 4 and array.dtype in (np.uint8, torch.uint8)
