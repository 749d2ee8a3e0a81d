"""
Talking to the Hub in a process of its own.

The Hub's client has no timeouts: a Hub that hangs would hang it for ever. A child process can be ended at a deadline.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

DEADLINE = 600.0
"""Seconds after which a transfer is given up."""
_PAUSES = (1.0, 5.0)
"""Seconds before a second and a third attempt."""
TOKEN_VARIABLE = "RL_EXPERIMENTS_HUB_TOKEN"


def in_child_process(action: str, request: Mapping[str, Any], token: str | None, deadline: float) -> dict[str, Any]:
    """
    Run one of the actions below in a child process.

    :param action: ``whoami``, ``upload`` or ``download``
    :param request: its arguments
    :param token: a token for the Hub; if None, the one that is saved on this machine
    :param deadline: seconds after which the process is ended
    :return: its answer; ``reason`` in it says why it failed, if it did
    """
    environment = {**os.environ, **({TOKEN_VARIABLE: token} if token else {})}
    process = subprocess.Popen(
        # The file itself, not the module: the package would import torch first.
        [sys.executable, "-P", __file__, action, str(deadline)],
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


def _whoami(request: Mapping[str, Any]) -> dict[str, Any]:
    from huggingface_hub import HfApi

    return {"name": HfApi(token=os.environ.get(TOKEN_VARIABLE)).whoami()["name"]}


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
    """What the child process does: an action, a deadline and a request in, one line of JSON out."""
    action = {"whoami": _whoami, "upload": _upload, "download": _download}[sys.argv[1]]
    _end_after(float(sys.argv[2]) + 5)
    print(json.dumps(_until_it_works(action, json.load(sys.stdin))))


def _until_it_works(
    action: Callable[[Mapping[str, Any]], dict[str, Any]], request: Mapping[str, Any]
) -> dict[str, Any]:
    """Try again what may pass. A second upload sends only what is not there yet."""
    from huggingface_hub import constants

    pauses = iter(_PAUSES)
    while True:
        try:
            return action(request)
        except Exception as error:  # the client raises its own, httpx's, OSError, RuntimeError and ValueError
            # Only the Xet library raises this very class, for a Hub without Xet too: the client has no way around it.
            if type(error) is ConnectionError and not constants.HF_HUB_DISABLE_XET:
                constants.HF_HUB_DISABLE_XET = True
                continue
            pause = next(pauses, None)
            if pause is None or _is_final(error):
                return {"reason": " ".join(f"{type(error).__name__}: {error}".split())[:400]}
            time.sleep(pause)


def _is_final(error: BaseException) -> bool:
    """:return: whether trying again would change nothing: the Hub said no, or what was asked for makes no sense"""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return 400 <= status < 500 and status not in (408, 429)
    if isinstance(error, ValueError):  # an answer that is no JSON comes from a Hub in trouble
        return not isinstance(error, json.JSONDecodeError)
    return isinstance(error, OfflineModeIsEnabled) or (error.__cause__ is not None and _is_final(error.__cause__))


def _end_after(seconds: float) -> None:
    """End this process even if its parent is no longer there to do so."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
