"""Uploading a bundle."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from rl_experiments.hub.bundle import Bundle
from rl_experiments.hub.transfer import DEADLINE, in_child_process

PREFLIGHT_DEADLINE = 10.0
"""Seconds for the question who the token belongs to."""
_HOW_TO_GET_A_TOKEN = "there is no token: run 'hf auth login', or set HF_TOKEN"


@dataclass(frozen=True)
class UploadResult:
    """
    :param url: where the repository is, None where nothing was uploaded
    :param reason: why not, None where it was
    """

    url: str | None
    reason: str | None = None


def upload_command(bundle: Bundle, private: bool = False) -> str:
    """:return: the one command that uploads the folder by hand"""
    return shlex.join(["hf", "upload", bundle.repo_id, str(bundle.folder), *(["--private"] if private else [])])


def why_no_upload(token: str | None) -> str | None:
    """:return: why an upload cannot even begin, or None"""
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return None if token or get_token() else _HOW_TO_GET_A_TOKEN


def token_owner(token: str | None) -> tuple[str | None, str | None]:
    """
    Ask the Hub whose token it is, and give up after some seconds.

    :return: the owner's name, and why it is not known
    """
    answer = in_child_process("whoami", {}, token, PREFLIGHT_DEADLINE)
    return answer.get("name"), answer.get("reason")


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
    obstacle = why_no_upload(token)
    if obstacle is not None:
        return UploadResult(None, obstacle)
    request = {
        "repo_id": bundle.repo_id,
        "folder": str(bundle.folder.resolve()),
        "message": message,
        "private": private,
    }
    answer = in_child_process("upload", request, token, deadline)
    return UploadResult(answer.get("url"), answer.get("reason"))
