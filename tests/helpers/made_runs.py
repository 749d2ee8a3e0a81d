"""Run folders with evaluations and episodes that were made up, as quickly as they can be written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def write_evaluations(folder: Path, steps: Any, results: Any) -> None:
    """Write ``evaluations.npz`` as SB3 does."""
    results = np.asarray(results, dtype=float)
    np.savez(folder / "evaluations.npz", timesteps=np.asarray(steps), results=results, ep_lengths=np.ones_like(results))


def write_monitor(folder: Path, returns: Any, lengths: Any, seconds: Any, number: int = 0, start: float = 1e9) -> None:
    """Write the log of episodes of one environment."""
    lines = [f"{r},{n},{t}" for r, n, t in zip(returns, lengths, seconds, strict=True)]
    head = "#" + json.dumps({"t_start": start, "env_id": "x"})
    (folder / f"{number}.monitor.csv").write_text("\n".join([head, "r,l,t", *lines, ""]))


def write_record(folder: Path, **content: Any) -> None:
    """Write ``run.json``."""
    record = {"schema_version": 1, "status": "finished", "timings": {"training_seconds": 100.0}, **content}
    (folder / "run.json").write_text(json.dumps(record))


def made_run(
    root: Path,
    algorithm: str,
    environment: str,
    number: int,
    scores: Any,
    *,
    steps: int = 1000,
    record: bool = True,
    episodes: int = 20,
) -> Path:
    """
    :param scores: mean return of each evaluation
    :param steps: of the whole training
    :param record: whether it is one of ours; the zoo's have no ``run.json``
    :param episodes: of training
    :return: the folder of a run whose evaluations have two episodes each, one above and one below the score
    """
    folder = root / algorithm / f"{environment}_{number}"
    (folder / environment).mkdir(parents=True)
    scores = np.asarray(scores, dtype=float)
    write_evaluations(folder, np.linspace(steps / len(scores), steps, len(scores)), scores[:, None] + [[-1.0, 1.0]])
    ends = np.linspace(0, len(scores) - 1, episodes)
    values = np.interp(ends, np.arange(len(scores)), scores)
    write_monitor(folder, values, np.full(episodes, steps // episodes), np.linspace(5.0, 100.0, episodes))
    (folder / f"{environment}.zip").touch()
    if record:
        write_record(
            folder,
            algorithm=algorithm,
            environment=environment,
            seed=number,
            steps=steps,
            n_timesteps=steps,
            hyperparameters={"gamma": {"value": 0.9 if number % 2 else 0.99, "origin": "here"}},
        )
    return folder


def made_grid(
    root: Path, algorithms: list[str], environments: list[str], n_seeds: int, n_evaluations: int = 10
) -> None:
    """Make runs that learn along a saturating curve, each algorithm a little worse than the one before."""
    generator = np.random.default_rng(0)
    rise = 1 - np.exp(-np.linspace(0.3, 4, n_evaluations))
    for rank, algorithm in enumerate(algorithms):
        for environment in environments:
            for seed in range(1, n_seeds + 1):
                top = 400 - 40 * rank + 20 * generator.normal()
                made_run(root, algorithm, environment, seed, top * rise + generator.normal(size=n_evaluations))
