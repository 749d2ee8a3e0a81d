"""The Hub: bundles, model cards, uploads."""

from rl_experiments.hub.bundle import Bundle
from rl_experiments.hub.download import DownloadError, download_run
from rl_experiments.hub.publishing import Publication, publish
from rl_experiments.hub.upload import UploadResult, upload_bundle, upload_command

__all__ = [
    "Bundle",
    "DownloadError",
    "Publication",
    "UploadResult",
    "download_run",
    "publish",
    "upload_bundle",
    "upload_command",
]
