"""The Hub: bundles, model cards, uploads."""

from rl_experiments.hub.bundle import Bundle
from rl_experiments.hub.download import DownloadError, download_run
from rl_experiments.hub.publishing import Publication, publish
from rl_experiments.hub.reuploading import Reupload, upload_built

__all__ = [
    "Bundle",
    "DownloadError",
    "Publication",
    "Reupload",
    "download_run",
    "publish",
    "upload_built",
]
