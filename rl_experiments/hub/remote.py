"""A repository on the Hub, seen from here: what it holds, and its files, checked as they arrive."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.files import sha256_of
from rl_experiments.core.suggest import hint
from rl_experiments.hub.child import ProgressLines, ask_child, script

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
    "refused": "the Hub refused ({detail})",
    "other": "{detail}",
}


class DownloadError(RLExperimentsError):
    """An agent that did not arrive; the message says why."""


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
    :param say: takes lines of progress
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
        say: Callable[[str], None] = lambda _: None,
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
        self._progress = ProgressLines(say, "Downloading")

    def fetch(self, names: Sequence[str], largest: int | None = None) -> None:
        """
        Fetch those of the files that the repository has, and learn what it has. All calls see the same commit.

        :param largest: leave files of more bytes where they are
        :raises DownloadError: if they do not arrive as they were published
        """
        left = max(self._ends - time.monotonic(), 0.0)
        request = {
            "repo_id": self.repo_id,
            "revision": self.revision,
            "names": list(names),
            "largest": largest,
            "folder": str(self.folder),
            "seconds": left,
            "token": self._token,
        }
        told = ask_child(
            script("fetching.py"), "fetch", request, silence=self._deadline, limit=left, on_progress=self._progress
        )
        if told.hung:
            raise DownloadError(
                f"{self.repo_id} could not be downloaded: the Hub did not finish within {self._deadline:g} seconds. "
                "Try again, or give it more time with --deadline"
            )
        answer = told.content or {"failure": "other", "detail": told.reason}
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
