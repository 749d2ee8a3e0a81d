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

from rl_experiments.core import yaml_io
from rl_experiments.core.files import replacing, write_text
from rl_experiments.core.names import folder_name
from rl_experiments.tuning.planning import Plan, untuned_hyperparameters
from rl_experiments.tuning.trials import HYPERPARAMETERS, as_json, from_json

_TIMES = ("datetime_start", "datetime_complete", "duration")


@dataclass(frozen=True)
class Report:
    """
    The files about a study.

    :param table: one row for each trial, as CSV
    :param best: the best hyperparameters, for ``-c``, or None where no trial finished
    :param plots: HTML
    """

    table: Path
    best: Path | None
    plots: tuple[Path, ...] = ()


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """:return: the trial with the highest value, None where none finished"""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max(done, key=lambda trial: float(trial.value or 0.0), default=None)


def summary(study: optuna.Study) -> str:
    """:return: how many trials there were, and the best"""
    trials = study.get_trials(deepcopy=False)
    counts = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    shown = ", ".join(f"{count} {state.name.lower()}" for state, count in counts.items() if count)
    finished = sum(count for state, count in counts.items() if state.is_finished())
    lines = [f"Number of finished trials: {finished}" + (f" ({shown})" if shown else "")]
    best = best_trial(study)
    if best is None:
        return "\n".join([*lines, "No trial came to its end"])
    lines += [f"Best trial: {best.number}", f"Value: {best.value}", "Params:"]
    lines += [f"    {name}: {value}" for name, value in best.params.items()]
    lines += ["User attributes:", *(f"    {name}: {value}" for name, value in best.user_attrs.items())]
    return "\n".join(lines)


def write_report(plan: Plan, study: optuna.Study) -> Report:
    """Write the table, the best hyperparameters and, where plotly is installed, the plots."""
    experiment, settings = plan.experiment, plan.settings
    name = (
        f"report_{folder_name(experiment.env)}_{settings.n_trials}-trials-{plan.n_timesteps}"
        f"-{settings.sampler}-{settings.pruner}_{int(time.time())}"
    )
    base = Path(experiment.log_folder) / experiment.algo / name
    table = base.with_name(f"{name}.csv")
    write_table(study, table)
    best = best_trial(study)
    file = None
    if best is not None and HYPERPARAMETERS in best.user_attrs:
        file = base.with_name(f"{name}_best.yml")
        write_text(file, best_block(plan, study, best))
    plots = () if settings.no_optim_plots else tuple(write_plots(study, base))
    return Report(table, file, plots)


def write_table(study: optuna.Study, path: Path) -> None:
    """Write the trials with the columns of Optuna's ``trials_dataframe``."""
    rows = [_row(trial) for trial in study.get_trials(deepcopy=False)]
    seen = dict.fromkeys(name for row in rows for name in row)
    named = [name for prefix in ("params_", "user_attrs_") for name in sorted(seen) if name.startswith(prefix)]
    columns = ["number", "value", *_TIMES, *named, "state"]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def best_block(plan: Plan, study: optuna.Study, best: FrozenTrial) -> str:
    """:return: YAML with what the best trial was trained with, for ``-c``; the budget is the one without ``-n``"""
    experiment = plan.experiment
    values = from_json(best.user_attrs[HYPERPARAMETERS])
    merged = untuned_hyperparameters(experiment, (f"trial {best.number}", values))
    block = {"n_timesteps": plan.n_timesteps, **as_json(merged)}
    if plan.example.configuration.recipe.kwargs:
        block["env_kwargs"] = dict(plan.example.configuration.recipe.kwargs)
    source = plan.untuned.block
    origin = source.origin if source is not None else "nothing"
    comment = (
        f"# {plan.algorithm.name} on {experiment.env}: trial {best.number} of the study {study.study_name},"
        f" over {origin}.\n# Mean return {best.value:.6g} in {experiment.eval_episodes} episodes,"
        f" at the end of {plan.n_timesteps} steps.\n"
    )
    return comment + yaml_io.dump({experiment.env: block})


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


def _row(trial: FrozenTrial) -> dict[str, Any]:
    attributes = {f"user_attrs_{name}": _cell(value) for name, value in trial.user_attrs.items()}
    return {
        "number": trial.number,
        "value": trial.value,
        **{name: getattr(trial, name) for name in _TIMES},
        **{f"params_{name}": value for name, value in trial.params.items()},
        **attributes,
        "state": trial.state.name,
    }


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else value
