"""Making a report: runs are read, summarised and written in all formats that are wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.files import check_can_write
from rl_experiments.core.progress import progress_bar
from rl_experiments.reporting.report import plotting
from rl_experiments.reporting.report.collecting import Skipped, by_algorithm, collect, compared, folders_of
from rl_experiments.reporting.report.filters import parse_condition, select
from rl_experiments.reporting.report.losses import collect_losses
from rl_experiments.reporting.report.normalising import built_in_table, read_table
from rl_experiments.reporting.report.reading import RunData
from rl_experiments.reporting.report.settings import FIGURES, NUMBERS, ReportSettings
from rl_experiments.reporting.report.summarising import Report, summarise

DEFAULT_FOLDER = "logs"


@dataclass(frozen=True)
class ReportResult:
    """
    :param report: its content
    :param files: what was written
    """

    report: Report
    files: tuple[Path, ...]


def report_runs(
    *folders: str | os.PathLike[str],
    say: Callable[[str], None] | None = None,
    show_progress: bool = False,
    **settings: Any,
) -> ReportResult:
    """
    Say what a set of runs shows, with intervals, in one HTML file or in others.

    :param folders: of runs; ours and the zoo's. Without any: ``logs``, or the folders that are compared
    :param say: takes a line for each run that is not in the report
    :param show_progress: draw a bar, if the output is a terminal
    :param settings: fields of :class:`rl_experiments.reporting.report.settings.ReportSettings`
    :raises RLExperimentsError: if there is no run, or a setting cannot work
    """
    return make_report([os.fspath(folder) for folder in folders], ReportSettings(**settings), say, show_progress)


def make_report(
    folders: Sequence[str],
    settings: ReportSettings,
    say: Callable[[str], None] | None = None,
    show_progress: bool = False,
) -> ReportResult:
    """See :func:`report_runs`."""
    output = Path(settings.output)
    check_can_write(output, "--output")
    among = folders_of(settings.compare)
    if not folders:
        folders = among if among and len(among) == len(settings.compare) else [DEFAULT_FOLDER]
    runs, skipped = read_runs([*folders, *among], settings, say, show_progress)
    groups = compared(runs, settings.compare) if settings.compare else by_algorithm(runs)
    table = read_table(settings.scores) if settings.scores else built_in_table()
    report = summarise(groups, skipped, table, settings, folders)
    curves = plotting.curves(report, collect_losses(report) if settings.losses else None)
    return ReportResult(report, tuple(_write(report, curves, output)))


def read_runs(
    folders: Sequence[str], settings: ReportSettings, say: Callable[[str], None] | None, show_progress: bool
) -> tuple[list[RunData], list[Skipped]]:
    """
    :return: the runs that fulfil the conditions, and those that could not be read
    :raises RLExperimentsError: if there is none
    """
    conditions = [parse_condition(text) for text in settings.filter]
    with progress_bar(1, "reading", "run", show_progress) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        runs, skipped = collect(folders, show)
    for one in skipped:
        if say is not None:
            say(f"Skipped {one.path}: {one.reason}")
    if not runs:
        first = f"{skipped[0].path}: {skipped[0].reason}"
        raise NotFoundError(f"None of the {len(skipped)} runs in {', '.join(folders)} can be shown: {first}")
    return select(runs, conditions), skipped


def _write(report: Report, curves: dict[str, Any], output: Path) -> list[Path]:
    from rl_experiments.reporting.report.exporting import write_numbers
    from rl_experiments.reporting.report.figures import write_figures
    from rl_experiments.reporting.report.page import write_page

    formats = report.settings.format
    files = []
    if "html" in formats:
        target = output if output.suffix in (".html", ".htm") else output.with_suffix(".html")
        write_page(report, curves, target)
        files.append(target)
    numbers = [name for name in NUMBERS if name in formats]
    if len(formats) == 1 and output.suffix.lstrip(".") in numbers:  # -o report.json: this very file
        return [*files, *write_numbers(report, curves, numbers, output.parent, {numbers[0]: output})]
    folder = output.with_suffix("") if output.suffix else output
    if numbers or any(name in formats for name in FIGURES):
        if folder.is_file():
            raise ConfigurationError(f"--output: the folder {folder} is a file")
        folder.mkdir(parents=True, exist_ok=True)
    files += write_numbers(report, curves, numbers, folder)
    return files + write_figures(report, curves, [name for name in FIGURES if name in formats], folder)
