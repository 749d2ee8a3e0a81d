"""Videos that lie beside a run, as links from a report."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from rl_experiments.reporting.report.reading import RunData

_SUFFIXES = (".mp4", ".webm", ".gif")


def find_video(run: RunData) -> Path | None:
    """:return: the newest video of the run, None where there is none"""
    candidates = [file for folder in (run.path / "videos", run.path) for file in _videos(folder)]
    return max(candidates, key=lambda file: file.stat().st_mtime, default=None)


def link_to(file: Path, page: Path) -> str:
    """:return: a relative address from a page to a file, which holds while both lie as they do"""
    try:
        return quote(os.path.relpath(file.resolve(), page.resolve().parent).replace(os.sep, "/"))
    except ValueError:  # on another drive
        return file.resolve().as_uri()


def _videos(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*") if file.suffix in _SUFFIXES and file.is_file())
