"""The model card: what the Hub shows, and what leaderboards read."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from rl_experiments.algorithms import get_algorithm
from rl_experiments.config import grammar
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.evaluation import Evaluation
from rl_experiments.hub import card_text
from rl_experiments.hub.bundle import CURVE, Bundle
from rl_experiments.hub.contents import Contents
from rl_experiments.hub.scrubbing import published_arguments, published_env_kwargs, published_hyperparameters
from rl_experiments.runs import LoadedAgent, RunRecord

_TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.jinja"


@dataclass(frozen=True)
class CardFacts:
    """
    What a card says beyond the agent.

    :param evaluation: how the agent scored, or None
    :param not_evaluated_because: why there is no score
    :param replay: name of the video in the bundle, or None
    :param no_replay_because: why there is none
    :param license: a licence's identifier on the Hub, or None
    :param tags: further tags
    """

    evaluation: Evaluation | None
    not_evaluated_because: str | None = None
    replay: str | None = None
    no_replay_because: str | None = None
    license: str | None = None
    tags: Sequence[str] = ()


def front_matter(algorithm: str, env_id: str, facts: CardFacts) -> dict[str, Any]:
    """
    :return: the metadata that the Hub and its leaderboards read; the tag and the dataset are the exact environment id.
        The course's leaderboard reads mean and standard deviation from the value, ``268.50 +/- 78.17``
    """
    tags = [env_id, "deep-reinforcement-learning", "reinforcement-learning", "stable-baselines3", *facts.tags]
    metadata: dict[str, Any] = {"library_name": "stable-baselines3", "tags": list(dict.fromkeys(tags))}
    if facts.license:
        metadata["license"] = facts.license
    if facts.evaluation is not None and facts.evaluation.episodes:
        score = score_text(facts.evaluation)
        metadata["model-index"] = [
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
        ]
    return metadata


def score_text(evaluation: Evaluation) -> str:
    """:return: mean and standard deviation, as leaderboards expect them"""
    return f"{evaluation.mean_reward:.2f} +/- {evaluation.std_reward:.2f}"


def model_card(contents: Contents, bundle: Bundle, facts: CardFacts, files: Sequence[str]) -> str:
    """
    :param files: names of all files of ours in the bundle
    :return: the card of a bundle, as it is without any edits
    """
    agent = contents.agent
    run, algorithm = agent.run, get_algorithm(agent.algorithm)
    env_id = run.env_id.rpartition(":")[2]
    record = _record(agent)
    versions = record.get("versions")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATE.parent),
        keep_trailing_newline=True,
        autoescape=False,
        undefined=jinja2.StrictUndefined,
    )
    body = environment.get_template(_TEMPLATE.name).render(
        algorithm=algorithm,
        bundle=bundle,
        checkpoints=run.checkpoints() if contents.all_checkpoints else [],
        curve=CURVE if (bundle.folder / CURVE).is_file() else None,
        env_id=env_id,
        env_kwargs=_rows(published_env_kwargs(run)),
        evaluation=facts.evaluation,
        git_commit=record.get("git_commit"),
        has_statistics=agent.saved.statistics is not None,
        hyperparameters=_rows(published_hyperparameters(run)),
        model_file=f"{contents.name}.zip",
        no_replay_because=facts.no_replay_because,
        not_evaluated_because=facts.not_evaluated_because,
        organization=bundle.organization or card_text.UNKNOWN_OWNER,
        replay=facts.replay,
        replay_url=_replay_url(bundle, facts.replay),
        saved=agent.saved,
        score=score_text(facts.evaluation) if facts.evaluation is not None else "",
        section=lambda name, caller: card_text.section(name, caller()),
        training_command=training_command(agent, record),
        versions=versions if isinstance(versions, Mapping) else {},
    )
    text = f"{body.rstrip()}\n\n{card_text.files_section(files)}\n"
    return card_text.join(front_matter(agent.algorithm, env_id, facts), text)


def training_command(agent: LoadedAgent, record: Mapping[str, Any]) -> str:
    """:return: a command that trains the agent again"""
    arguments = published_arguments(agent.run)
    words = ["python", "-m", "rl_experiments.train", "--algo", agent.algorithm, "--env", agent.run.env_id]
    seed = record.get("seed", arguments.get("seed"))
    steps = record.get("n_timesteps", arguments.get("n_timesteps"))
    if isinstance(seed, int) and seed >= 0:
        words += ["--seed", str(seed)]
    if isinstance(steps, int) and steps > 0:
        words += ["-n", str(steps)]
    configuration = arguments.get("conf_file")
    if isinstance(configuration, str) and configuration:
        words += ["-c", configuration]
    for flag, pairs in (
        ("--env-kwargs", published_env_kwargs(agent.run)),
        ("-params", arguments.get("hyperparams")),
    ):
        if isinstance(pairs, Mapping) and pairs:
            words += [flag, *(f"{key}:{grammar.to_text(value)}" for key, value in pairs.items())]
    return shlex.join([*words, "-f", "logs/"])


def _record(agent: LoadedAgent) -> dict[str, Any]:
    try:
        return RunRecord.read(agent.run)
    except ConfigurationError:  # a damaged record costs the card its versions, no more
        return {}


def _replay_url(bundle: Bundle, replay: str | None) -> str | None:
    if replay is None or bundle.organization is None:
        return replay
    return f"https://huggingface.co/{bundle.repo_id}/resolve/main/{replay}"


def _rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value, with what would break a Markdown table escaped."""
    return [(name, _cell(grammar.to_text(values[name]))) for name in sorted(values, key=str)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'").replace("\n", " ")
