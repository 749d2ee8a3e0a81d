"""Who trains in a run folder: a lock that goes with its process, however that ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.runs.folder import Run


@contextlib.contextmanager
def holding(run: Run) -> Iterator[None]:
    """
    Keep others from training in the run's folder while the block runs.

    :raises ConfigurationError: if somebody does
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(run.path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"{run.path} is being trained by another process") from None
        except OSError:  # a network file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


def is_held(run: Run) -> bool:
    """Whether a process trains in the run's folder."""
    try:
        with holding(run):
            return False
    except ConfigurationError:
        return True
