"""What a publishing is asked for, and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.evaluation import Evaluation
from rl_experiments.hub.bundle import Bundle
from rl_experiments.hub.licenses import check_license


@dataclass(frozen=True)
class Publication:
    """
    :param bundle: the folder
    :param evaluation: how the agent scored, or None
    :param not_evaluated_because: why there is no score
    :param replay: the video in the folder, or None
    :param no_replay_because: why there is none
    :param url: where the repository is, None where nothing was uploaded
    :param not_uploaded_because: why not
    :param commands: what uploads the folder by hand: the Hub's own command, and ours
    :param interrupted: the signal that cut it short, or None
    """

    bundle: Bundle
    evaluation: Evaluation | None
    not_evaluated_because: str | None
    replay: Path | None
    no_replay_because: str | None
    url: str | None
    not_uploaded_because: str | None
    commands: tuple[str, str]
    interrupted: str | None = None


class PublishingError(RLExperimentsError):
    """A folder that could not be built."""


@dataclass(frozen=True)
class Wishes:
    """
    How the agent is to be scored and shown.

    :param n_eval_episodes: episodes of the evaluation
    :param n_envs: environments of the evaluation
    :param video_length: longest length of the replay, in steps
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides
    :param seed: seed of the evaluation and the replay
    :param render: make a replay
    :param n_threads: torch's number of threads
    :param license: a licence's identifier on the Hub
    :param tags: further tags of the card
    """

    n_eval_episodes: int = 10
    n_envs: int = 1
    video_length: int = 1000
    deterministic: bool | None = None
    seed: int = 0
    render: bool = True
    n_threads: int = 1
    license: str | None = None
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("n_eval_episodes", "n_envs", "video_length"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, but got {getattr(self, name)}")
        if self.license is not None:
            check_license(self.license)
