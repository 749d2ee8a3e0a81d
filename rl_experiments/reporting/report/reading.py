"""Reading runs for a report: evaluations, training episodes and the record of each, those of the zoo included."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.files import open_plain
from rl_experiments.core.suggest import hint
from rl_experiments.reporting.report.episodes import Episodes, ends_of_stretches, in_stretches, read_episodes
from rl_experiments.runs import ListedRun, Run
from rl_experiments.runs.record import read_record

_LARGEST = 256 << 20
_LAST_EPISODES = 100
"""Training episodes whose mean is a score, as in SB3's log."""
_POINTS = 100
"""Of a training curve."""
_SECONDS_OF_AN_HOUR = 3600.0


@dataclass(frozen=True)
class Curve:
    """
    :param steps: ascending
    :param returns: the mean return at each
    :param hours: since the training began, where it is known
    """

    steps: np.ndarray
    returns: np.ndarray
    hours: np.ndarray | None = None


@dataclass(frozen=True)
class RunData:
    """
    What a report knows of a run.

    :param listed: as a list of runs shows it
    :param source: the folder of runs that it is from
    :param record: what ``run.json`` holds
    :param seed: of the experiment
    :param evaluation: mean return of each evaluation
    :param training: mean return of stretches of training episodes
    :param score: mean return of the last evaluation; without any, of the last training episodes
    :param n_episodes: how many the score is a mean of
    :param seconds: of training, where they are known
    :param n_not_finite: returns that are NaN or infinite
    :param began: when the training began, in seconds since 1970, where that is known
    """

    listed: ListedRun
    source: str
    record: Mapping[str, Any] = field(repr=False)
    seed: int | None
    evaluation: Curve | None = field(repr=False)
    training: Curve | None = field(repr=False)
    score: float
    n_episodes: int
    seconds: float | None
    n_not_finite: int
    began: float | None = None

    @property
    def algorithm(self) -> str:
        """As its folder says."""
        return self.listed.algorithm

    @property
    def environment(self) -> str:
        """The environment's id."""
        return self.listed.environment

    @property
    def path(self) -> Path:
        """Its folder."""
        return Path(self.listed.path)

    @property
    def of_training(self) -> bool:
        """Whether its score is one of training episodes, for want of an evaluation."""
        return self.evaluation is None

    @property
    def curve(self) -> Curve:
        """Of the evaluations, or else of the training episodes."""
        curve = self.training if self.evaluation is None else self.evaluation
        assert curve is not None
        return curve

    @property
    def steps(self) -> int:
        """Environment steps that were done, as far as any file tells."""
        return self.listed.steps or int(self.curve.steps[-1])

    @property
    def steps_per_second(self) -> float | None:
        """Of the whole training, with its evaluations."""
        return self.steps / self.seconds if self.seconds else None

    @property
    def name(self) -> str:
        """Short, for a legend."""
        return f"seed {self.seed}" if self.seed is not None else f"run {self.listed.number}"

    @cached_property
    def hyperparameters(self) -> dict[str, Any]:
        """All of them, as they were resolved, by name."""
        resolved = self.record.get("hyperparameters")
        if resolved:
            return {name: item.get("value") if isinstance(item, Mapping) else item for name, item in resolved.items()}
        run = Run(self.path, self.listed.algorithm, self.listed.environment_name)
        try:
            return dict(run.hyperparameters)
        except RLExperimentsError:
            return {}


def read_run(listed: ListedRun, source: str) -> RunData:
    """
    :param listed: the run
    :param source: the folder of runs that it is from
    :raises RLExperimentsError: if one of its files is damaged, or it has neither an evaluation nor an episode
    """
    run = Run(Path(listed.path), listed.algorithm, listed.environment_name)
    record = read_record(listed.path)
    steps, results = read_evaluations(run.evaluations_file)
    episodes = read_episodes(run.monitor_files())
    if not len(steps) and episodes is None:
        raise ConfigurationError(f"it has neither an evaluation nor a whole training episode{_why(listed)}")
    total = listed.steps or (int(steps[-1]) if len(steps) else None)
    training = _training_curve(episodes, total)
    seconds = _seconds(record, episodes)
    evaluation = Curve(steps, results.mean(axis=1), _hours(steps, training, seconds)) if len(steps) else None
    last = results[-1] if evaluation is not None else episodes.returns[-_LAST_EPISODES:] if episodes else np.empty(0)
    n_not_finite = int((~np.isfinite(results)).sum()) + (int((~np.isfinite(episodes.returns)).sum()) if episodes else 0)
    seed = record.get("seed") if record else _seed(run)
    return RunData(
        listed,
        source,
        record,
        seed if isinstance(seed, int) else None,
        evaluation,
        training,
        float(last.mean()),
        len(last),
        seconds,
        n_not_finite,
        listed.started or (episodes.began if episodes else None) or None,
    )


def _why(listed: ListedRun) -> str:
    return f" ({listed.state}{f': {listed.reason}' if listed.reason else ''})"


def read_evaluations(file: Path, key: str = "results") -> tuple[np.ndarray, np.ndarray]:
    """
    :param file: ``evaluations.npz``
    :param key: what of it: ``results``, ``ep_lengths`` or ``successes``
    :return: steps ``(n,)`` and values ``(n, episodes)``; none where there is no such file
    :raises ConfigurationError: if it is damaged, or has nothing of that name
    """
    try:
        with open_plain(file, _LARGEST) as stream:
            content = io.BytesIO(stream.read())
    except FileNotFoundError:
        return np.empty(0), np.empty((0, 0))
    try:
        with zipfile.ZipFile(content) as archive:
            if sum(member.file_size for member in archive.infolist()) > _LARGEST:
                raise ValueError("it would be too large")
        with np.load(content, allow_pickle=False) as arrays:
            steps = np.asarray(arrays["timesteps"], dtype=float)
            if key not in arrays:
                raise ValueError(f"it has no '{key}'.{hint(key, arrays.files)}")
            results = np.asarray(arrays[key], dtype=float)
        results = results.reshape(len(steps), -1)
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds
        reason = str(error) or type(error).__name__
        raise ConfigurationError(f"{file.name} is damaged: {reason}") from None
    if not results.size:
        return np.empty(0), np.empty((0, 0))
    order = np.unique(steps[::-1], return_index=True)[1]  # of two at one step, the later
    return steps[::-1][order], results[::-1][order]


def _training_curve(episodes: Episodes | None, total: int | None) -> Curve | None:
    if episodes is None:
        return None
    return Curve(
        ends_of_stretches(episodes.steps(total), _POINTS),
        in_stretches(episodes.returns, _POINTS),
        ends_of_stretches(episodes.seconds, _POINTS) / _SECONDS_OF_AN_HOUR,
    )


def _seconds(record: Mapping[str, Any], episodes: Episodes | None) -> float | None:
    seconds = record.get("timings", {}).get("training_seconds")
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and seconds > 0:
        return float(seconds)
    return float(episodes.seconds[-1]) if episodes is not None and episodes.seconds[-1] > 0 else None


def _hours(steps: np.ndarray, training: Curve | None, seconds: float | None) -> np.ndarray | None:
    """:return: when the evaluations were, from the training episodes around them, or else at an even pace"""
    if training is not None and training.hours is not None and len(training.steps) > 1:
        hours = np.interp(steps, np.r_[0.0, training.steps], np.r_[0.0, training.hours])
        return np.asarray(hours)
    return steps / steps[-1] * seconds / _SECONDS_OF_AN_HOUR if seconds and steps[-1] > 0 else None


def _seed(run: Run) -> Any:
    try:
        return run.arguments.get("seed")
    except (RLExperimentsError, OSError):
        return None
