"""Scores on a scale on which 0 is a random agent and 1 a reference: a human for Atari, a good agent elsewhere."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl_experiments.core import yaml_io
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.names import folder_name

_VERSION = re.compile(r"-v\d+$")
_GAME = re.compile(r"^(?:ALE-)?(?P<game>\w+?)(?:-ram)?(?:NoFrameskip|Deterministic)?-v\d+$")
_SECTIONS = ("atari", "environments")


@dataclass(frozen=True)
class Scale:
    """
    :param random: what an agent reaches whose actions are drawn at random
    :param reference: what counts as 1
    :param source: where it is from: a key of the table
    """

    random: float
    reference: float
    source: str

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """:return: ``(scores - random) / (reference - random)``"""
        return (np.asarray(scores, dtype=float) - self.random) / (self.reference - self.random)

    def of(self, score: float) -> float:
        """:return: the same of one score"""
        return (score - self.random) / (self.reference - self.random)


class ScaleTable:
    """
    :param content: ``atari`` by game and ``environments`` by id, each ``[random, reference]``
    :param origin: of the content, for errors
    """

    def __init__(self, content: Any, origin: str) -> None:
        if not isinstance(content, Mapping) or not set(content) <= set(_SECTIONS):
            raise ConfigurationError(f"{origin} must hold the mappings {' and '.join(_SECTIONS)}")
        self._sections = {
            section: _scales(content.get(section) or {}, f"{section} in {origin}") for section in _SECTIONS
        }

    def find(self, environment: str) -> Scale | None:
        """
        :param environment: an id, or the name of its folder
        :return: the scale of this id; else of the Atari game; else of the latest other version of the environment
        """
        name = folder_name(environment)
        environments, games = self._sections["environments"], self._sections["atari"]
        if name in environments:
            return environments[name]
        match = _GAME.match(name)
        if match and match["game"] in games:
            return games[match["game"]]
        stem = _VERSION.sub("", name)
        others = sorted((key for key in environments if _VERSION.sub("", key) == stem), key=_version)
        return environments[others[-1]] if others else None

    def updated(self, other: ScaleTable) -> ScaleTable:
        """:return: this table, with the entries of another one over its own"""
        merged = ScaleTable({}, "")
        merged._sections = {section: {**self._sections[section], **other._sections[section]} for section in _SECTIONS}
        return merged


@functools.cache
def built_in_table() -> ScaleTable:
    """:return: the table of this package, ``scores.yml``"""
    file = importlib.resources.files("rl_experiments.reporting.report") / "scores.yml"
    return ScaleTable(yaml_io.parse(file.read_text(encoding="utf-8"), "scores.yml"), "scores.yml")


def read_table(path: str | Path) -> ScaleTable:
    """
    :param path: a YAML file of the user's, whose entries win over the built-in ones
    :raises RLExperimentsError: if it cannot be read
    """
    return built_in_table().updated(ScaleTable(yaml_io.read(Path(path)), str(path)))


def _scales(entries: Any, where: str) -> dict[str, Scale]:
    if not isinstance(entries, Mapping):
        raise ConfigurationError(f"{where} must be a mapping of names to [random, reference]")
    return {folder_name(str(name)): _scale(str(name), pair, where) for name, pair in entries.items()}


def _scale(name: str, pair: Any, where: str) -> Scale:
    numbers = [value for value in pair if _is_number(value)] if isinstance(pair, list) else []
    if len(numbers) != 2 or len(pair) != 2 or numbers[0] == numbers[1]:
        raise ConfigurationError(
            f"{name} of {where} must be two different numbers, [random, reference], but got {pair!r:.80}"
        )
    return Scale(float(numbers[0]), float(numbers[1]), name)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _version(name: str) -> int:
    match = _VERSION.search(name)
    return int(match[0][2:]) if match else 0
