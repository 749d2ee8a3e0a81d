"""Scores that somebody published, as Markdown, CSV or JSON, and how far ours are from them."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import check_plain_file
from rl_experiments.core.names import folder_name

_LARGEST = 64 << 20
_NAMES = {
    "algorithm": ("algorithm", "algo"),
    "environment": ("environment", "env_id", "env", "env_saved", "environment_id"),
    "mean": ("mean", "mean_reward", "score", "result"),
    "std": ("std", "std_reward"),
    "episodes": ("episodes", "eval_episodes", "n_eval_episodes", "n_episodes"),
}
"""What the columns are called: here, in the zoo's benchmark.md, in results.json, and elsewhere."""
_NUMBER = r"[-+]?(?:\d[\d,_ ]*)?\.?\d+(?:[eE][-+]?\d+)?"
_SCORE = re.compile(rf"({_NUMBER})(?:\s*(?:\+/?-|±)\s*({_NUMBER}))?(?![\d.,])")
_NUMBER_WITH_COMMA = re.compile(r"\d[\d.]*,\d+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
_AS_TYPED = str.maketrans({"\u2212": "-", "\ufe63": "-", "\uff0d": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " "})
"""Signs and spaces of typesetting, which spreadsheets and web pages have."""
_NOTHING = ("", "-", "--", "\u2013", "\u2014")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_RULE = re.compile(r":?-+:?")


@dataclass(frozen=True)
class Score:
    """
    :param mean: mean return
    :param std: standard deviation of the returns (of the population), or None
    :param episodes: how many there were, or None
    """

    mean: float
    std: float | None = None
    episodes: int | None = None

    @property
    def variance_of_mean(self) -> float | None:
        """Squared standard error of the mean, None where it is not known: one episode has none."""
        if self.std is None or self.episodes is None or self.episodes < 2:
            return None
        return self.std**2 / (self.episodes - 1)


def difference_in_standard_errors(ours: Score, theirs: Score) -> float | None:
    """
    How far two means are apart, after Welch (1947): ``(m1 - m2) / sqrt(s1**2 / n1 + s2**2 / n2)``.

    ``s`` is the standard deviation of the sample. What tables show is that of the population, ``d``, so that
    ``s**2 / n`` is ``d**2 / (n - 1)``.

    :return: the difference in standard errors, None where they are not known, or are 0 while the means differ
    """
    first, second = ours.variance_of_mean, theirs.variance_of_mean
    if first is None or second is None:
        return None
    error = math.sqrt(first + second)
    if error == 0.0:
        return 0.0 if ours.mean == theirs.mean else None
    return (ours.mean - theirs.mean) / error


class PublishedTable:
    """
    Published scores by algorithm and environment.

    :param rows: each with any of the known names for its columns; what has no algorithm, environment or mean goes
    :param of_commas: whether a comma is more likely the decimal sign than one of thousands, where numbers have no other
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]], of_commas: bool = False) -> None:
        self._scores: dict[tuple[str, str], Score] = {}
        self.n_unread = 0
        """How many rows say something of a score that could not be read."""
        rows = list(rows)
        decimal_comma = _has_decimal_commas(rows, of_commas)
        for row in rows:
            algorithm, environment = (_text(_find(row, name)) for name in ("algorithm", "environment"))
            score = _score(row, decimal_comma)
            if algorithm and environment and score is not None:
                self._scores.setdefault(_key(algorithm, environment), score)
            elif str(_find(row, "mean") or "").strip() not in _NOTHING:
                self.n_unread += 1

    def __len__(self) -> int:
        return len(self._scores)

    def find(self, algorithms: Iterable[str], environments: Iterable[str]) -> Score | None:
        """:return: the score under the first of these names that the table has"""
        keys = [_key(algorithm, environment) for algorithm in algorithms for environment in environments]
        return next((self._scores[key] for key in keys if key in self._scores), None)


def read_published(path: str | Path) -> PublishedTable:
    """
    :param path: a table as Markdown (such as the zoo's ``benchmark.md``), CSV or JSON; which of them, its content tells
    :raises RLExperimentsError: if it cannot be read, or holds no score
    """
    path = Path(path)
    check_plain_file(path, _LARGEST)
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    table = PublishedTable(_rows(text, path), of_commas=_has_semicolons(text))
    if not len(table):
        raise ConfigurationError(
            f"{path} holds no published score. Expected a table (Markdown, CSV or JSON) with the columns "
            f"algo, env_id, mean_reward, std_reward, eval_episodes"
        )
    return table


def _rows(text: str, path: Path) -> list[dict[str, Any]]:
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return list(_json_rows(json.loads(text)))
        except (ValueError, RecursionError) as error:
            if path.suffix == ".json":
                raise ConfigurationError(f"{path} is no JSON: {error}") from None
    if any(line.lstrip().startswith("|") for line in text.splitlines()):
        return _markdown_rows(text)
    return _csv_rows(text)


def _json_rows(content: Any, names: tuple[str, ...] = ()) -> Iterable[dict[str, Any]]:
    """Rows wherever they are: in a list, under a name, or under algorithm and environment."""
    if isinstance(content, list):
        for item in content:
            yield from _json_rows(item)
    elif isinstance(content, dict):
        row = _own_row(content, names)
        if row is not None:
            yield row
        else:
            for key, value in content.items():
                yield from _json_rows(value, (*names, key)[-2:])


def _own_row(content: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any] | None:
    published = content.get("published")
    row = {**content, **published} if isinstance(published, dict) else dict(content)
    folder = re.fullmatch(r"(?:.*/)?([^/]+)/([^/]+)_\d+/?", str(content.get("folder", "")))
    if folder:
        row = {"algorithm": folder[1], "environment": folder[2], **row}
    if len(names) == 2:
        row = {"algorithm": names[0], "environment": names[1], **row}
    is_score = (
        _find(row, "mean") is not None and _find(row, "algorithm") is not None and _find(row, "environment") is not None
    )
    return row if is_score and not ("published" in content and published is None) else None


def _markdown_rows(text: str) -> list[dict[str, Any]]:
    rows, header = [], None
    for line in text.splitlines():
        if not line.lstrip().startswith("|"):
            header = None
            continue
        cells = [_plain(cell) for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))]
        if all(_RULE.fullmatch(cell) for cell in cells if cell):
            continue
        if header is None:
            header = cells
        else:
            rows.append(dict(zip(header, cells, strict=False)))
    return rows


def _plain(cell: str) -> str:
    return _LINK.sub(r"\1", cell.replace("\\|", "|")).strip().strip("*`").strip()


def _csv_rows(text: str) -> list[dict[str, Any]]:
    delimiter = _delimiter(text)
    rows = csv.DictReader(io.StringIO(text.lstrip(), newline=""), delimiter=delimiter)
    return [{_plain(key): value for key, value in row.items() if isinstance(key, str)} for row in rows]


def _delimiter(text: str) -> str:
    first = text.lstrip().partition("\n")[0]
    return max(",;\t", key=first.count)


def _has_semicolons(text: str) -> bool:
    """Whether it is what spreadsheets write where the comma is the decimal sign."""
    return text.lstrip()[:1] not in ("[", "{", "|") and _delimiter(text) == ";"


def _has_decimal_commas(rows: list[Mapping[str, Any]], likely: bool) -> bool:
    """Whether 31,8 is 31.8 in this table; 1,327 alone tells nothing."""
    cells = [str(_find(row, name) or "").translate(_AS_TYPED) for row in rows for name in ("mean", "std")]
    numbers = [number for cell in cells for number in _NUMBER_WITH_COMMA.findall(cell)]
    if any("." in number for number in numbers):  # 1.327,158
        return True
    if any("." in cell for cell in cells):
        return False
    return likely or any(not _THOUSANDS.fullmatch(number) for number in numbers)


def _find(row: Mapping[str, Any], name: str) -> Any:
    normalized = {re.sub(r"[\s-]+", "_", key.strip().lower()): value for key, value in row.items()}
    return next((normalized[known] for known in _NAMES[name] if normalized.get(known) not in (None, "")), None)


def _score(row: Mapping[str, Any], decimal_comma: bool = False) -> Score | None:
    mean, spread = _parse(_find(row, "mean"), decimal_comma)
    if mean is None:
        return None
    std = _parse(_find(row, "std"), decimal_comma)[0]
    episodes = _parse(_find(row, "episodes"), decimal_comma)[0]
    return Score(mean, spread if std is None else std, None if episodes is None else int(episodes))


def _parse(value: Any, decimal_comma: bool) -> tuple[float | None, float | None]:
    """:return: a number, and what stands behind its ``+/-``"""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (float(value), None) if math.isfinite(value) else (None, None)
    if not isinstance(value, str):
        return None, None
    text = _plain(value.translate(_AS_TYPED))
    if decimal_comma:
        text = text.replace(".", "").replace(",", ".")
    elif any(not _THOUSANDS.fullmatch(number) for number in re.findall(r"\d[\d,]*,\d*", text)):
        return None, None
    match = _SCORE.match(text)
    if match is None:
        return None, None
    mean, spread = (None if part is None else float(re.sub(r"[,_ ]", "", part)) for part in match.groups())
    return mean, spread


def _text(value: Any) -> str:
    return _plain(value) if isinstance(value, str) else ""


def _key(algorithm: str, environment: str) -> tuple[str, str]:
    try:
        return algorithm.lower(), folder_name(environment)
    except ConfigurationError:
        return algorithm.lower(), environment
