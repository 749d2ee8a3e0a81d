"""The rules of early stopping as a callback of SB3."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from rl_experiments.training.early_stopping import StoppingRules


class StoppedEarly(Exception):  # noqa: N818 (nothing is wrong)
    """Ends the training of an algorithm that does not listen to its callbacks (ARS)."""


class EarlyStopping(StoppingRules, BaseCallback):
    """
    Ends the training for the first of its reasons.

    :param stop_at_reward: see :class:`rl_experiments.training.early_stopping.StoppingRules`, as the next two
    :param by_raising: the algorithm ignores what callbacks return: :class:`StoppedEarly` is raised where it stands
    """

    def __init__(
        self,
        stop_at_reward: float | None = None,
        patience: int | None = None,
        max_minutes: float | None = None,
        by_raising: bool = False,
    ) -> None:
        BaseCallback.__init__(self)
        StoppingRules.__init__(self, stop_at_reward, patience, max_minutes)
        self.by_raising = by_raising

    def _on_training_start(self) -> None:
        self.begin()

    def _on_step(self) -> bool:
        goes_on = self.goes_on()
        if not goes_on and self.by_raising:
            raise StoppedEarly
        return goes_on
