"""
Talking to the Hub in a process of its own.

The Hub's client has no timeouts: a Hub that hangs would hang it for ever. A child process can be ended at a deadline.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEADLINE = 600.0
"""Seconds after which a transfer is given up."""
TOKEN_VARIABLE = "RL_EXPERIMENTS_HUB_TOKEN"


def in_child_process(action: str, request: Mapping[str, Any], token: str | None, deadline: float) -> dict[str, Any]:
    """
    Run one of the actions below in a child process.

    :param action: ``upload`` or ``download``
    :param request: its arguments
    :param token: a token for the Hub; if None, the one that is saved on this machine
    :param deadline: seconds after which the process is ended
    :return: its answer; ``reason`` in it says why it failed, if it did
    """
    environment = {**os.environ, **({TOKEN_VARIABLE: token} if token else {})}
    process = subprocess.Popen(
        # The file itself, not the module: the package would import torch first.
        [sys.executable, "-P", __file__, action],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        output, _ = process.communicate(json.dumps(request), timeout=deadline)
    except subprocess.TimeoutExpired:
        return {"reason": f"the Hub did not finish within {deadline:g} seconds"}
    except KeyboardInterrupt:
        return {"reason": "it was interrupted"}
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    try:
        answer = json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {"reason": f"the transfer ended with exit code {process.returncode}"}
    return dict(answer)


def _upload(request: Mapping[str, Any]) -> dict[str, Any]:
    from huggingface_hub import HfApi

    api = HfApi(token=os.environ.get(TOKEN_VARIABLE))
    url = api.create_repo(request["repo_id"], private=bool(request["private"]), exist_ok=True)
    api.upload_folder(repo_id=url.repo_id, folder_path=Path(request["folder"]), commit_message=request["message"])
    return {"url": str(url)}


def _download(request: Mapping[str, Any]) -> dict[str, Any]:
    """Download the named files that the repository has, and tell their digests as far as the Hub does."""
    from huggingface_hub import HfApi

    api = HfApi(token=os.environ.get(TOKEN_VARIABLE))
    info = api.model_info(request["repo_id"], revision=request.get("revision"), files_metadata=True)
    siblings = {item.rfilename: item for item in info.siblings or []}
    digests = {}
    for name in request["files"]:
        if name not in siblings:
            continue
        api.hf_hub_download(
            request["repo_id"], name, revision=info.sha or request.get("revision"), local_dir=request["folder"]
        )
        lfs = siblings[name].lfs
        digests[name] = lfs.sha256 if lfs else None
    return {"files": digests, "revision": info.sha, "all_files": sorted(siblings)}


def main() -> None:
    """What the child process does: an action and its request in, one line of JSON out."""
    action = {"upload": _upload, "download": _download}[sys.argv[1]]
    try:
        answer = action(json.load(sys.stdin))
    except Exception as error:  # the client raises its own, httpx's, OSError, RuntimeError and ValueError
        answer = {"reason": " ".join(f"{type(error).__name__}: {error}".split())[:400]}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
