"""From runs to the content of a report: cells of group and environment, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.reporting.report.bootstrap import Bootstrap, Interval
from rl_experiments.reporting.report.collecting import Group, Skipped
from rl_experiments.reporting.report.curves import Band, mean_curve
from rl_experiments.reporting.report.normalising import Scale, ScaleTable
from rl_experiments.reporting.report.overall import Overall, summarise_overall
from rl_experiments.reporting.report.reading import Curve, RunData
from rl_experiments.reporting.report.settings import BEST, MEAN, NONE, RANGE, ReportSettings
from rl_experiments.reporting.report.statistics import mean
from rl_experiments.reporting.report.trouble import Trouble, find_trouble

STEPS, HOURS = "steps", "hours"
EVALUATION, TRAINING = "evaluation", "training"
_SECONDS_OF_AN_HOUR = 3600.0


@dataclass(frozen=True)
class Cell:
    """
    One group in one environment.

    :param group: its label
    :param environment: its id
    :param runs: of it
    :param scores: of each run, those that are no number as the worst
    :param score: their mean, with its interval
    :param trouble: runs that went wrong
    :param bands: mean curves, by ``(evaluation or training, steps or hours)``
    """

    group: str
    environment: str
    runs: tuple[RunData, ...]
    scores: np.ndarray
    score: Interval
    trouble: tuple[Trouble, ...]
    bands: dict[tuple[str, str], Band] = field(repr=False)

    @property
    def ranked(self) -> list[RunData]:
        """Its runs, the best first."""
        order = np.argsort(-self.scores, kind="stable")
        return [self.runs[index] for index in order]

    @property
    def best(self) -> RunData:
        """The run with the highest score."""
        return self.ranked[0]

    @property
    def middle(self) -> RunData:
        """The run with the median score; of two, the better."""
        return self.ranked[(len(self.runs) - 1) // 2]

    @property
    def steps_per_second(self) -> float | None:
        """Median over the runs."""
        return _median([run.steps_per_second for run in self.runs])

    @property
    def hours(self) -> float | None:
        """Median training time."""
        return _median([run.seconds / _SECONDS_OF_AN_HOUR if run.seconds else None for run in self.runs])

    @property
    def of_training(self) -> bool:
        """Whether any score is one of training episodes."""
        return any(run.of_training for run in self.runs)


@dataclass(frozen=True)
class Report:
    """
    :param settings: how it was made
    :param folders: of the runs
    :param groups: what is compared
    :param environments: in the order of their names
    :param cells: by group and environment, where there is a run
    :param scales: of the environments that have one
    :param overall: what all environments say together
    :param skipped: runs that are not in it
    """

    settings: ReportSettings
    folders: tuple[str, ...]
    groups: tuple[Group, ...]
    environments: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]
    scales: dict[str, Scale]
    overall: Overall
    skipped: tuple[Skipped, ...]

    @property
    def labels(self) -> list[str]:
        """Of the groups."""
        return [group.label for group in self.groups]

    @property
    def runs(self) -> list[tuple[str, RunData]]:
        """All runs, each with the label of its group."""
        return [(cell.group, run) for cell in self.cells.values() for run in cell.runs]

    @property
    def trouble(self) -> list[Trouble]:
        """Runs that went wrong."""
        return [trouble for cell in self.cells.values() for trouble in cell.trouble]

    def cells_of(self, environment: str) -> list[Cell]:
        """:return: those of an environment, in the order of the groups"""
        return [self.cells[label, environment] for label in self.labels if (label, environment) in self.cells]


def summarise(
    groups: Sequence[Group],
    skipped: Sequence[Skipped],
    table: ScaleTable,
    settings: ReportSettings,
    folders: Sequence[str],
) -> Report:
    """
    :param groups: what is compared
    :param skipped: runs that could not be read
    :param table: of random and reference scores
    :return: the content of the report
    """
    bootstrap = Bootstrap(settings.resamples, settings.confidence, settings.seed)
    groups = [Group(group.label, tuple(_as_wanted(run, settings) for run in group.runs)) for group in groups]
    environments = tuple(sorted({run.environment for group in groups for run in group.runs}))
    cells: dict[tuple[str, str], Cell] = {}
    scales: dict[str, Scale] = {}
    for environment in environments:
        members = {group.label: [run for run in group.runs if run.environment == environment] for group in groups}
        known = table.find(environment)
        worst = _worst([run.score for runs in members.values() for run in runs], known)
        for label, runs in members.items():
            if runs:
                cells[label, environment] = _cell(label, environment, runs, worst, bootstrap)
        scale = _scale(environment, [cells[key].scores for key in cells if key[1] == environment], known, settings)
        if scale is not None:
            scales[environment] = scale
    overall = summarise_overall(
        [group.label for group in groups],
        {key: (cell.scores, [run.curve for run in cell.runs]) for key, cell in cells.items()},
        scales,
        bootstrap,
        normalised=settings.normalise != NONE,
    )
    return Report(settings, tuple(folders), tuple(groups), environments, cells, scales, overall, tuple(skipped))


def _cell(label: str, environment: str, runs: list[RunData], worst: float, bootstrap: Bootstrap) -> Cell:
    scores = np.array([run.score if np.isfinite(run.score) else worst for run in runs])
    curves = {
        EVALUATION: [run.evaluation for run in runs if run.evaluation is not None],
        TRAINING: [run.training for run in runs if run.training is not None],
    }
    bands = {
        (kind, axis): band
        for kind, of_kind in curves.items()
        for axis in (STEPS, HOURS)
        if (band := mean_curve(of_kind, bootstrap, hours=axis == HOURS)) is not None
    }
    trouble = tuple(find_trouble(runs))
    return Cell(label, environment, tuple(runs), scores, bootstrap.interval([scores], mean), trouble, bands)


def _worst(scores: Sequence[float], scale: Scale | None) -> float:
    """:return: what a run counts whose score is no number: a random agent's, or that of the worst run"""
    finite = [score for score in scores if np.isfinite(score)]
    return min([*finite, *([scale.random] if scale else [])], default=0.0)


def _scale(
    environment: str, scores: Sequence[np.ndarray], known: Scale | None, settings: ReportSettings
) -> Scale | None:
    if settings.normalise == NONE:
        return Scale(0.0, 1.0, "none")
    if settings.normalise != RANGE:
        return known
    together = np.concatenate(scores)
    low, high = float(together.min()), float(together.max())
    return Scale(low, high, "range") if high > low else None


def _as_wanted(run: RunData, settings: ReportSettings) -> RunData:
    """:return: the run, cut and scored as the settings say"""
    limit = settings.max_timesteps
    if limit is not None:
        run = replace(run, evaluation=_cut(run.evaluation, limit), training=_cut(run.training, limit))
        if run.evaluation is None and run.training is None:
            raise ConfigurationError(
                f"{run.path} has nothing in its first {limit:,} steps: give a larger --max-timesteps"
            )
        run = replace(run, score=float(run.curve.returns[-1]))
    if settings.score == BEST:
        return replace(run, score=float(np.nanmax(run.curve.returns)))
    if settings.score == MEAN:
        return replace(run, score=float(run.curve.returns.mean()))
    return run


def _cut(curve: Curve | None, limit: int) -> Curve | None:
    if curve is None or curve.steps[0] > limit:
        return None
    kept = curve.steps <= limit
    return Curve(curve.steps[kept], curve.returns[kept], None if curve.hours is None else curve.hours[kept])


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
