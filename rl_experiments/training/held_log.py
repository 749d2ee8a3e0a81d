"""What SB3's logger writes while an evaluation is played beside the training: held back until its place is filled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.logger import Logger

_PARTS = ("name_to_value", "name_to_count", "name_to_excluded")
Content = dict[str, dict[str, Any]]
"""Of a logger that was not written yet."""


class HeldLog:
    """
    Holds back the log from the moment of an evaluation on, so that its lines and steps come in the order of a training
    that waits for its evaluations.

    :param logger: of the model
    :param saved: what :attr:`plain` was when a checkpoint was written, from which the training goes on
    """

    def __init__(self, logger: Logger, saved: list[list[Any]] | None = None) -> None:
        self._logger = logger
        self._entries: list[tuple[Content, int]] = [(content, int(steps)) for content, steps in saved or ()]
        self.plain: list[list[Any]] = [] if saved is None else saved
        """The numbers of what is held: first what was recorded before the evaluation."""
        if saved is None:
            self._take(0)
        logger.dump = self._take  # type: ignore[method-assign]

    def release(self, record: Callable[[], None]) -> None:
        """
        Write what was held.

        :param record: writes the evaluation, with what was recorded before it
        """
        current = self._open()
        (before, _), *later = self._entries
        self._set(before)
        record()
        for content, steps in later:
            self._set(content)
            self._logger.dump(steps)
        self._set(current)

    def discard(self) -> None:
        """Write what was held as if there had been no evaluation."""
        current = self._open()
        (before, _), *later = self._entries
        contents = [content for content, _ in later] + [current]
        for part in _PARTS:
            contents[0][part] = {**before[part], **contents[0][part]}
        for content, steps in later:
            self._set(content)
            self._logger.dump(steps)
        self._set(current)

    def _open(self) -> Content:
        """:return: what was recorded and not written yet"""
        del self._logger.dump
        return self._content()

    def _take(self, step: int = 0) -> None:
        """In place of the logger's ``dump``."""
        content = self._content()
        self._entries.append((content, step))
        numbers = [name for name, value in content["name_to_value"].items() if isinstance(value, (int, float))]
        numbers += [name for name, value in content["name_to_value"].items() if isinstance(value, np.number)]
        plain = {part: {name: content[part][name] for name in numbers if name in content[part]} for part in _PARTS}
        self.plain.append([plain, step])
        for part in _PARTS:
            getattr(self._logger, part).clear()

    def _content(self) -> Content:
        return {part: dict(getattr(self._logger, part)) for part in _PARTS}

    def _set(self, content: Content) -> None:
        for part in _PARTS:
            target = getattr(self._logger, part)
            target.clear()
            target.update(content[part])
