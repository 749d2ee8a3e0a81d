"""What a Hub keeps, in memory: users, organisations, repositories, commits and files."""

from __future__ import annotations

import fnmatch
import hashlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

MAIN = "main"
LFS_SUFFIXES = ("bin", "bz2", "gz", "h5", "npy", "npz", "onnx", "pkl", "pt", "pth", "safetensors", "tar", "tgz", "zip")
"""Some of what a new repository of models stores as large files. Videos are not among them."""
FIRST_GIT_ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()
LARGE = 10_000_000
"""Larger files are stored as large files, whatever their name."""


class HubError(Exception):
    """
    An answer that says no.

    :param status: HTTP status
    :param message: what the client shows
    :param code: what the client chooses its exception by
    """

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


@dataclass(frozen=True)
class User:
    """
    :param name: name of the account
    :param token: its only token
    :param write: whether the token may change anything
    """

    name: str
    token: str
    write: bool


def git_hash(kind: str, content: bytes) -> str:
    """:return: the id that git gives to an object"""
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


@dataclass(frozen=True)
class StoredFile:
    """
    :param content: all of it
    :param lfs: whether it is stored as a large file
    """

    content: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        """What git keeps in place of a large file."""
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n".encode()
        )

    @cached_property
    def blob_id(self) -> str:
        """What git calls it."""
        return git_hash("blob", self.pointer if self.lfs else self.content)

    @property
    def etag(self) -> str:
        """What tells whether the content has changed."""
        return self.sha256 if self.lfs else self.blob_id


@dataclass(frozen=True)
class Commit:
    """
    :param id: 40 hexadecimal digits
    :param files: all files after it
    """

    id: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, StoredFile]


@dataclass
class Repository:
    """
    :param id: ``<owner>/<name>``
    :param kind: ``model``, ``dataset`` or ``space``
    """

    id: str
    kind: str = "model"
    private: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    created: str = ""

    @property
    def owner(self) -> str:
        """User or organisation."""
        return self.id.partition("/")[0]

    def commit_of(self, revision: str) -> Commit:
        """
        :param revision: a branch, a tag or a commit's id
        """
        name = revision.removeprefix("refs/heads/")
        found = self.branches.get(name) or self.tags.get(name) or revision
        if found not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[found]

    def files(self, revision: str = MAIN) -> dict[str, bytes]:
        """:return: content of all files, by path"""
        return {path: file.content for path, file in self.commit_of(revision).files.items()}

    def history(self, revision: str = MAIN) -> list[Commit]:
        """:return: a commit and all before it, latest first"""
        commits = [self.commit_of(revision)]
        while (parent := commits[-1].parent) is not None:
            commits.append(self.commits[parent])
        return commits

    def add_commit(
        self, branch: str, files: Mapping[str, StoredFile], author: str, title: str, message: str = ""
    ) -> Commit:
        """Put a commit on a branch."""
        parent = self.branches.get(branch)
        date = now()
        body = f"{self.id} {parent} {title} {message} {author} {date} {len(self.commits)} {sorted(files)}".encode()
        commit = Commit(git_hash("commit", body), parent, title, message, author, date, dict(files))
        self.commits[commit.id] = commit
        self.large.update({file.sha256: file.content for file in files.values() if file.lfs})
        self.branches[branch] = commit.id
        return commit

    def is_large(self, branch: str, path: str, size: int, sample: bytes) -> bool:
        """:return: whether a file will be stored as a large one"""
        patterns: list[str] = []
        attributes = self.commit_of(branch).files.get(".gitattributes") if branch in self.branches else None
        for line in (attributes.content.decode() if attributes else "").splitlines():
            words = line.split()
            if "filter=lfs" in words[1:]:
                patterns.append(words[0])
        name = path.rpartition("/")[2]
        named = any(fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(path, pattern) for pattern in patterns)
        return named or size > LARGE or b"\0" in sample

    def is_ignored(self, branch: str, path: str, git_ignore: str | None) -> bool:
        """:return: whether ``.gitignore`` names a path; the client may send a new one"""
        if git_ignore is None:
            stored = self.commit_of(branch).files.get(".gitignore") if branch in self.branches else None
            git_ignore = stored.content.decode() if stored else ""
        patterns = [line.strip().strip("/") for line in git_ignore.splitlines() if line.strip() and line[0] != "#"]
        pieces = [path, *path.split("/")]
        return any(fnmatch.fnmatch(piece, pattern) for pattern in patterns for piece in pieces)


class HubStorage:
    """Everything that the Hub keeps; ``lock`` guards what changes it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.users: dict[str, User] = {}
        self.organizations: dict[str, set[str]] = {}
        self.repositories: dict[tuple[str, str], Repository] = {}

    def user_of(self, token: str | None) -> User | None:
        """
        :param token: None if the request brought none
        """
        if token is None:
            return None
        for user in self.users.values():
            if user.token == token:
                return user
        raise HubError(401, "Invalid credentials in Authorization header")

    def may_write(self, user: User | None, owner: str) -> bool:
        """:return: whether a user may change what an owner has"""
        return user is not None and user.write and self.belongs(user, owner)

    def belongs(self, user: User | None, owner: str) -> bool:
        """:return: whether a user is an owner, or a member of it"""
        return user is not None and (user.name == owner or user.name in self.organizations.get(owner, set()))

    def readable(self, kind: str, repo_id: str, user: User | None) -> Repository:
        """:return: a repository, if the user may know that it exists"""
        found = self.repositories.get((kind, repo_id))
        if found is None or (found.private and not self.belongs(user, found.owner)):
            raise HubError(404 if user else 401, "Repository not found", "RepoNotFound")
        return found

    def writable(self, kind: str, repo_id: str, user: User | None) -> Repository:
        """:return: a repository, if the user may change it"""
        found = self.readable(kind, repo_id, user)
        if user is None:
            raise HubError(401, "Invalid username or password.")
        if not user.write:
            raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")
        if not self.may_write(user, found.owner):
            raise HubError(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
        return found

    def create(self, kind: str, repo_id: str, author: str, private: bool) -> Repository:
        """Make a repository as the Hub does: with one commit, that holds ``.gitattributes``."""
        made = Repository(repo_id, kind, private, created=now())
        first = {".gitattributes": StoredFile(FIRST_GIT_ATTRIBUTES, lfs=False)}
        made.add_commit(MAIN, first, author, "initial commit")
        self.repositories[kind, repo_id] = made
        return made


def now() -> str:
    """:return: the time as the Hub writes it"""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def folders_of(paths: Iterable[str]) -> set[str]:
    """:return: every folder that holds a path"""
    found: set[str] = set()
    for path in paths:
        parts = path.split("/")[:-1]
        found.update("/".join(parts[: depth + 1]) for depth in range(len(parts)))
    return found
