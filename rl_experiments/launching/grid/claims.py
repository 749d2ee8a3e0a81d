"""Who trains a run of a grid: a lock on a file, so that a grid that is started twice trains nothing twice."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class Claims:
    """
    Locks that go with this process, however it ends.

    :param folder: of the lock files
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def take(self, name: str) -> bool:
        """:return: whether it is ours now; False where another process has it"""
        try:
            import fcntl
        except ImportError:  # Windows
            return True
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            except OSError:  # a network file system without locks
                break
            if self._is_there(name, descriptor):
                break
            os.close(descriptor)  # who had it has removed it in between
        self._held[name] = descriptor
        return True

    def release(self, name: str) -> None:
        """Let others have it."""
        descriptor = self._held.pop(name, None)
        if descriptor is None:
            return
        import fcntl

        (self._folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # closing alone is not enough: processes that were forked have it open too
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    def _is_there(self, name: str, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.stat(self._folder / name), os.fstat(descriptor))
        except OSError:
            return False

    def release_all(self) -> None:
        """Let others have all."""
        for name in list(self._held):
            self.release(name)
