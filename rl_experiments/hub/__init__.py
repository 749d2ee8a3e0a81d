"""The Hub: bundles, model cards, uploads and downloads."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rl_experiments.hub.bundle import Bundle
    from rl_experiments.hub.download import DownloadError, download_run
    from rl_experiments.hub.publication import Publication
    from rl_experiments.hub.publishing import publish
    from rl_experiments.hub.reuploading import Reupload, upload_built

_HOMES = {
    "Bundle": "bundle",
    "DownloadError": "download",
    "Publication": "publication",
    "Reupload": "reuploading",
    "download_run": "download",
    "publish": "publishing",
    "upload_built": "reuploading",
}
__all__ = ["Bundle", "DownloadError", "Publication", "Reupload", "download_run", "publish", "upload_built"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: uploading a folder needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rl_experiments.hub' has no attribute '{name}'")
    return getattr(importlib.import_module(f"rl_experiments.hub.{_HOMES[name]}"), name)
