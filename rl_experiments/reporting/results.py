"""What was found out about each agent, kept in a folder of its own: a benchmark that was stopped goes on from there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rl_experiments.core.files import write_text
from rl_experiments.reporting.agents import FoundAgent
from rl_experiments.reporting.published import PublishedTable, Score, difference_in_standard_errors

PLAYED, FAILED, NOT_PLAYED = "played", "failed", "not played"
_NUMBERS = ("mean", "std", "episodes", "steps", "seconds")
"""What every score has."""
_FILE, _LOG, _UNFINISHED = "result.json", "log.txt", ".playing-"


@dataclass(frozen=True)
class AgentResult:
    """
    :param algorithm: as the agent's folder says
    :param environment: the id that it was saved with
    :param run: its folder
    :param status: ``played``, ``failed`` or ``not played``
    :param reason: why it has no score
    :param score: what :class:`rl_experiments.reporting.playing.Play` found
    :param published: what was published for it
    """

    algorithm: str
    environment: str
    run: str
    status: str = NOT_PLAYED
    reason: str | None = None
    score: Mapping[str, Any] | None = None
    published: Score | None = None

    def with_published(self, table: PublishedTable | None) -> AgentResult:
        """:return: the same with what a table says of it, found by the names of then and of today"""
        if table is None:
            return self
        score = self.score or {}
        algorithms = (self.algorithm, score.get("agent", self.algorithm))
        environments = (self.environment, score.get("environment_played", self.environment))
        return replace(self, published=table.find(algorithms, environments))

    @property
    def own_score(self) -> Score | None:
        """What was measured."""
        score = self.score
        return None if score is None else Score(score["mean"], score["std"], score["episodes"])

    @property
    def difference(self) -> float | None:
        """Our mean less the published one."""
        own, published = self.own_score, self.published
        return None if own is None or published is None else own.mean - published.mean

    @property
    def difference_in_standard_errors(self) -> float | None:
        """See :func:`rl_experiments.reporting.published.difference_in_standard_errors`."""
        own, published = self.own_score, self.published
        return None if own is None or published is None else difference_in_standard_errors(own, published)

    def as_dict(self) -> dict[str, Any]:
        """:return: all of it in one level, ready for JSON"""
        published = self.published
        return {
            "algorithm": self.algorithm,
            "environment": self.environment,
            "run": self.run,
            "status": self.status,
            "reason": self.reason,
            **dict.fromkeys(_NUMBERS),
            **(self.score or {}),
            "published_mean": published and published.mean,
            "published_std": published and published.std,
            "published_episodes": published and published.episodes,
            "difference": self.difference,
            "difference_in_standard_errors": self.difference_in_standard_errors,
        }


class ResultFolder:
    """
    Results on disk, ``<folder>/<algo>-<env>/``: ``result.json``, the episode logs, and what was printed.

    :param folder: of all results
    :param settings: those that make another result of the same agent
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        self._settings = dict(settings)
        self._begun: dict[str, dict[str, Any]] = {}

    def known(self, agent: FoundAgent) -> AgentResult | None:
        """:return: the score of the very same agent with the same settings, if it was played before"""
        try:
            content = json.loads((self._folder / agent.name / _FILE).read_text(encoding="utf-8"))
            if content["status"] != PLAYED or content["made_from"] != self._made_from(agent):
                return None
            score = content["score"]
            Score(float(score["mean"]), float(score["std"]), int(score["episodes"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return _result(agent, PLAYED, score=score)

    def begin(self, agent: FoundAgent) -> tuple[Path, Path]:
        """:return: where episode logs go, and what is printed, until the agent is done"""
        folder = self._unfinished(agent)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._begun[agent.name] = self._made_from(agent)  # its files may change while it is played
        return folder, folder / _LOG

    def finish(self, agent: FoundAgent, score: Mapping[str, Any] | None, reason: str | None) -> AgentResult:
        """Put the result in its place."""
        result = _result(agent, FAILED if score is None else PLAYED, reason, score)
        folder = self._unfinished(agent)
        if score is None:
            for file in folder.glob("*.monitor.csv"):  # half of what they should hold
                file.unlink()
        content = {
            "status": result.status,
            "reason": reason,
            "score": score and dict(score),
            "made_from": self._begun.pop(agent.name),
        }
        write_text(folder / _FILE, json.dumps(content, indent=2, allow_nan=False) + "\n")
        final = self._folder / agent.name
        shutil.rmtree(final, ignore_errors=True)
        os.replace(folder, final)
        return result

    def clear_unfinished(self) -> None:
        """Remove what an earlier benchmark that was killed has left."""
        for folder in self._folder.glob(f"{_UNFINISHED}*"):
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)

    def log(self, agent: FoundAgent) -> Path:
        """:return: the file with what was printed while the agent was played"""
        return self._folder / agent.name / _LOG

    def _unfinished(self, agent: FoundAgent) -> Path:
        return self._folder / f"{_UNFINISHED}{agent.name}"

    def _made_from(self, agent: FoundAgent) -> dict[str, Any]:
        return {"run": agent.run.path.name, "files": agent.hashes(), "settings": self._settings}


def not_played(agent: FoundAgent) -> AgentResult:
    """:return: of an agent whose turn has not come"""
    return _result(agent, NOT_PLAYED)


def _result(
    agent: FoundAgent, status: str, reason: str | None = None, score: Mapping[str, Any] | None = None
) -> AgentResult:
    return AgentResult(agent.run.algorithm, agent.environment, str(agent.run.path), status, reason, score)
