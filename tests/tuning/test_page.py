"""The page about a study, whatever its trials are like."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from rl_experiments.tuning.attributes import keep_confirmation
from rl_experiments.tuning.page import page_of


def study_with(*trials: optuna.trial.FrozenTrial) -> optuna.Study:
    study = optuna.create_study(study_name="a < b", direction="maximize")
    study.add_trials(trials)
    return study


def pictures_of(page: str) -> list[ET.Element]:
    """Each must be well-formed."""
    return [ET.fromstring(f"<svg{part.partition('</svg>')[0]}</svg>") for part in page.split("<svg")[1:]]


def test_of_nothing_and_of_failures() -> None:
    for trials in ([], [create_trial(state=TrialState.FAIL, user_attrs={"failure": "<script>"})]):
        page = page_of(study_with(*trials))
        assert "<h1>a &lt; b</h1>" in page
        assert "No trial came to its end" in page
        assert '<td data-v="<script>' not in page


def test_of_conditions_empty_choices_and_one_value() -> None:
    kind = CategoricalDistribution([None, "normal"])
    rate = FloatDistribution(1e-6, 1.0, log=True)
    trials = [
        create_trial(
            value=value,
            params={"noise_type": None, "rate": 10.0**-index, **({"std": 0.1} if index == 1 else {})},
            distributions={
                "noise_type": kind,
                "rate": rate,
                **({"std": FloatDistribution(0, 1)} if index == 1 else {}),
            },
            user_attrs={"curves": {"7": [[10, value], [20, value]]}},
        )
        for index, value in enumerate([1.0, float("-inf"), 3.0, 2.0, 2.5])
    ]
    study = study_with(*trials)
    keep_confirmation(study, 2, {"scores": {"9": 1.5}, "runs": {}, "score": 1.5})
    page = page_of(study)
    assert "Best trial: 2, score 3, confirmed 1.5" in page
    history, importances, parallel, curves = pictures_of(page)
    assert [len(list(picture.iter("polyline"))) for picture in (history, parallel, curves)] == [1, 4, 5]
    assert len(list(importances.iter("rect"))) >= 1
    assert page.count("<tr") == 2 + 1 + len(trials)
