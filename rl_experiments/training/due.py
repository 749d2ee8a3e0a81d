"""When something is due by steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Due:
    """
    When something is due by steps: at the first moment at or after each multiple.

    :param freq: of so many steps; never if 0 or below
    :param last: steps at which it was done last
    """

    freq: int
    last: int = 0

    def is_due(self, steps: int) -> bool:
        """Whether a multiple was passed since the last time."""
        return self.freq > 0 and steps // self.freq > self.last // self.freq

    @property
    def next(self) -> int | None:
        """The next multiple."""
        return (self.last // self.freq + 1) * self.freq if self.freq > 0 else None

    def pass_by(self, steps: int) -> None:
        """It was done, or was not due."""
        self.last = max(self.last, steps)
