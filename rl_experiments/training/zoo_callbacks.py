"""Callbacks that YAML files name under the zoo's names, so that nothing of the zoo is imported for them."""

from __future__ import annotations

from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import TensorBoardOutputFormat

from rl_experiments.core.errors import ConfigurationError


class SaveVecNormalizeCallback(BaseCallback):
    """
    Saves the normalisation statistics.

    :param save_freq: every so many calls
    :param save_path: the folder
    :param name_prefix: each file is kept, as ``<prefix>_<steps>_steps.pkl``; if None, one ``vecnormalize.pkl`` is
        overwritten
    :param verbose: above 1, says so
    """

    def __init__(self, save_freq: int, save_path: str, name_prefix: str | None = None, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.save_freq = save_freq
        self.save_path = Path(save_path)
        self.name_prefix = name_prefix

    def _on_step(self) -> bool:
        normalization = self.model.get_vec_normalize_env()
        if normalization is not None and self.n_calls % self.save_freq == 0:
            name = f"{self.name_prefix}_{self.num_timesteps}_steps.pkl" if self.name_prefix else "vecnormalize.pkl"
            self.save_path.mkdir(parents=True, exist_ok=True)
            normalization.save(str(self.save_path / name))
            if self.verbose > 1:
                print(f"Saving VecNormalize to {self.save_path / name}")
        return True


class RawStatisticsCallback(BaseCallback):
    """Writes return and length of every single training episode to TensorBoard, on an axis of its own."""

    def __init__(self, verbose: int = 0) -> None:
        super().__init__(verbose)
        self._steps = 0
        self._writer: TensorBoardOutputFormat | None = None

    def _init_callback(self) -> None:
        self._writer = next(
            (form for form in self.logger.output_formats if isinstance(form, TensorBoardOutputFormat)), None
        )
        if self._writer is None:
            raise ConfigurationError("RawStatisticsCallback writes to TensorBoard: add --tensorboard-log FOLDER")

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info and self._writer is not None:
                values = {
                    "raw/rollouts/episodic_return": info["episode"]["r"],
                    "raw/rollouts/episodic_length": info["episode"]["l"],
                }
                self._steps += info["episode"]["l"]
                self._writer.write(values, dict.fromkeys(values, ()), self._steps)
        return True
