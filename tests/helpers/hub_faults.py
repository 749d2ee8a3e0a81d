"""Faults that a test asks a server for, and the count of those that happened."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Action = Literal[
    "status", "drop", "drop_after", "hang", "slow", "drop_answer", "corrupt", "wrong_sha"
]  # what each does stands at Fault
_HASHES = ("oid", "sha256", "blobId")
_HASH_HEADERS = ("etag", "x-linked-etag")


@dataclass
class Fault:
    """
    What goes wrong with the requests that match.

    - ``status``: answer with ``status``, ``body`` and ``headers``, and do nothing else.
    - ``drop``: close the connection before the body is read.
    - ``drop_after``: close it after ``bytes`` bytes of the request's body, or of the answer's if the request has none.
    - ``hang``: read ``bytes`` bytes of the body, and do nothing for ``seconds``, or until the server is closed; then
      close the connection.
    - ``slow``: move both bodies at ``bytes_per_second``.
    - ``drop_answer``: do what was asked for, and close the connection without an answer.
    - ``corrupt``: answer with a body of the right size and wrong content.
    - ``wrong_sha``: answer with wrong hashes, in JSON and in headers.

    :param match: method and a part of the path with its query; ``*`` is any method
    :param times: how often, None is for ever
    :param skip: how many matching requests are spared first
    """

    match: tuple[str, str]
    action: Action
    times: int | None = 1
    skip: int = 0
    status: int = 500
    body: str | bytes | Mapping[str, Any] = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    bytes: int = 0
    bytes_per_second: float = 1e6
    seconds: float | None = None
    happened: int = 0

    def matches(self, method: str, path: str) -> bool:
        """:return: whether a request is meant, however often it has happened"""
        wanted, part = self.match
        return wanted in ("*", method) and part in path


class Faults:
    """The faults of one server, in the order in which they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """:return: the fault, whose ``happened`` counts"""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Let everything go right from now on."""
        with self._lock:
            self._faults.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """:return: what goes wrong with a request; it counts as having happened"""
        with self._lock:
            for fault in self._faults:
                if not fault.matches(method, path) or fault.happened == fault.times:
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.happened += 1
                return fault
        return None


def corrupted(content: bytes) -> bytes:
    """:return: other content of the same size"""
    return bytes(255 - value for value in content[:1000]) + content[1000:]


def with_wrong_hashes(content: Any) -> Any:
    """:return: JSON in which every hash is turned around"""
    if isinstance(content, list):
        return [with_wrong_hashes(item) for item in content]
    if isinstance(content, dict):
        return {
            key: value[::-1] if key in _HASHES and isinstance(value, str) else with_wrong_hashes(value)
            for key, value in content.items()
        }
    return content


def with_wrong_etags(headers: Mapping[str, str]) -> dict[str, str]:
    """:return: headers in which every hash is turned around"""
    return {name: value[::-1] if name.lower() in _HASH_HEADERS else value for name, value in headers.items()}
