"""What a study leaves behind: lines on the terminal, a table of its trials, its best hyperparameters, and plots."""

from __future__ import annotations

import csv
import importlib.util
import json
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from rl_experiments.core.files import replacing, write_text
from rl_experiments.core.names import folder_name
from rl_experiments.tuning.attributes import HYPERPARAMETERS, confirmations, confirmed_scores
from rl_experiments.tuning.confirming import best_trial
from rl_experiments.tuning.exporting import best_block
from rl_experiments.tuning.page import write_page
from rl_experiments.tuning.planning import Plan

_TIMES = ("datetime_start", "datetime_complete", "duration")
_LONG_ATTRIBUTES = ("curves", "process", "heartbeat")
"""Of trials: nothing for a table."""


@dataclass(frozen=True)
class Report:
    """
    The files about a study.

    :param table: one row for each trial, as CSV
    :param page: a self-contained HTML page
    :param best: the best hyperparameters, for ``-c``, or None where no trial finished
    :param plots: HTML, as the zoo draws them
    """

    table: Path
    page: Path
    best: Path | None
    plots: tuple[Path, ...] = ()

    @property
    def files(self) -> list[Path]:
        """All of them."""
        return [path for path in (self.table, self.best, self.page, *self.plots) if path is not None]


def summary(study: optuna.Study) -> str:
    """:return: how many trials there were, and the best"""
    trials = study.get_trials(deepcopy=False)
    counts = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    shown = ", ".join(
        f"{count} {state.name.lower()}" for state, count in counts.items() if count and state != TrialState.WAITING
    )
    finished = sum(count for state, count in counts.items() if state.is_finished())
    lines = [f"Number of finished trials: {finished}" + (f" ({shown})" if shown else "")]
    if counts[TrialState.WAITING]:
        lines.append(f"To be tried again: {counts[TrialState.WAITING]}")
    best = best_trial(study)
    if best is None:
        return "\n".join([*lines, "No trial came to its end"])
    lines += [f"Best trial: {best.number}", f"Value: {best.value}"]
    confirmed = confirmed_scores(study)
    if best.number in confirmed:
        scores = confirmations(study)[best.number]["scores"]
        each = ", ".join(f"{score:.2f}" for score in scores.values())
        lines.append(f"Confirmed: {confirmed[best.number]} (median of {len(scores)} fresh seeds: {each})")
    lines += ["Params:", *(f"    {name}: {value}" for name, value in best.params.items())]
    attributes = {name: value for name, value in best.user_attrs.items() if name not in _LONG_ATTRIBUTES}
    lines += ["User attributes:", *(f"    {name}: {value}" for name, value in attributes.items())]
    return "\n".join(lines)


def write_report(plan: Plan, study: optuna.Study, like_the_zoo: bool = False) -> Report:
    """
    Write the table, the page and the best hyperparameters into the folder of the study.

    :param like_the_zoo: table and hyperparameters go where the zoo has its table, under its name, and so do, where
        plotly is installed, its plots
    """
    experiment, settings = plan.experiment, plan.settings
    name = (
        f"report_{folder_name(experiment.env)}_{settings.n_trials}-trials-{plan.n_timesteps}"
        f"-{settings.sampler}-{settings.pruner}_{int(time.time())}"
    )
    base = plan.folder.parent / name
    table = base.with_name(f"{name}.csv") if like_the_zoo else plan.folder / "trials.csv"
    write_table(study, table)
    best = best_trial(study)
    file = None
    if best is not None and HYPERPARAMETERS in best.user_attrs:
        file = base.with_name(f"{name}_best.yml") if like_the_zoo else plan.folder / "best.yml"
        write_text(file, best_block(plan.experiment, study, best))
    page = plan.folder / "report.html"
    write_page(study, page)
    plots = tuple(write_plots(study, base)) if like_the_zoo and not settings.no_optim_plots else ()
    return Report(table, page, file, plots)


def write_table(study: optuna.Study, path: Path) -> None:
    """Write the trials with the columns of Optuna's ``trials_dataframe``."""
    confirmed = confirmed_scores(study)
    rows = [_row(trial, confirmed.get(trial.number)) for trial in study.get_trials(deepcopy=False)]
    seen = dict.fromkeys(name for row in rows for name in row)
    named = [name for prefix in ("params_", "user_attrs_") for name in sorted(seen) if name.startswith(prefix)]
    columns = ["number", "value", *(["confirmed"] if confirmed else []), *_TIMES, *named, "state"]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def write_plots(study: optuna.Study, base: Path) -> Iterable[Path]:
    """Draw the history and the importances where plotly is installed, and there is enough to draw."""
    if importlib.util.find_spec("plotly") is None:
        return
    from optuna.visualization import plot_optimization_history, plot_param_importances

    for name, plot in (("history", plot_optimization_history), ("importances", plot_param_importances)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # few trials make poor importances; the plot shows how many there were
                figure: Any = plot(study)
        except (ValueError, RuntimeError, ImportError):
            continue  # too few trials, or a package of Optuna's own is missing
        path = base.with_name(f"{base.name}_{name}.html")
        with replacing(path) as temporary:
            figure.write_html(str(temporary))
        yield path


def _row(trial: FrozenTrial, confirmed: float | None) -> dict[str, Any]:
    attributes = {
        f"user_attrs_{name}": _cell(value) for name, value in trial.user_attrs.items() if name not in _LONG_ATTRIBUTES
    }
    return {
        "number": trial.number,
        "value": trial.value,
        **({} if confirmed is None else {"confirmed": confirmed}),
        **{name: getattr(trial, name) for name in _TIMES},
        **{f"params_{name}": value for name, value in trial.params.items()},
        **attributes,
        "state": trial.state.name,
    }


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else value
