"""One HTML page about a study that needs nothing else: pictures as SVG, the trials as a table that sorts."""

from __future__ import annotations

import html
import json
import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from rl_experiments.core.files import write_text
from rl_experiments.tuning.attributes import COMMAND, CURVES, FAILURE, SETTINGS, confirmations, confirmed_scores
from rl_experiments.tuning.confirming import best_trial
from rl_experiments.tuning.drawing import Line, bars, chart, parallel

_MOST_CURVES = 60
"""Trials whose curves are drawn: the best ones."""
_FEWEST_FOR_IMPORTANCES = 4
_COLORS = {"COMPLETE": "#2563a8", "PRUNED": "#b5b5b5", "FAIL": "#c0392b"}
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1100px;padding:0 1em;color:#222}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}svg{max-width:100%;height:auto;background:#fff}
table{border-collapse:collapse;font-size:13px}td,th{border-bottom:1px solid #ddd;padding:3px 8px;text-align:right}
th{cursor:pointer;background:#f4f4f4;position:sticky;top:0}.wide{overflow-x:auto}tr.best{background:#fdf3d0}
svg text{font:12px system-ui,sans-serif;fill:#444}path:hover,polyline:hover{stroke-width:3;stroke-opacity:1}
"""
_SCRIPT = """
document.querySelectorAll("th").forEach(function (head) {
  var column = head.cellIndex;
  head.addEventListener("click", function () {
    var body = head.closest("table").tBodies[0], up = head.dataset.up !== "1";
    head.dataset.up = up ? "1" : "0";
    Array.from(body.rows).sort(function (a, b) {
      var x = a.cells[column].dataset.v, y = b.cells[column].dataset.v, order;
      if (x === "" || y === "") return x === y ? 0 : x === "" ? 1 : -1;
      order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return up ? order : -order;
    }).forEach(function (row) { body.appendChild(row); });
  });
});
"""


def write_page(study: optuna.Study, path: Path) -> None:
    """Write the page about a study."""
    write_text(path, page_of(study))


def page_of(study: optuna.Study) -> str:
    """:return: HTML"""
    trials = study.get_trials(deepcopy=False)
    parts = [
        f"<h1>{html.escape(study.study_name)}</h1>",
        _facts(study, trials),
        "<h2>Scores, in the order of the trials</h2>",
        _history(study, trials),
        "<h2>Importance of the hyperparameters</h2>",
        _importances(study, trials),
        "<h2>Hyperparameters and scores</h2>",
        _parallel(trials),
        "<h2>Evaluations during the trials</h2>",
        _curves(trials),
        "<h2>Confirmation with fresh seeds</h2>",
        _confirmation(study, trials),
        "<h2>Trials</h2>",
        _table(study, trials),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(study.study_name)}</title><style>{_STYLE}</style></head><body>"
        + "\n".join(parts)
        + f"<script>{_SCRIPT}</script></body></html>\n"
    )


def _complete(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    return [
        trial
        for trial in trials
        if trial.state == TrialState.COMPLETE and trial.value is not None and math.isfinite(trial.value)
    ]


def _facts(study: optuna.Study, trials: Sequence[FrozenTrial]) -> str:
    counts = {state.name.lower(): sum(trial.state == state for trial in trials) for state in TrialState}
    lines = [", ".join(f"{count} {name}" for name, count in counts.items() if count) or "no trials"]
    best = best_trial(study)
    if best is not None:
        confirmed = confirmed_scores(study).get(best.number)
        lines.append(
            f"Best trial: {best.number}, score {_short(best.value)}"
            + ("" if confirmed is None else f", confirmed {_short(confirmed)}")
        )
    settings = study.user_attrs.get(SETTINGS)
    if isinstance(settings, dict):
        names = ("n_timesteps", "objective", "seeds", "n_evaluations", "eval_episodes", "seed")
        lines.append(", ".join(f"{name}: {settings.get(name)}" for name in names))
    lines.append(str(study.user_attrs.get(COMMAND, "")))
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines if line)


def _history(study: optuna.Study, trials: Sequence[FrozenTrial]) -> str:
    done = _complete(trials)
    if not done:
        return "<p>No trial came to its end.</p>"
    best, so_far = -math.inf, []
    for trial in done:
        best = max(best, float(trial.value or 0.0))
        so_far.append((float(trial.number), best))
    scored = [(float(trial.number), float(trial.value or 0.0)) for trial in done]
    pruned = [
        (float(trial.number), list(trial.intermediate_values.values())[-1])
        for trial in trials
        if trial.state == TrialState.PRUNED and trial.intermediate_values
    ]
    confirmed = sorted((float(number), score) for number, score in confirmed_scores(study).items())
    lines = [
        Line("best so far", so_far, "#e08e0b"),
        Line("complete", scored, _COLORS["COMPLETE"], dots=True),
        Line("pruned, last score", pruned, _COLORS["PRUNED"], dots=True),
        Line("confirmed", confirmed, "#2e8b57", dots=True),
    ]
    return chart([line for line in lines if line.points], "trial", "score", legend=True)


def _importances(study: optuna.Study, trials: Sequence[FrozenTrial]) -> str:
    if len(_complete(trials)) < _FEWEST_FOR_IMPORTANCES:
        return f"<p>It takes {_FEWEST_FOR_IMPORTANCES} complete trials to tell.</p>"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError, ImportError) as error:
        return f"<p>It cannot be told: {html.escape(str(error))}</p>"
    if not found:
        return "<p>No hyperparameter was sampled in all complete trials.</p>"
    return bars(found)


def _parallel(trials: Sequence[FrozenTrial]) -> str:
    done = _complete(trials)
    names = sorted({name for trial in done for name in trial.params})
    rows = [
        {**{name: "null" if value is None else value for name, value in trial.params.items()}, "score": trial.value}
        for trial in done
    ]
    return parallel(rows, [*names, "score"]) if rows and names else "<p>No trial came to its end.</p>"


def _curves(trials: Sequence[FrozenTrial]) -> str:
    ordered = sorted(trials, key=lambda trial: -math.inf if trial.value is None else trial.value, reverse=True)
    lines = []
    for trial in ordered[:_MOST_CURVES]:
        for seed, points in trial.user_attrs.get(CURVES, {}).items():
            color = _COLORS.get(trial.state.name, "#888")
            lines.append(Line(f"trial {trial.number}, seed {seed}", [(x, y) for x, y in points], color))
    return chart(lines, "steps", "mean return") if lines else "<p>There are none.</p>"


def _confirmation(study: optuna.Study, trials: Sequence[FrozenTrial]) -> str:
    rows = [
        [
            number,
            _short(trials[number].value),
            _short(known.get("score")),
            ", ".join(f"{seed}: {_short(score)}" for seed, score in known.get("scores", {}).items()),
            known.get("failure", ""),
        ]
        for number, known in sorted(confirmations(study).items())
    ]
    return _rows(["trial", "score", "confirmed", "by seed", "failure"], rows) if rows else "<p>None was confirmed.</p>"


def _table(study: optuna.Study, trials: Sequence[FrozenTrial]) -> str:
    names = sorted({name for trial in trials for name in trial.params})
    confirmed, best = confirmed_scores(study), best_trial(study)
    rows = []
    for trial in trials:
        seconds = "" if trial.duration is None else round(trial.duration.total_seconds(), 1)
        rows.append(
            [
                trial.number,
                trial.state.name.lower(),
                _short(trial.value),
                _short(confirmed.get(trial.number)),
                seconds,
                *(_short(trial.params.get(name)) for name in names),
                trial.user_attrs.get(FAILURE, ""),
            ]
        )
    heads = ["trial", "state", "score", "confirmed", "seconds", *names, "failure"]
    return _rows(heads, rows, None if best is None else best.number)


def _rows(heads: Sequence[str], rows: Sequence[Sequence[Any]], best: int | None = None) -> str:
    def cell(value: Any) -> str:
        text = html.escape(str(value))
        return f'<td data-v="{text}">{text}</td>'

    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(
        f"<tr{' class=best' if best is not None and row[0] == best else ''}>{''.join(map(cell, row))}</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _short(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, (str, int)) else json.dumps(value)
