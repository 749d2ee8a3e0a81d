"""
The bundle: a folder that is, file for file, a Hub repository.

It holds what the zoo pushes, under the same names. The model is the run's own file, byte for byte.
"""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import write_bytes
from rl_experiments.hub.manifest import Manifest

REPLAY = "replay.mp4"
CARD = "README.md"
ATTRIBUTES = ".gitattributes"
RESULTS = "results.json"
CURVE = "learning_curve.png"
NOT_UPLOADED = (".git", ".cache", ".huggingface")
"""Folders that the Hub's client leaves out of an upload."""
_LEFTOVER = re.compile(r"^\..+\.[0-9a-f]{8}\.tmp(\..+)?$")
_REPOSITORY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_LONGEST_NAME = 96


@dataclass(frozen=True)
class Bundle:
    """
    :param folder: ``hub/<organisation>/<repository>``, or ``hub/<repository>`` where no organisation is known
    :param organization: user or organisation on the Hub, or None
    :param name: the repository's name
    """

    folder: Path
    organization: str | None
    name: str

    @staticmethod
    def at(hub_folder: str | Path, organization: str | None, name: str) -> Bundle:
        """
        :raises ConfigurationError: if a name would leave the hub folder, or the Hub would not take it
        """
        for part in (organization, name):
            if part is not None:
                _check_name(part)
        folder = Path(hub_folder) / organization / name if organization else Path(hub_folder) / name
        for path in (folder, *([folder.parent] if organization else [])):
            if path.is_symlink():
                raise ConfigurationError(f"{path} is a symbolic link: a bundle needs a folder of its own")
            if path.exists() and not path.is_dir():
                raise ConfigurationError(f"{path} is a file: a bundle needs a folder of its own")
        return Bundle(folder, organization, name)

    @property
    def repo_id(self) -> str:
        """The repository on the Hub; without an organisation, the Hub takes the token's owner."""
        return f"{self.organization}/{self.name}" if self.organization else self.name

    @property
    def manifest_file(self) -> Path:
        """The list of the files and stages, beside the folder."""
        return self.folder.with_name(f"{self.folder.name}.manifest.json")

    @property
    def card(self) -> Path:
        """The model card, the last file to be written."""
        return self.folder / CARD

    def manifest(self) -> Manifest:
        """:return: what is recorded of the bundle so far"""
        return Manifest(self.manifest_file, self.folder, self.repo_id)

    def files(self) -> list[Path]:
        """:return: all files in the folder, those of the user included, in order"""
        return sorted(
            path
            for path in self.folder.rglob("*")
            if path.is_file() and not set(path.relative_to(self.folder).parts) & set(NOT_UPLOADED)
        )

    def remove(self, name: str) -> None:
        """Remove a file, and the folders below the bundle that it leaves empty."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.folder or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()

    def put_aside(self, content: bytes) -> Path:
        """:return: a new file beside the folder that keeps a card which is about to be replaced"""
        for number in itertools.count(1):
            path = self.folder.with_name(f"{self.folder.name}.README.{number}.md")
            if not path.exists():
                write_bytes(path, content)
                return path
            if path.read_bytes() == content:
                return path
        raise AssertionError

    def links(self) -> list[Path]:
        """:return: symbolic links in the folder; what they point to would be uploaded"""
        return sorted(path for path in self.folder.rglob("*") if path.is_symlink())

    def open(self) -> None:
        """Make the folder, and take away what an interrupted write left in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Take away temporary files of writers that were ended."""
        for path in self.folder.rglob(".*"):
            if _LEFTOVER.match(path.name) and path.is_file():
                path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """
        Keep other processes from building or uploading the same bundle while the block runs.

        :raises ConfigurationError: if one does so now, or the place cannot be written to
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder.with_name(f".{self.folder.name}.lock"))
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout:
            raise ConfigurationError(f"Another process is publishing {self.folder} at this moment") from None
        except OSError as error:
            raise ConfigurationError(f"{self.folder.parent} cannot be written to: {error.strerror}") from None
        try:
            yield
        finally:
            lock.release()

    def take_over(self, hub_folder: str | Path) -> None:
        """Move here what was built as ``hub/<repository>``, before the organisation was known."""
        earlier = Bundle(Path(hub_folder) / self.name, None, self.name)
        if self.organization is None or self.folder.exists() or not earlier.manifest_file.is_file():
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(earlier.folder, self.folder)
        shutil.move(earlier.manifest_file, self.manifest_file)


def _check_name(part: str) -> None:
    plain = PurePosixPath(part).name == part and _REPOSITORY_NAME.fullmatch(part) and ".." not in part
    if not plain or "--" in part or part.endswith((".git", "-", ".")) or len(part) > _LONGEST_NAME:
        raise ConfigurationError(
            f"'{part}' is no name of a user or repository on the Hub. Expected letters, digits, '.', '_' and '-',"
            f" at most {_LONGEST_NAME} of them; --repo-name gives another"
        )
