"""
Checkpoints to go on from: folders ``<run>/checkpoints/<steps>/``, each complete by itself, each whole or not there.

``manifest.json`` tells the steps and the SHA-256 digest of every file. A folder is written beside its place, flushed,
and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.files import check_plain_file, sha256_of, write_text
from rl_experiments.runs.folder import Run

SCHEMA_VERSION = 1
KEPT = 2
"""The latest ones stay, and the best."""
_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 64 << 20


@dataclass(frozen=True)
class Checkpoint:
    """
    :param path: the folder
    :param steps: environment steps that were done
    :param files: name to SHA-256 digest
    :param facts: what else the manifest tells
    """

    path: Path
    steps: int
    files: Mapping[str, str]
    facts: Mapping[str, Any]

    @property
    def score(self) -> float | None:
        """Mean return in the last evaluation before it, None where there was none."""
        score = self.facts.get("score")
        return float(score) if isinstance(score, (int, float)) else None

    def file(self, name: str) -> Path:
        """:return: the path of one of its files"""
        return self.path / name

    def check(self) -> None:
        """
        :raises ConfigurationError: if a file is missing or is not what was written
        """
        for name, digest in self.files.items():
            file = self.path / name
            try:
                check_plain_file(file, within=self.path)
                found = sha256_of(file)
            except (OSError, RLExperimentsError):
                raise ConfigurationError(f"its file {name} cannot be read") from None
            if found != digest:
                raise ConfigurationError(f"its file {name} is not what was written")


def checkpoints_of(run: Run) -> list[Path]:
    """:return: the folders of a run, by ascending steps, whether whole or not"""
    folder = folder_of(run)
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.name.isdecimal() and entry.is_dir())


def folder_of(run: Run) -> Path:
    """:return: where a run's checkpoints are"""
    return run.path / "checkpoints"


def read(path: Path) -> Checkpoint:
    """
    :raises ConfigurationError: if the folder has no manifest that can be read
    """
    try:
        check_plain_file(path / _MANIFEST, _LARGEST_MANIFEST, within=path)
        content = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        steps, files = content["steps"], content["files"]
        names = all(isinstance(name, str) and Path(name).name == name for name in files)
        if not isinstance(steps, int) or not isinstance(files, dict) or not names:
            raise ValueError
        if content["schema_version"] != SCHEMA_VERSION:
            raise ConfigurationError(f"it is of version {content['schema_version']}, and {SCHEMA_VERSION} is read")
        return Checkpoint(path, steps, files, content)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, RLExperimentsError) as error:
        reason = str(error) if isinstance(error, RLExperimentsError) else f"its {_MANIFEST} is damaged or missing"
        raise ConfigurationError(reason) from None


def latest(run: Run, tell: Callable[[str], None]) -> Checkpoint | None:
    """
    :param tell: told of every one that is damaged, and is skipped for the one before
    :return: the last one that is whole
    """
    for path in reversed(checkpoints_of(run)):
        try:
            found = read(path)
            found.check()
            return found
        except ConfigurationError as error:
            tell(f"The checkpoint {path} is skipped: {error}")
    return None


def write(
    run: Run, steps: int, fill: Callable[[Path], Mapping[str, Any]], known: Mapping[str, str] | None = None
) -> Checkpoint:
    """
    :param steps: environment steps that were done
    :param fill: writes the files into the folder that it gets; returns what the manifest shall tell beside them
    :param known: digests of files that are links to those of an earlier checkpoint
    :return: the checkpoint, which takes the place of one of the same steps
    :raises OSError: if it cannot be written; nothing is left of it then
    """
    path = folder_of(run) / f"{steps:010d}"
    with _beside(path) as temporary:
        facts = fill(temporary)
        files = {}
        for file in sorted(temporary.iterdir()):
            digest = (known or {}).get(file.name)
            if digest is None:
                _flush(file)
                digest = sha256_of(file)
            files[file.name] = digest
        content = {"schema_version": SCHEMA_VERSION, "steps": steps, **facts, "files": files}
        write_text(temporary / _MANIFEST, json.dumps(content, indent=1) + "\n")
        _flush(temporary)
        if path.exists():
            os.replace(path, _hidden(path))
        os.replace(temporary, path)
        _flush(path.parent)
    return Checkpoint(path, steps, files, content)


def prune(run: Run) -> None:
    """Remove what a killed process left half-written, and all checkpoints but the latest and the best."""
    folders = checkpoints_of(run)
    scores: dict[Path, float] = {}
    for path in folders:
        with contextlib.suppress(ConfigurationError):
            score = read(path).score
            if score is not None:
                scores[path] = score
    best = max(scores, key=lambda path: (scores[path], path.name), default=None)
    for path in folders[:-KEPT]:
        if path != best:
            _remove(path)
    for entry in folder_of(run).glob(".*"):
        shutil.rmtree(entry, ignore_errors=True)


def link(source: Path, target: Path) -> None:
    """Give a file that never changes a second name; where the file system has no links, copy it."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        shutil.copyfile(source, target)


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    temporary = _hidden(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove(path: Path) -> None:
    """Whoever looks meanwhile sees it whole or not at all."""
    hidden = _hidden(path)
    with contextlib.suppress(OSError):
        os.replace(path, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # not every file system flushes folders
            raise
    finally:
        os.close(descriptor)
