"""The log of training episodes, in the form of SB3's Monitor."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from rl_experiments.algorithms.tabular.learning import Episodes


class EpisodeLog:
    """
    Appends many episodes at once: Monitor itself would take longer than the episodes.

    :param path: ``0.monitor.csv``
    :param env_id: for its first line
    :param resumed: whether to go on with the file that is there; if not, it is emptied
    """

    def __init__(self, path: Path, env_id: str, resumed: bool) -> None:
        self._path = path
        began = time.time()
        if resumed and path.is_file():
            with path.open(encoding="utf-8") as stream:
                began = float(json.loads(stream.readline()[1:]).get("t_start", began))
        self._began = began
        self._file = path.open("a" if resumed else "w", encoding="utf-8", newline="\n")
        if self._file.tell() == 0:
            self._file.write(f"#{json.dumps({'t_start': began, 'env_id': env_id})}\nr,l,t\n")

    @property
    def size(self) -> int:
        """Bytes that are on disk."""
        self._file.flush()
        return os.path.getsize(self._path)

    def add(self, episodes: Episodes) -> None:
        """Write the episodes; they have the time of now."""
        seconds = round(time.time() - self._began, 6)
        rows = zip(episodes.returns.round(6).tolist(), episodes.lengths.tolist(), strict=True)
        self._file.write("".join([f"{total},{length},{seconds}\n" for total, length in rows]))

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._file.close()
