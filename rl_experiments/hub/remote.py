"""A repository on the Hub, seen from here: what it holds, and its files, checked as they arrive."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.files import sha256_of
from rl_experiments.core.suggest import hint
from rl_experiments.hub import fetching

DEADLINE = 600.0
"""Seconds after which a download is given up."""
_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LOG_IN = "hf auth login, or --token"
_FAILURES = {
    "gated": f"it is gated. Accept its conditions at {{url}}, and log in ({_LOG_IN})",
    "repository": f"Repository Not Found. Check its name; a private one needs a token that may read it ({_LOG_IN})",
    "revision": "it has no revision '{revision}'.",
    "file": "a file that it lists is not there any more ({detail}). Try again",
    "disabled": "the Hub has disabled it",
    "offline": "HF_HUB_OFFLINE is set. Unset it to download",
    "token": f"the Hub does not accept the token (401). Log in again ({_LOG_IN})",
    "forbidden": f"the token may not read it (403). Use one that may ({_LOG_IN})",
    "busy": "the Hub takes no more requests for now (429). Try again {later}",
    "trouble": "the Hub is in trouble ({detail}). Try again later",
    "network": "the connection to the Hub failed ({detail}). Check the network, and try again",
    "strange": "what answered is not the Hub ({detail}). Check the network, and HF_ENDPOINT if it is set",
    "other": "{detail}",
}


class DownloadError(RLExperimentsError):
    """An agent that did not arrive; the message says why."""


class DownloadEnded(DownloadError):  # noqa: N818
    """
    A signal ended the download.

    :param number: of the signal
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"the download was ended by {signal.Signals(number).name}; nothing was written")
        self.exit_code = 128 + number


@dataclass(frozen=True)
class RemoteFile:
    """
    What the Hub says of a file, as far as it does.

    :param size: in bytes
    :param sha256: of a large file
    :param blob_id: of a small file, what git calls it
    """

    size: int | None
    sha256: str | None
    blob_id: str | None

    def is_damaged(self, path: Path) -> bool:
        """Whether what has arrived is something else."""
        if self.size is not None and path.stat().st_size != self.size:
            return True
        if self.sha256 is not None:
            return sha256_of(path) != self.sha256
        return self.blob_id is not None and _git_blob_id(path) != self.blob_id


def parse_repo_id(text: str) -> str:
    """
    :param text: ``<owner>/<name>``, or the address of its page
    :raises ConfigurationError: if it is neither
    """
    found = re.sub(r"^https?://[^/]+/", "", text).rstrip("/")
    parts = found.split("/")
    if not _REPO_ID.fullmatch(found) or ".." in found or any(part.strip(".-") != part for part in parts):
        example = f". Did you mean 'sb3/{text}'?" if re.fullmatch(r"\w[\w.-]*", text) else ""
        raise ConfigurationError(
            f"'{text}' is no repository of the Hub: expected <owner>/<name>, as in sb3/ppo-CartPole-v1{example}"
        )
    return found


class RemoteRepository:
    """
    One revision of a repository, whose files are fetched into a folder by a child process.

    :param repo_id: ``<owner>/<name>``
    :param folder: where files arrive, under their names in the repository
    :param revision: branch, tag or commit; None is the main branch
    :param token: a token; if None, the one that is saved on this machine
    :param deadline: seconds for everything together
    :param show_progress: draw a bar where there is a terminal
    :raises ConfigurationError: if the deadline is no time
    """

    def __init__(
        self,
        repo_id: str,
        folder: Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        deadline: float = DEADLINE,
        show_progress: bool = False,
    ) -> None:
        if not 0 < deadline < threading.TIMEOUT_MAX:
            raise ConfigurationError(f"--deadline must be a number of seconds above 0, but got {deadline:g}")
        self.repo_id = repo_id
        self.folder = folder
        self.revision = revision
        self.files: Mapping[str, RemoteFile] = {}
        self._token = token
        self._deadline = deadline
        self._ends = time.monotonic() + deadline
        self._show_progress = show_progress and sys.stderr.isatty()

    def fetch(self, names: Sequence[str], largest: int | None = None) -> None:
        """
        Fetch those of the files that the repository has, and learn what it has. All calls see the same commit.

        :param largest: leave files of more bytes where they are
        :raises DownloadError: if they do not arrive as they were published
        """
        request = {
            "repo_id": self.repo_id,
            "revision": self.revision,
            "names": list(names),
            "largest": largest,
            "folder": str(self.folder),
            "seconds": max(self._ends - time.monotonic(), 0.0),
            "show_progress": self._show_progress,
        }
        answer = self._ask(request)
        if "failure" in answer:
            raise self._error(answer)
        self.files = {name: RemoteFile(**item) for name, item in answer["files"].items()}
        self.revision = answer["revision"] or self.revision
        for name in self.files:
            if leaves_folder(name):
                raise DownloadError(f"{self.repo_id} has a file whose path leaves the repository: {name!r}")
        for name in answer["fetched"]:
            self._check(name)

    def arrived(self, name: str) -> Path | None:
        """:return: where a file has arrived, or None if it was not fetched"""
        path = self.folder / name
        return path if path.is_file() else None

    def text(self, name: str) -> str | None:
        """:return: a fetched text, or None if there is none"""
        path = self.arrived(name)
        return None if path is None else path.read_text(encoding="utf-8", errors="replace")

    def contents(self) -> str:
        """:return: the names of its files, for people"""
        names = sorted(self.files)
        return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")

    def _check(self, name: str) -> None:
        path = self.folder / name
        if path.is_symlink() or not path.is_file():
            raise DownloadError(f"{name} of {self.repo_id} did not arrive as a file")
        if self.files[name].is_damaged(path):
            raise DownloadError(
                f"{name} of {self.repo_id} arrived damaged: its size or hash is not what the Hub tells. Try again"
            )

    def _error(self, answer: Mapping[str, Any]) -> RLExperimentsError:
        wait = answer.get("retry_after")
        reason = _FAILURES[answer["failure"]].format(
            detail=answer["detail"],
            revision=self.revision,
            url=f"{os.environ.get('HF_ENDPOINT') or 'https://huggingface.co'}/{self.repo_id}",
            later=f"in {wait:g} seconds" if wait else "later",
        )
        near = hint(self.revision or "", answer["names"]) if answer.get("names") else ""
        return DownloadError(f"{self.repo_id} could not be downloaded: {reason}{near}".rstrip("."))

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run the child process, and end it whatever happens here."""
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            process = subprocess.Popen(
                # The file itself, not the module: the package would import torch first.
                [sys.executable, "-P", fetching.__file__],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=None if self._show_progress else subprocess.DEVNULL,
                text=True,
                env={**os.environ, **({fetching.TOKEN_VARIABLE: self._token} if self._token else {})},
                start_new_session=True,  # Ctrl-C is for this process, which then ends the child
            )
            try:
                assert process.stdin is not None
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                process.wait(timeout=request["seconds"])
            except subprocess.TimeoutExpired:
                raise DownloadError(
                    f"{self.repo_id} could not be downloaded: the Hub did not finish within {self._deadline:g} "
                    "seconds. Try again, or give it more time with --deadline"
                ) from None
            except BrokenPipeError:
                pass  # it has ended before it was asked; its exit code says how
            finally:
                _end(process)
            output.seek(0)
            return _read_answer(output.read(), process.returncode)


def _read_answer(text: str, code: int | None) -> dict[str, Any]:
    try:
        return dict(json.loads(text.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        return {"failure": "other", "detail": f"the process that downloads ended with exit code {code}"}


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()


def leaves_folder(name: str) -> bool:
    """:return: whether a path in a repository could name something outside of the folder that it is put into"""
    path = PurePosixPath(name)
    return (
        not name
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or "\0" in name
        or re.match(r"[A-Za-z]:", name) is not None
    )


def _git_blob_id(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """
    Turn SIGTERM and SIGHUP into an exception, so that what was begun is taken back.

    :raises DownloadEnded: when one comes
    """

    def end(number: int, _: FrameType | None) -> None:
        for caught in previous:
            signal.signal(caught, signal.SIG_IGN)
        raise DownloadEnded(number)

    previous: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks for
                    previous[number] = signal.signal(number, end)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
