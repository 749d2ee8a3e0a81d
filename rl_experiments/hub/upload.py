"""
Uploading a bundle, in a process of its own.

The Hub's client has no timeouts: a Hub that hangs would hang it for ever. A child process can be ended at a deadline.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rl_experiments.hub.bundle import Bundle

DEADLINE = 600.0
"""Seconds after which an upload is given up."""
TOKEN_VARIABLE = "RL_EXPERIMENTS_UPLOAD_TOKEN"
_HOW_TO_GET_A_TOKEN = "there is no token: run 'hf auth login', or set HF_TOKEN"


@dataclass(frozen=True)
class UploadResult:
    """
    :param url: where the repository is, None where nothing was uploaded
    :param reason: why not, None where it was
    """

    url: str | None
    reason: str | None = None


def upload_command(bundle: Bundle) -> str:
    """:return: the one command that uploads the folder by hand"""
    return shlex.join(["hf", "upload", bundle.repo_id, str(bundle.folder)])


def known_token(token: str | None) -> str | None:
    """:return: the token that was given, or the one that is saved on this machine"""
    from huggingface_hub import get_token

    return token or get_token()


def why_no_upload(token: str | None) -> str | None:
    """:return: why an upload cannot even begin, or None"""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return None if known_token(token) else _HOW_TO_GET_A_TOKEN


def upload_bundle(
    bundle: Bundle, *, message: str, token: str | None = None, private: bool = False, deadline: float = DEADLINE
) -> UploadResult:
    """
    Make the repository if need be, and upload every file of the bundle in one commit.

    :param message: the commit's message
    :param token: a write token; if None, the one that is saved on this machine
    :param private: whether a new repository is private
    :param deadline: seconds after which it is given up
    """
    reason = why_no_upload(token)
    if reason is not None:
        return UploadResult(None, reason)
    request = {
        "repo_id": bundle.repo_id,
        "folder": str(bundle.folder.resolve()),
        "message": message,
        "private": private,
    }
    environment = {**os.environ, **({TOKEN_VARIABLE: token} if token else {})}
    process = subprocess.Popen(
        [sys.executable, "-m", "rl_experiments.hub.upload"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        output, _ = process.communicate(json.dumps(request), timeout=deadline)
    except subprocess.TimeoutExpired:
        return UploadResult(None, f"the Hub did not finish within {deadline:g} seconds")
    except KeyboardInterrupt:
        return UploadResult(None, "it was interrupted")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    try:
        answer = json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return UploadResult(None, f"the upload ended with exit code {process.returncode}")
    return UploadResult(answer.get("url"), answer.get("reason"))


def _upload_here(request: dict[str, str]) -> dict[str, str | None]:
    """What the child process does."""
    from huggingface_hub import HfApi

    api = HfApi(token=os.environ.get(TOKEN_VARIABLE))
    try:
        url = api.create_repo(request["repo_id"], private=bool(request["private"]), exist_ok=True)
        api.upload_folder(repo_id=url.repo_id, folder_path=Path(request["folder"]), commit_message=request["message"])
    except Exception as error:  # the client raises its own, httpx's, OSError, RuntimeError and ValueError
        return {"url": None, "reason": " ".join(f"{type(error).__name__}: {error}".split())[:400]}
    return {"url": str(url), "reason": None}


if __name__ == "__main__":
    print(json.dumps(_upload_here(json.load(sys.stdin))))
