"""Files that appear whole or not at all, and folders that are claimed by making them."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rl_experiments.core.errors import ConfigurationError, NotFoundError, UntrustedError

_LFS_POINTER = b"version https://git-lfs"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """
    Yield a temporary path beside ``path``; on success it is flushed to disk and takes its place, on failure it goes.

    The temporary name keeps the suffix, because some writers choose the format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what :func:`replacing` left in a folder when its process was killed."""
    for path in folder.glob(".*.tmp*"):
        if re.fullmatch(r"\..*\.[0-9a-f]{8}\.tmp(\..+)?", path.name):
            path.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a whole UTF-8 text file, atomically."""
    write_bytes(path, content.encode("utf-8"))


def check_plain_file(path: Path, largest: int | None = None, within: Path | None = None) -> None:
    """
    Check that a file can be opened without waiting, and read without filling the memory.

    :param largest: most bytes that it may have
    :param within: the folder that it must not leave through a symbolic link
    :raises NotFoundError: if it is not there
    :raises UntrustedError: if it leads out of the folder
    :raises ConfigurationError: if it is a pipe, a device or a folder, or too large
    """
    if within is not None and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(within)):
        raise UntrustedError(f"{path} is a symbolic link that leads out of {within}. Put the file itself there")
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"There is no file {path}") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    _check_status(path, status, largest)


def check_content(path: Path) -> None:
    """
    Check that a file is there itself, and not only what a repository that was cloned without Git LFS has of it.

    :raises ConfigurationError: if it is a pointer
    """
    with path.open("rb") as stream:
        if stream.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise ConfigurationError(
                f"{path} is a Git LFS pointer, not the file: 'git lfs pull' in its repository gets it"
            )


def open_plain(path: str | Path, largest: int) -> BinaryIO:
    """
    Open a file to read without waiting for a pipe; it is looked at only once, since a list of runs opens many.

    :param largest: most bytes that it may have
    :raises FileNotFoundError: if it is not there
    :raises UntrustedError: if it is a symbolic link that leads out of its folder
    :raises ConfigurationError: if it is a pipe, a device or a folder, or too large
    """
    if os.path.islink(path):
        check_plain_file(Path(path), largest, within=Path(path).parent)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_status(path, os.fstat(descriptor), largest)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_status(path: str | Path, status: os.stat_result, largest: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise ConfigurationError(f"{path} is {kind}. Expected a file")
    if largest is not None and status.st_size > largest:
        raise ConfigurationError(f"{path} has {status.st_size:,} bytes. At most {largest:,} are read")


def check_can_write(path: Path, what: str) -> None:
    """
    Try whether a file could be written, without a change to what is there.

    :param path: a file that need not be there
    :param what: what it is for, in the error
    :raises ConfigurationError: if it could not
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        if path.exists() and not path.is_file():  # a device, such as /dev/null, or a pipe
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ConfigurationError(f"{what} {path} cannot be written: {error.strerror or error}") from None


def sha256_of(path: Path) -> str:
    """:return: the hexadecimal SHA-256 digest of a file"""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def numbered_folders(parent: Path, name: str) -> dict[int, Path]:
    """
    Folders ``<name>_<n>`` and ``<name>_<n>_<suffix>`` below ``parent``, by number.

    Of several with one number, the one without a suffix comes first.
    """
    pattern = re.compile(re.escape(name) + r"_(\d+)(_.+)?$")
    found: dict[int, Path] = {}
    if not parent.is_dir():
        return found
    with os.scandir(parent) as entries:
        candidates = sorted((entry.name for entry in entries if entry.is_dir()), key=len)
    for candidate in candidates:
        match = pattern.match(candidate)
        if match and int(match[1]) > 0:
            found.setdefault(int(match[1]), parent / candidate)
    return found


def claim_numbered_folder(parent: Path, name: str, suffix: str = "") -> Path:
    """
    Make ``<parent>/<name>_<n><suffix>`` with the next free number; two processes never get the same one.

    A suffix makes the name unique beyond the number, so that runs on machines that share a folder stay apart.
    """
    number = max(numbered_folders(parent, name), default=0) + 1
    while True:
        folder = parent / f"{name}_{number}{suffix}"
        parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1
        except FileNotFoundError:  # another process has just removed the empty parent
            continue


def cache_folder() -> Path:
    """:return: where this machine's measurements and memories are kept (``RL_EXPERIMENTS_CACHE`` moves it)"""
    named = os.environ.get("RL_EXPERIMENTS_CACHE")
    if named:
        return Path(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rl_experiments"
    except RuntimeError:  # a user without a home, as in containers
        return Path(tempfile.gettempdir()) / "rl_experiments"
