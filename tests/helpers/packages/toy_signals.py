"""A callback that sends a signal to its own process at an exact step."""

from __future__ import annotations

import signal
from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback


class SignalAt(BaseCallback):
    """
    :param steps: when
    :param file: it is sent only if this file is there, which then goes
    """

    def __init__(self, steps: int, file: str) -> None:
        super().__init__()
        self.steps = steps
        self.file = file

    def _on_step(self) -> bool:
        file = Path(self.file)
        if self.num_timesteps >= self.steps and file.is_file():
            file.unlink()
            signal.raise_signal(signal.SIGTERM)
        return True
