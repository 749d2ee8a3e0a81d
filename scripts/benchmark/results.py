"""What was measured, in a file that several runs of the benchmark fill: each group keeps its machine and its date."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .common import BenchmarkError, Headline, Row


class Results:
    """
    :param path: of the file; None keeps them in memory only
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.groups: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            try:
                self.groups = json.loads(path.read_text(encoding="utf-8"))["groups"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise BenchmarkError(f"{path} holds no results: {error}") from None

    def put(self, group: str, machine: Mapping[str, str], rounds: int, rows: Sequence[Row]) -> None:
        """Take a group, in place of what there was of it, and write the file."""
        self.groups[group] = {"machine": dict(machine), "rounds": rounds, "rows": [asdict(row) for row in rows]}
        if self._path is not None:
            beside = self._path.with_suffix(self._path.suffix + ".new")
            beside.write_text(json.dumps({"groups": self.groups}, indent=1), encoding="utf-8")
            beside.replace(self._path)

    def rows(self, order: Sequence[str]) -> list[Row]:
        """:return: of all groups, in this order"""
        return [_row(row) for name in order if name in self.groups for row in self.groups[name]["rows"]]

    def machines(self) -> dict[str, list[str]]:
        """:return: what differs between the groups has several values"""
        found: dict[str, list[str]] = {}
        for group in self.groups.values():
            for name, value in group["machine"].items():
                found.setdefault(name, [])
                if value not in found[name]:
                    found[name].append(value)
        return found


def _row(content: Mapping[str, Any]) -> Row:
    head = content.get("headline")
    headline = Headline(**{**head, "times": tuple(head["times"])}) if head else None
    return Row(content["table"], content["cells"], content["data"], headline)
