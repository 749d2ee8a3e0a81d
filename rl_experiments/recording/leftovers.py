"""Videos that a killed process did not finish, beside those that others are at work on."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: leftovers stay
    fcntl = None  # type: ignore[assignment]

_UNFINISHED = r"\..*\.[0-9a-f]{8}\.tmp\.(mp4|webm|gif)"
_CLAIMING = 60.0
"""Seconds after which an empty file is not just being claimed any more."""


@contextmanager
def held(temporary: Path) -> Iterator[None]:
    """
    Mark a video as being worked on for as long as this process lives, and remove those beside it that nobody works on.

    :param temporary: what :func:`rl_experiments.core.files.replacing` gave; it is empty then
    """
    with contextlib.ExitStack() as stack:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # no such folder, or a file system without locks: the encoder will say
                remove_leftovers(temporary.parent)
                stream = stack.enter_context(temporary.open("wb"))
                fcntl.flock(stream, fcntl.LOCK_SH)
        yield


def remove_leftovers(folder: Path) -> None:
    """:param folder: of videos; what is being written into it by a process that lives stays"""
    for path in folder.glob(".*.tmp.*"):
        if re.fullmatch(_UNFINISHED, path.name) and path.is_file():
            with contextlib.suppress(OSError), path.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                status = path.stat()
                if status.st_size or time.time() - status.st_mtime > _CLAIMING:
                    path.unlink(missing_ok=True)
