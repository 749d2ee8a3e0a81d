"""What the doctor finds: one fact, and what mends it where it needs mending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

GOOD, MISSING, BROKEN, NOTE = "ok", "missing", "broken", "note"


@dataclass(frozen=True)
class Finding:
    """
    :param name: of what was looked at
    :param text: what was found
    :param state: ok, note (works, and could be better), missing (optional, and not there), or broken
    :param cure: what mends it, empty where nothing needs mending
    :param data: the same in numbers, for programs and for advice
    """

    name: str
    text: str
    state: str = GOOD
    cure: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """:return: ready for JSON"""
        return {**asdict(self), "data": dict(self.data)}
