"""Progress for what takes more than some seconds, silent where the output is no terminal."""

from __future__ import annotations

import sys
from typing import Any


def progress_bar(total: int, description: str, unit: str, enabled: bool = True) -> Any:
    """
    :return: a tqdm bar on the error output; it draws nothing unless that is a terminal
    """
    from tqdm import tqdm

    class Bar(tqdm):
        monitor_interval = 0
        """No thread that watches over bars: it could hold their lock at the moment when this process is forked."""

    return Bar(
        total=total,
        desc=description,
        unit=unit,
        disable=not enabled or not sys.stderr.isatty(),
        leave=False,
        file=sys.stderr,
    )
