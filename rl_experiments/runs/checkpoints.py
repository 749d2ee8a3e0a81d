"""
Checkpoints to go on from: folders ``<run>/checkpoints/<steps>/``, each complete by itself, each whole or not there.

``manifest.json`` tells the steps and the SHA-256 digest of every file. A folder is written beside its place, flushed,
and renamed. One is exact if a training that goes on from it ends as one that was never stopped; where the state of
environments cannot be had, others lie beside the last exact one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.files import check_plain_file, sha256_of, write_text
from rl_experiments.runs.folder import CHECKPOINTS, Run

SCHEMA_VERSION = 1
KEPT = 2
"""The latest exact ones stay, the best, and what is not exact but newer than all of them."""
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

    @property
    def scored_at(self) -> int | None:
        """Steps of an evaluation that was still being played when it was written, None where there was none."""
        steps = self.facts.get("scored_at")
        return steps if isinstance(steps, int) else None

    @property
    def exact(self) -> bool:
        """Whether a training that goes on from it ends as one that was never stopped."""
        return self.facts.get("exact") is not False

    def monitors(self, run: Run) -> dict[Path, int]:
        """:return: the run's episode logs, and how many bytes of them were written before it"""
        return {run.path / Path(name).name: size for name, size in self.facts.get("monitors", {}).items()}

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
    return list(run.resumable().values())


def folder_of(run: Run) -> Path:
    """:return: where a run's checkpoints are"""
    return run.path / CHECKPOINTS


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
    :return: the last exact one that is whole; where there is none, the last
    """
    inexact = None
    for path in reversed(checkpoints_of(run)):
        try:
            found = read(path)
            if not found.exact and inexact is not None:
                continue
            found.check()
        except ConfigurationError as error:
            tell(f"The checkpoint {path} is skipped: {error}")
            continue
        if found.exact:
            return found
        inexact = found
    return inexact


def newer_than(run: Run, checkpoint: Checkpoint) -> Checkpoint | None:
    """:return: the last one that can be read, if it has more steps"""
    for path in reversed(checkpoints_of(run)):
        with contextlib.suppress(ConfigurationError):
            found = read(path)
            return found if found.steps > checkpoint.steps else None
    return None


def run_folder_of(path: Path) -> Path | None:
    """:return: the run that a checkpoint's folder belongs to; None if it is no such folder"""
    path = path.absolute()
    return path.parent.parent if path.parent.name == CHECKPOINTS and path.name.isdecimal() else None


def begin_from(run: Run, checkpoint: Checkpoint) -> None:
    """
    The run goes on from this one, which is as good as exact: what came after it is of a future that will not be.

    Checkpoints go before the episodes that they count on.
    """
    for path in checkpoints_of(run):
        if path.name > checkpoint.path.name:
            _remove(path)
    for file, size in checkpoint.monitors(run).items():
        os.truncate(file, size)
    if not checkpoint.exact:
        content = {**checkpoint.facts, "exact": True}
        write_text(checkpoint.file(_MANIFEST), json.dumps(content, indent=1) + "\n")


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


def rate(run: Run, steps: int, score: float | None) -> None:
    """
    Tell the checkpoints that were written during an evaluation what it reached, and remove those that need not stay.

    :param steps: of the evaluation
    """
    rated = False
    for path in checkpoints_of(run):
        with contextlib.suppress(ConfigurationError, OSError):
            found = read(path)
            if found.scored_at == steps:
                content = {**found.facts, "score": score}
                del content["scored_at"]
                write_text(found.file(_MANIFEST), json.dumps(content, indent=1) + "\n")
                rated = True
    if rated:
        prune(run)


def prune(run: Run) -> None:
    """Remove what a killed process left half-written, and all checkpoints that need not stay."""
    folders = checkpoints_of(run)
    scores: dict[Path, float] = {}
    inexact, unrated = set(), set()
    for path in folders:
        with contextlib.suppress(ConfigurationError):
            found = read(path)
            if found.scored_at is not None:
                unrated.add(path)
            if not found.exact:
                inexact.add(path)
            elif found.score is not None:
                scores[path] = found.score
    exact = [path for path in folders if path not in inexact]
    kept = {*exact[-KEPT:], *folders[-1:], *unrated}
    if scores:
        kept.add(max(scores, key=lambda path: (scores[path], path.name)))
    for path in folders:
        if path not in kept:
            _remove(path)
    for entry in folder_of(run).glob(".*"):
        shutil.rmtree(entry, ignore_errors=True)


def thin(run: Run, to_go_on: Collection[str], keep_last: int | None) -> None:
    """
    Keep the models of all checkpoints, and what training goes on from in the latest only.

    :param to_go_on: names of the files that are needed for that alone
    :param keep_last: keep so many of the last and the best, and remove the others whole; all stay if None
    """
    whole: dict[Path, Checkpoint] = {}
    for path in checkpoints_of(run):
        with contextlib.suppress(ConfigurationError):
            whole[path] = read(path)
    folders = list(whole)
    scores = {path: found.score for path, found in whole.items() if found.score is not None}
    best = max(scores, key=lambda path: scores[path]) if scores else None
    for path in folders:
        if keep_last is not None and path not in (*folders[-keep_last:], best):
            _remove(path)
        elif path not in folders[-KEPT:] and not set(whole[path].files).isdisjoint(to_go_on):
            _leave_out(whole[path], to_go_on)
    for entry in folder_of(run).glob(".*"):
        shutil.rmtree(entry, ignore_errors=True)


def _leave_out(checkpoint: Checkpoint, names: Collection[str]) -> None:
    """Take files out of a checkpoint: out of its manifest first, so that it is whole at every moment."""
    files = {name: digest for name, digest in checkpoint.files.items() if name not in names}
    content = {**checkpoint.facts, "exact": False, "files": files}
    write_text(checkpoint.file(_MANIFEST), json.dumps(content, indent=1) + "\n")
    for name in names:
        checkpoint.file(name).unlink(missing_ok=True)


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
