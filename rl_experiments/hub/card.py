"""The model card: what the Hub shows, and what leaderboards read."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from rl_experiments.algorithms import get_algorithm
from rl_experiments.algorithms.registry import SBX
from rl_experiments.config import grammar
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.evaluation import Evaluation
from rl_experiments.hub import card_text
from rl_experiments.hub.bundle import CURVE, Bundle
from rl_experiments.hub.contents import Contents
from rl_experiments.hub.scrubbing import (
    published_arguments,
    published_env_kwargs,
    published_hyperparameters,
    scrubbed_text,
)
from rl_experiments.runs import LoadedAgent, RunRecord

_DEFAULTS = {"--eval-freq": 25_000, "--eval-episodes": 5, "--n-eval-envs": 1}
_TEMPLATES = Path(__file__).parent / "templates"


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
    :param evaluated_with: arguments of the environment that the agent was scored with, and not trained
    """

    evaluation: Evaluation | None
    not_evaluated_because: str | None = None
    replay: str | None = None
    no_replay_because: str | None = None
    license: str | None = None
    tags: Sequence[str] = ()
    evaluated_with: Mapping[str, Any] = field(default_factory=dict)


def front_matter(contents: Contents, bundle: Bundle, facts: CardFacts) -> dict[str, Any]:
    """:return: the metadata of the card, with the tags and the licence that were wished for"""
    has_score = facts.evaluation is not None and facts.evaluation.episodes
    metadata = contents.front_matter(bundle, score_text(facts.evaluation) if has_score else None)
    metadata["tags"] = list(dict.fromkeys([*metadata["tags"], *facts.tags]))
    return {**metadata, **({"license": facts.license} if facts.license else {})}


def score_text(evaluation: Evaluation | None) -> str:
    """:return: mean and standard deviation, as leaderboards expect them"""
    assert evaluation is not None
    return f"{evaluation.mean_reward:.2f} +/- {evaluation.std_reward:.2f}"


def model_card(contents: Contents, bundle: Bundle, facts: CardFacts, files: Sequence[str]) -> str:
    """
    :param files: names of all files of ours in the bundle
    :return: the card of a bundle, as it is without any edits
    """
    agent = contents.agent
    run, algorithm = agent.run, get_algorithm(agent.algorithm)
    env_id = agent.recipe.env_id.rpartition(":")[2]
    record = _record(agent)
    versions = record.get("versions")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        keep_trailing_newline=True,
        autoescape=False,
        undefined=jinja2.StrictUndefined,
    )
    body = environment.get_template(contents.template).render(
        adapted=agent.adapted,
        algorithm=algorithm,
        bundle=bundle,
        checkpoints=contents.checkpoints(),
        curve=CURVE if (bundle.folder / CURVE).is_file() else None,
        env_id=env_id,
        env_kwargs=_rows(published_env_kwargs(run)),
        evaluation=facts.evaluation,
        goal_in_observation=agent.recipe.goal_in_observation,
        git_commit=record.get("git_commit"),
        has_statistics=agent.saved.statistics is not None,
        hyperparameters=_rows(published_hyperparameters(run)),
        model_file=contents.model_file,
        evaluated_with=[f"{key}: {_cell(grammar.to_text(value))}" for key, value in facts.evaluated_with.items()],
        packages=packages(agent),
        no_replay_because=scrubbed_text(facts.no_replay_because or ""),
        not_evaluated_because=scrubbed_text(facts.not_evaluated_because or ""),
        organization=bundle.organization or card_text.UNKNOWN_OWNER,
        replay=facts.replay,
        replay_url=_replay_url(bundle, facts.replay),
        is_ours=bool(record),
        run_name=run.env_name,
        saved=agent.saved,
        score=score_text(facts.evaluation) if facts.evaluation is not None else "",
        section=lambda name, caller: card_text.section(name, caller()),
        trained_in=run.env_id.rpartition(":")[2],
        training_command=None if agent.recipe.goal_in_observation else training_command(agent, record),
        versions=versions if isinstance(versions, Mapping) else {},
        **contents.card_values(record),
        has_picture=(bundle.folder / "q_table.png").is_file(),
        has_page=(bundle.folder / "replay.html").is_file(),
    )
    text = f"{body.rstrip()}\n\n{card_text.files_section(files)}\n"
    return card_text.join(front_matter(contents, bundle, facts), text)


def training_command(agent: LoadedAgent, record: Mapping[str, Any]) -> str:
    """:return: a command that trains the agent again, in the folder of the repository"""
    arguments = published_arguments(agent.run)
    words = ["python", "-m", "rl_experiments.train", "--algo", agent.algorithm, "--env", _trainable_id(agent)]
    words += ["-c", "config.yml"]
    threads = record.get("threads")
    numbers = {
        "--seed": record.get("seed", arguments.get("seed")),
        "-n": None if record.get("n_episodes") else record.get("n_timesteps", arguments.get("n_timesteps")),
        "--num-threads": threads.get("count") if isinstance(threads, Mapping) else None,
        # Evaluations with sampled actions draw from the same random numbers.
        "--eval-freq": arguments.get("eval_freq"),
        "--eval-episodes": arguments.get("eval_episodes"),
        "--n-eval-envs": arguments.get("n_eval_envs"),
    }
    for flag, value in numbers.items():
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0 and value != _DEFAULTS.get(flag):
            words += [flag, str(value)]
    if agent.backend == SBX:
        words += ["--backend", SBX]
    if arguments.get("vec_env") in ("subproc", "native", "envpool"):
        words += ["--vec-env", str(arguments["vec_env"])]
    if packages(agent):
        words += ["--gym-packages", *packages(agent)]
    for flag, key in (("--env-kwargs", "env_kwargs"), ("--eval-env-kwargs", "eval_env_kwargs")):
        pairs = published_env_kwargs(agent.run) if key == "env_kwargs" else arguments.get(key)
        if isinstance(pairs, Mapping) and pairs:
            words += [flag, *(f"{name}:{grammar.to_text(value)}" for name, value in pairs.items())]
    return shlex.join([*words, "-f", "logs/"])


def _trainable_id(agent: LoadedAgent) -> str:
    return agent.recipe.env_id if agent.recipe.adaptation is not None else agent.run.env_id


def packages(agent: LoadedAgent) -> list[str]:
    """:return: packages that register the environment"""
    saved = agent.run.arguments.get("gym_packages")
    named = [name for name in saved if isinstance(name, str)] if isinstance(saved, (list, tuple)) else []
    return list(dict.fromkeys([*named, *agent.recipe.gym_packages]))


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
