"""
Talking to the Hub in a process of its own.

The Hub's client has no timeouts: a Hub that hangs would hang it for ever. A child process can be ended.
"""

from __future__ import annotations

import json
import math
import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BAR = re.compile(r"^(?P<what>[^|]*)\|[^|]*\|\s*(?P<count>[\d.]+\w*)")
_PERCENT = re.compile(r"^(?P<what>[^|]*?):?\s+(?P<percent>\d+)%\|")
_BETWEEN_LINES = 5.0
_WAITING = re.compile(r"Waiting (\d+(?:\.\d+)?)s before retry")


@dataclass(frozen=True)
class Answer:
    """
    :param content: the last line of JSON that the child wrote, empty if there was none
    :param reason: why there is no complete answer, None where there is one
    :param hung: whether the child was ended because nothing more came
    """

    content: Mapping[str, Any]
    reason: str | None = None
    hung: bool = False


def ask_child(
    script: str,
    action: str,
    request: Mapping[str, Any],
    *,
    silence: float,
    limit: float | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Answer:
    """
    Run a script of this package in a child process: the request as JSON in, lines of JSON out, progress on stderr.

    :param script: the file; not the module, because the package around it would be imported too
    :param action: its argument
    :param silence: seconds without anything new in its output after which it is ended
    :param limit: seconds after which it is ended in any case
    :param on_progress: called with each line of progress
    """
    process = subprocess.Popen(
        [sys.executable, "-P", script, action],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Progress bars are our sign of life: they are drawn although this is no terminal.
        env={**os.environ, "TQDM_POSITION": "-1", "HF_HUB_DISABLE_PROGRESS_BARS": "0", "PYTHONUNBUFFERED": "1"},
        # Ctrl-C in a terminal is for this process alone, which then ends the child.
        start_new_session=True,
    )
    try:
        return _converse(process, json.dumps(request).encode(), silence, limit, on_progress)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _converse(
    process: subprocess.Popen[bytes],
    request: bytes,
    silence: float,
    limit: float | None,
    on_progress: Callable[[str], None] | None,
) -> Answer:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        process.stdin.write(request)
        process.stdin.close()
    except BrokenPipeError:  # it ended before it had read: how is told below
        pass
    output, progress = _Lines(), _Lines()
    began = last_news = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, progress)
        while selector.get_map():
            now = time.monotonic()
            if limit is not None and now - began >= limit:
                return Answer(_last_json(output), f"the Hub did not answer within {limit:g} seconds", hung=True)
            if now - last_news >= silence:
                reason = f"the Hub did not finish: nothing moved for {silence:g} seconds"
                return Answer(_last_json(output), reason, hung=True)
            left = min(last_news + silence, math.inf if limit is None else began + limit) - now
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                for line in key.data.add(chunk):
                    if key.data.is_news(line):
                        last_news = time.monotonic()
                    asked = _WAITING.search(line)
                    if asked and float(asked[1]) > silence:
                        return Answer({}, f"the Hub asks to wait for {float(asked[1]):g} seconds: try again later")
                    if key.data is progress and on_progress is not None:
                        on_progress(line)
    process.wait()
    content = _last_json(output)
    if process.returncode or not content:
        return Answer(content, f"the transfer ended with exit code {process.returncode}")
    return Answer(content, content.get("reason"))


class ProgressLines:
    """
    Turns the client's progress bars into a line now and then, and passes on what it says about trying again.

    :param say: takes the lines
    :param verb: how each begins
    """

    def __init__(self, say: Callable[[str], None], verb: str) -> None:
        self._say = say
        self._verb = verb
        self._last = time.monotonic()

    def __call__(self, line: str) -> None:
        """Take a line of the child's."""
        if "trying again" in line:
            self._say(line)
        bar = _PERCENT.match(line)
        if bar and time.monotonic() - self._last >= _BETWEEN_LINES:
            self._last = time.monotonic()
            self._say(f"{self._verb} {bar['what'].strip()}: {bar['percent']} %")


class _Lines:
    """Splits a stream into lines; progress bars end theirs with a carriage return."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._rest = b""
        self._known: set[str] = set()

    def add(self, chunk: bytes) -> list[str]:
        """:return: the lines that are complete now; an empty chunk is the end"""
        *complete, self._rest = re.split(rb"[\r\n]", self._rest + chunk)
        if not chunk and self._rest:
            complete, self._rest = [self._rest], b""
        lines = [line.decode("utf-8", "replace") for line in complete if line.strip()]
        self.all += lines
        return lines

    def is_news(self, line: str) -> bool:
        """:return: whether the line tells more than those before it; a bar that is only drawn again does not"""
        bar = _BAR.match(line)
        told = " ".join(bar.groups("")) if bar else line
        is_new = told not in self._known
        self._known.add(told)
        return is_new


def _last_json(lines: _Lines) -> dict[str, Any]:
    for line in reversed(lines.all):
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict):
            return content
    return {}


def script(name: str) -> str:
    """:return: the path of a script of this package"""
    return str(Path(__file__).with_name(name))
