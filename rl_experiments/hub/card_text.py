"""
A model card that a person may edit: only its metadata of ours and its marked sections change when it is made again.

A section stands between ``<!-- rl_experiments:NAME -->`` and ``<!-- /rl_experiments:NAME -->``. What stands outside of
the sections is the user's, and so is the decision to take a section out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rl_experiments.core import yaml_io
from rl_experiments.core.errors import RLExperimentsError

UNKNOWN_OWNER = "YOUR_HF_USERNAME"
_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_SECTION = re.compile(r"<!-- rl_experiments:(?P<name>[a-z_]+) -->.*?<!-- /rl_experiments:(?P=name) -->", re.DOTALL)
_FILES = "files"
_OF_THE_ZOO = re.compile(
    r"\A\s*# \*\*[\w.]+\*\* Agent playing \*\*.*?This is a trained model of a \*\*", re.DOTALL | re.IGNORECASE
)


def section(name: str, text: str) -> str:
    """:return: the text between its marks"""
    return f"<!-- rl_experiments:{name} -->\n{text.strip()}\n<!-- /rl_experiments:{name} -->"


def split(card: str) -> tuple[dict[str, Any], str]:
    """:return: the metadata of a card, and its text, to which metadata that cannot be read belongs, too"""
    match = _FRONT_MATTER.match(card)
    if match is None:
        return {}, card
    try:
        metadata = yaml_io.parse(match[1], "the card's metadata")
    except RLExperimentsError:
        return {}, card
    if not isinstance(metadata, Mapping | None):
        return {}, card
    return dict(metadata or {}), card[match.end() :]


def join(metadata: Mapping[str, Any], text: str) -> str:
    """:return: a card, with its metadata at the very beginning"""
    return f"---\n{yaml_io.dump(metadata)}---\n{text}"


def merge(fresh: str, earlier: str | None) -> str:
    """
    Bring a card up to date.

    :param fresh: the card as it would be without an earlier one
    :param earlier: the card that there was, possibly edited by hand; None where there was none
    :return: the earlier one with our metadata and sections replaced. A card without any section of ours keeps its text,
        and the sections are added below; one that the zoo generated is replaced
    """
    if earlier is None or not earlier.strip():
        return fresh
    metadata, text = split(fresh)
    earlier_metadata, earlier_text = split(earlier)
    merged = _merged_metadata(metadata, earlier_metadata)
    sections = {match["name"]: match[0] for match in _SECTION.finditer(text)}
    if not _SECTION.search(earlier_text):
        if not earlier_text.strip() or _OF_THE_ZOO.match(earlier_text):
            return join(merged, text)
        return join(merged, "\n\n".join([earlier_text.rstrip(), *sections.values()]) + "\n")
    # A section that we no longer make goes; one that the user took out stays out.
    return join(merged, _SECTION.sub(lambda match: sections.get(match["name"], ""), earlier_text))


def files_section(names: Iterable[str]) -> str:
    """
    :return: a section that shows nothing, and tells a later push which files are ours, wherever it is made from
    """
    return section(_FILES, f"<!-- {json.dumps(list(names))} -->")


def listed_files(card: str) -> list[str]:
    """:return: the names that :func:`files_section` wrote into a card"""
    for match in _SECTION.finditer(card):
        listing = re.search(r"<!-- (\[.*\]) -->", match[0]) if match["name"] == _FILES else None
        try:
            names = json.loads(listing[1]) if listing else None
        except ValueError:
            continue
        if isinstance(names, list):
            return [name for name in names if isinstance(name, str)]
    return []


def _merged_metadata(ours: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**ours, **{key: value for key, value in earlier.items() if key not in ours}}
    tags = earlier.get("tags")
    if isinstance(tags, list):
        merged["tags"] = list(dict.fromkeys([*ours["tags"], *(tag for tag in tags if isinstance(tag, str))]))
    theirs = earlier.get("model-index")
    if isinstance(theirs, list):
        names = {entry["name"] for entry in ours.get("model-index", [])}
        others = [entry for entry in theirs if isinstance(entry, Mapping) and entry.get("name") not in names]
        merged["model-index"] = [*ours.get("model-index", []), *(others if names else theirs)]
    return merged
