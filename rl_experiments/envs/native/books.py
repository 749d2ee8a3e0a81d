"""The statistics of episodes, as SB3's Monitor keeps them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from stable_baselines3.common.monitor import ResultsWriter

from rl_experiments.envs.native.sources import Batch


class Books:
    """
    Counts the returns and lengths of whole episodes, and writes ``<i>.monitor.csv``.

    :param folder: where the files go, or None for none
    :param env_id: for their first line
    :param n_envs: number of environments
    :param frames: what one step counts
    :param override: whether the files begin anew
    """

    def __init__(self, folder: Path | None, env_id: str, n_envs: int, frames: int, override: bool) -> None:
        self.started = time.time()
        self._frames = frames
        header: dict[str, float | str] = {"t_start": self.started, "env_id": env_id}
        self._files = [
            ResultsWriter(str(folder / str(index)), header=header, override_existing=override)
            for index in range(n_envs if folder is not None else 0)
            if folder is not None
        ]
        self.returns, self.lengths = [0.0] * n_envs, [0] * n_envs

    def begin(self) -> None:
        """All episodes begin."""
        self.returns, self.lengths = [0.0] * len(self.returns), [0] * len(self.lengths)

    def count(self, batch: Batch) -> None:
        """Add a step, and tell of the episodes that it finished, in their infos."""
        for index, score in enumerate(batch.scores.tolist()):
            self.returns[index] += score
            self.lengths[index] += self._frames
            if batch.finished[index]:
                batch.infos[index]["episode"] = self._finished(index)

    def _finished(self, index: int) -> dict[str, Any]:
        seconds = round(time.time() - self.started, 6)
        episode = {"r": round(self.returns[index], 6), "l": self.lengths[index], "t": seconds}
        self.returns[index], self.lengths[index] = 0.0, 0
        if self._files:
            self._files[index].write_row(episode)
        return episode

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
