"""What SB3 logs, handed to a tracker."""

from __future__ import annotations

import math
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter

from rl_experiments.training.trackers import SafeTracker


class TrackingCallback(BaseCallback):
    """
    Hands everything that SB3 logs to a tracker.

    :param tracker: the tracker
    """

    def __init__(self, tracker: SafeTracker) -> None:
        super().__init__()
        self._tracker = tracker

    def _on_training_start(self) -> None:
        self.logger.output_formats.append(_Output(self._tracker))

    def _on_step(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        """It has no state of the training."""
        return {}


class _Output(KVWriter):
    """What SB3's logger writes to."""

    def __init__(self, tracker: SafeTracker) -> None:
        self._tracker = tracker

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Store the numbers among the values."""
        numbers = {key: value for key, value in key_values.items() if _is_number(value)}
        self._tracker.log(numbers, step)

    def close(self) -> None:
        """Nothing: the training ends the tracker."""


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, (str, bool)) and math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
