"""The model card: what the Hub shows, and what leaderboards read."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from rl_experiments.algorithms import get_algorithm
from rl_experiments.config import grammar
from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.names import model_name
from rl_experiments.evaluation import Evaluation
from rl_experiments.hub.bundle import Bundle, published_env_kwargs
from rl_experiments.runs import LoadedAgent, RunRecord

_TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.jinja"


def front_matter(algorithm: str, env_id: str, score: str) -> dict[str, Any]:
    """
    :param score: ``268.50 +/- 78.17``; the course's leaderboard reads mean and standard deviation from it
    :return: the metadata that the Hub and its leaderboards read; the tag and the dataset are the exact environment id
    """
    return {
        "library_name": "stable-baselines3",
        "tags": [env_id, "deep-reinforcement-learning", "reinforcement-learning", "stable-baselines3"],
        "model-index": [
            {
                "name": get_algorithm(algorithm).class_name,
                "results": [
                    {
                        "task": {"type": "reinforcement-learning", "name": "reinforcement-learning"},
                        "dataset": {"name": env_id, "type": env_id},
                        "metrics": [{"type": "mean_reward", "value": score, "name": "mean_reward", "verified": False}],
                    }
                ],
            }
        ],
    }


def score_text(evaluation: Evaluation) -> str:
    """:return: mean and standard deviation, as leaderboards expect them"""
    return f"{evaluation.mean_reward:.2f} +/- {evaluation.std_reward:.2f}"


def model_card(
    agent: LoadedAgent, bundle: Bundle, evaluation: Evaluation, replay: str | None, no_replay_because: str | None
) -> str:
    """
    :param replay: name of the video in the bundle, or None
    :param no_replay_because: why there is none
    :return: the card, with its metadata at the very beginning
    """
    algorithm = get_algorithm(agent.algorithm)
    env_id = agent.run.env_id.rpartition(":")[2]
    try:
        record = RunRecord.read(agent.run)
    except ConfigurationError:  # a damaged record costs the card its versions, no more
        record = {}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATE.parent), keep_trailing_newline=True, autoescape=False
    )
    body = environment.get_template(_TEMPLATE.name).render(
        algorithm=algorithm,
        bundle=bundle,
        env_id=env_id,
        env_kwargs=_rows(published_env_kwargs(agent)),
        evaluation=evaluation,
        has_statistics=agent.saved.statistics is not None,
        hyperparameters=_rows(agent.run.hyperparameters),
        model_file=f"{model_name(agent.algorithm, agent.run.env_id)}.zip",
        no_replay_because=no_replay_because,
        organization=bundle.organization or "YOUR_HF_USERNAME",
        record=record,
        replay=replay,
        saved=agent.saved,
        score=score_text(evaluation),
        training_command=training_command(agent, record),
        versions=record.get("versions") or {},
    )
    return f"---\n{yaml_io.dump(front_matter(agent.algorithm, env_id, score_text(evaluation)))}---\n{body}"


def training_command(agent: LoadedAgent, record: Mapping[str, Any]) -> str:
    """:return: a command that trains the agent again"""
    arguments = agent.run.arguments
    words = ["python", "-m", "rl_experiments.train", "--algo", agent.algorithm, "--env", agent.run.env_id]
    seed = record.get("seed", arguments.get("seed"))
    steps = record.get("n_timesteps", arguments.get("n_timesteps"))
    if isinstance(seed, int) and seed >= 0:
        words += ["--seed", str(seed)]
    if isinstance(steps, int) and steps > 0:
        words += ["-n", str(steps)]
    for flag, pairs in (("--env-kwargs", published_env_kwargs(agent)), ("-params", arguments.get("hyperparams"))):
        if isinstance(pairs, Mapping) and pairs:
            words += [flag, *(f"{key}:{grammar.to_text(value)}" for key, value in pairs.items())]
    return shlex.join([*words, "-f", "logs/"])


def _rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value, with what would break a Markdown table escaped."""
    return [(name, grammar.to_text(values[name]).replace("|", "\\|").replace("\n", " ")) for name in sorted(values)]
