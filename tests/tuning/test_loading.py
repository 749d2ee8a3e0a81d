"""Trials of the zoo's own studies, read through our search spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from rl_zoo3.hyperparams_opt import HYPERPARAMS_SAMPLER

from rl_experiments import Experiment
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.symbols import Trust, import_symbol
from rl_experiments.tuning.loading import load_trial, trial_of
from rl_experiments.tuning.storage import open_storage

_WITH_NOISE = ("ddpg", "td3")


def study_in(path: Path, name: str = "zoo") -> tuple[str, optuna.Study]:
    storage = str(path / "zoo.log")
    sampler = optuna.samplers.RandomSampler(seed=5)
    return storage, optuna.create_study(
        storage=open_storage(storage), study_name=name, direction="maximize", sampler=sampler
    )


def without_symbols(values: dict[str, Any]) -> dict[str, Any]:
    values = {name: dict(value) if isinstance(value, dict) else value for name, value in values.items()}
    network = values.get("policy_kwargs", {})
    if "activation_fn" in network:
        network["activation_fn"] = import_symbol(network["activation_fn"], Trust(), "activation_fn")
    return values


@pytest.mark.parametrize("algorithm", sorted(HYPERPARAMS_SAMPLER))
@pytest.mark.parametrize("hindsight", [False, True])
def test_a_trial_of_the_zoo_is_what_the_zoo_trained(algorithm: str, hindsight: bool, tmp_path: Path) -> None:
    storage, study = study_in(tmp_path)
    untuned = {"n_envs": 1000, "replay_buffer_class": "HerReplayBuffer" if hindsight else None}
    for number in range(8):
        trial = study.ask()
        arguments = {"using_her_replay_buffer": hindsight, "her_kwargs": {}}
        expected = HYPERPARAMS_SAMPLER[algorithm](trial, 1, 1000, arguments)
        study.tell(trial, number)
        origin, values = load_trial(storage, "zoo", number, algorithm, untuned)
        assert origin == f"trial {number} of zoo"
        noise = expected.pop("action_noise", None)
        found = without_symbols(values)
        kind, std = found.pop("noise_type", None), found.pop("noise_std", None)
        assert (kind is None) == (noise is None) == (std is None)
        if noise is not None:
            assert algorithm in _WITH_NOISE
            assert std == pytest.approx(float(noise._sigma[0]))
        assert found == expected


def test_an_older_trial_with_plain_names(tmp_path: Path) -> None:
    storage, study = study_in(tmp_path)
    study.enqueue_trial({"batch_size": 128, "gamma": 0.98, "vf_coef": 0.4, "net_arch": "small"})
    trial = study.ask()
    trial.suggest_categorical("batch_size", [128])
    trial.suggest_categorical("gamma", [0.98])
    trial.suggest_float("vf_coef", 0, 1)
    trial.suggest_categorical("net_arch", ["small", "huge"])
    study.tell(trial, 1.0)
    _, values = load_trial(storage, None, 0, "ppo")
    assert values == {
        "batch_size": 128,
        "gamma": 0.98,
        "vf_coef": 0.4,
        "policy_kwargs": {"net_arch": {"pi": [64, 64], "vf": [64, 64]}},
    }


def test_a_trial_that_cannot_be_read(tmp_path: Path) -> None:
    storage, study = study_in(tmp_path)
    trial = study.ask()
    trial.suggest_categorical("net_arch", ["huge"])
    study.tell(trial, 1.0)
    trial = study.ask()
    trial.suggest_float("lr_schedul", 0, 1)
    study.tell(trial, 2.0)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    with pytest.raises(ConfigurationError, match=r"trial 0 of zoo cannot be read.*net_arch is 'huge'"):
        load_trial(storage, "zoo", 0, "ppo")
    with pytest.raises(ConfigurationError, match="'lr_schedul' has no meaning"):
        load_trial(storage, "zoo", None, "ppo")
    with pytest.raises(ConfigurationError, match=r"holds no hyperparameters \(fail\)"):
        load_trial(storage, "zoo", 2, "ppo")


def test_what_is_not_there(tmp_path: Path) -> None:
    storage, study = study_in(tmp_path)
    with pytest.raises(NotFoundError, match=r"no trial 0 .*it has none"):
        load_trial(storage, "zoo", 0, "ppo")
    with pytest.raises(NotFoundError, match="came to its end"):
        load_trial(storage, "zoo", None, "ppo")
    study.tell(study.ask(), 1.0)
    for number in (1, -1):
        with pytest.raises(NotFoundError, match="it has 0 to 0"):
            load_trial(storage, "zoo", number, "ppo")
    with pytest.raises(NotFoundError, match="Did you mean 'zoo'"):
        load_trial(storage, "zo", 0, "ppo")
    for name in ("other.log", f"sqlite:///{tmp_path}/other.db"):
        with pytest.raises(NotFoundError, match="There is no storage"):
            load_trial(name, "zoo", 0, "ppo")
    assert not (tmp_path / "other.db").exists()
    optuna.create_study(storage=open_storage(storage), study_name="second")
    with pytest.raises(ConfigurationError, match="2 studies: name one"):
        load_trial(storage, None, 0, "ppo")
    with pytest.raises(ConfigurationError, match="--trial-id needs --storage"):
        trial_of(Experiment(trial_id=0))
    assert trial_of(Experiment(storage=storage)) is None
