"""Putting what was downloaded into a run folder: all of it or nothing, and nothing else touched."""

from __future__ import annotations

import os
import re
import shutil
import stat
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import claim_numbered_folder, write_bytes
from rl_experiments.core.names import folder_name
from rl_experiments.hub.remote import DownloadError
from rl_experiments.runs import Run

_METRIC = re.compile(r"evaluations\.npz|(?:[\w-]+\.)*monitor\.csv")
_LARGEST_METRICS = 1 << 30
_LARGEST_BY_COMPRESSION = 16 << 20
_LARGEST_RATIO = 100
"""Episode logs shrink to a tenth; what shrinks so much more was made to fill a disk."""


@dataclass(frozen=True)
class Place:
    """
    Where a run is to be put.

    :param log_folder: the folder of all runs
    :param algorithm: name in the registry
    :param env_id: as Gymnasium knows it
    :param exp_id: the run's number; 0 is the next free one, -1 is no run folder
    :param force: put files into a run that exists
    """

    log_folder: Path
    algorithm: str
    env_id: str
    exp_id: int = 0
    force: bool = False

    @property
    def parent(self) -> Path:
        """The folder of the algorithm's runs."""
        return self.log_folder / self.algorithm

    @property
    def name(self) -> str:
        """The environment id as it appears in file names."""
        return folder_name(self.env_id)

    @property
    def path(self) -> Path | None:
        """The run's folder, None while its number is not known."""
        if self.exp_id == 0:
            return None
        return self.parent if self.exp_id == -1 else self.parent / f"{self.name}_{self.exp_id}"

    def check(self) -> None:
        """
        :raises ConfigurationError: if nothing can or may be put there
        """
        if self.exp_id < -1:
            raise ConfigurationError(
                f"--exp-id must be a run's number, 0 (a new one) or -1 (no run folder), but got {self.exp_id}"
            )
        for folder in (self.log_folder, self.parent):
            if folder.exists() and not folder.is_dir():
                raise ConfigurationError(f"{folder} is no folder: give another with -f")
        if self.path is None:
            return
        run = Run(self.path, self.algorithm, self.name)
        own = [run.config_folder, run.final_model] if self.exp_id == -1 else [run.path, run.config_folder]
        for place in own:
            if place.is_symlink():
                raise ConfigurationError(f"{place} is a symbolic link: a downloaded run needs a place of its own")
            if place.exists() and not self.force:
                raise ConfigurationError(
                    f"{place} exists. Write into it with --force, or make a new run with --exp-id 0"
                )


@contextmanager
def staging(place: Place) -> Iterator[Run]:
    """
    Yield a run in a hidden folder beside its place, to be moved there with :func:`put`; what is not moved goes.

    :raises ConfigurationError: if nothing can or may be put there
    """
    place.check()
    hidden = place.parent / f".{place.name}.{uuid.uuid4().hex[:8]}.tmp"
    made = _make_folders(hidden)
    try:
        yield Run(hidden, place.algorithm, place.name)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
        _remove_empty(made)


def put(staged: Run, place: Place) -> Run:
    """
    Move a staged run to its place; a folder that is new there appears whole.

    :return: the run where it is now
    """
    if place.path is not None and place.path.exists():
        run = Run(place.path, place.algorithm, place.name)
        _merge(staged, run, place.force)
        return run
    path = place.path
    if path is None:
        path = claim_numbered_folder(place.parent, place.name)
    else:
        path.mkdir()
    try:
        if os.name == "nt":  # a folder takes the place of no other there
            path.rmdir()
        os.rename(staged.path, path)
    except BaseException:
        _remove_empty([path])
        raise
    return Run(path, place.algorithm, place.name)


def unpack_metrics(archive: Path, target: Path) -> None:
    """
    Take the evaluations and the episode logs; other names, and names with a path, are left in the archive.

    :raises DownloadError: if it is no zip, or one that was made to fill a disk
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            unpacked = sum(member.file_size for member in opened.infolist())
            packed = _LARGEST_RATIO * archive.stat().st_size
            if unpacked > _LARGEST_METRICS or (unpacked > _LARGEST_BY_COMPRESSION and unpacked > packed):
                raise DownloadError(f"{archive.name} would unpack to {unpacked >> 20} MiB: no metrics are so large")
            for member in opened.infolist():
                if stat.S_ISLNK(member.external_attr >> 16):
                    raise DownloadError(f"{archive.name} holds a symbolic link: {member.filename!r}")
                if _METRIC.fullmatch(member.filename):
                    write_bytes(target / member.filename, opened.read(member))
    except (DownloadError, OSError):
        raise
    except Exception as error:  # each compression has errors of its own
        raise DownloadError(f"{archive.name} is no zip file: {error}") from None


def _make_folders(folder: Path) -> list[Path]:
    """:return: the folders that were made, outermost first"""
    missing = [candidate for candidate in (folder, *folder.parents) if not candidate.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing[::-1])
        raise ConfigurationError(f"{folder.parent} cannot be written to: {error.strerror}") from None
    return missing[::-1]


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, innermost first, as far as nothing is in them."""
    for folder in reversed(folders):
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:  # something is in it
            return


def _merge(staged: Run, target: Run, force: bool) -> None:
    """
    Move the staged files into a folder that exists; if one of them cannot be, all are as they were.

    The old model goes first and the new one comes last: in between, the run has none.
    """
    names = [path.relative_to(staged.path) for path in sorted(staged.path.rglob("*")) if path.is_file()]
    model = Path(staged.final_model.name)
    names = [name for name in names if name != model]
    for name in (model, *names):
        _check_replaceable(target.path, name, force)
    _refuse_stale_statistics(staged, target)
    aside = staged.path.with_name(f"{staged.path.name}.old")
    made = [*_make_folders(aside / target.env_name), *_make_folders(target.config_folder)]
    moves = [(target.path / name, aside / name) for name in (model, *names) if (target.path / name).exists()]
    moves += [(staged.path / name, target.path / name) for name in (*names, model)]
    done: list[tuple[Path, Path]] = []
    try:
        for source, goal in moves:
            done.append((source, goal))  # before it is, because a signal can come in between
            os.rename(source, goal)
    except BaseException:
        for source, goal in reversed(done):
            if not source.exists():
                os.rename(goal, source)
        _remove_empty(made)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _check_replaceable(folder: Path, name: Path, force: bool) -> None:
    place, parents = folder / name, [folder / parent for parent in name.parents]
    for part in (place, *parents):
        if part.is_symlink():
            raise ConfigurationError(f"{part} is a symbolic link: nothing is written through it")
    for part in parents:
        if part.exists() and not part.is_dir():
            raise ConfigurationError(f"{part} is no folder. Make a new run with --exp-id 0")
    if place.exists() and not place.is_file():
        raise ConfigurationError(f"{place} is no file: it is not replaced. Make a new run with --exp-id 0")
    if place.exists() and not force:
        raise ConfigurationError(
            f"{place} exists. Write into its folder with --force, or make a new run with --exp-id 0"
        )


def _refuse_stale_statistics(staged: Run, target: Run) -> None:
    """Statistics of another model would be taken for this one's."""
    if target.final_statistics.exists() and not staged.final_statistics.exists():
        raise ConfigurationError(
            f"{target.final_statistics} belongs to another model, and the downloaded one brings none. "
            "Move it away, or make a new run with --exp-id 0"
        )
