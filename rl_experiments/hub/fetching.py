"""
The child process that downloads: names of files in, files and what the Hub says of them out.

It is run as a script with a request on stdin, as :mod:`rl_experiments.hub.child` says, and imports nothing of this
package.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

_PAUSES = (1.0, 3.0)
"""Seconds before a second and a third attempt."""
_STATUSES = {401: "token", 403: "forbidden", 429: "busy"}


def main() -> None:
    """Read a request, do what it asks for, and print the answer."""
    _end_with_parent()
    request = json.load(sys.stdin)
    _silence()
    give_up_at = time.monotonic() + request["seconds"]
    try:
        answer = _fetch(request, give_up_at)
    except Exception as error:  # the client raises its own, its HTTP library's, OSError, RuntimeError and ValueError
        answer = _failure(error)
        if answer["failure"] == "revision":
            answer["names"] = _revisions(request)
    print(json.dumps(answer))


def _end_with_parent() -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _silence() -> None:
    """What went wrong is said once, by the parent."""
    import warnings

    from huggingface_hub.utils import logging

    warnings.simplefilter("ignore")
    logging.set_verbosity(logging.CRITICAL)


def _fetch(request: Mapping[str, Any], give_up_at: float) -> dict[str, Any]:
    """List the repository, and download those of the named files that it has and that are not larger than allowed."""
    from huggingface_hub import HfApi

    api = HfApi(token=request["token"])
    repo_id, revision = request["repo_id"], request["revision"]
    info = _again(lambda: api.model_info(repo_id, revision=revision, files_metadata=True), give_up_at)
    files = {
        item.rfilename: {
            "size": item.size,
            "sha256": item.lfs.sha256 if item.lfs else None,
            "blob_id": None if item.lfs else item.blob_id,
        }
        for item in info.siblings or []
    }
    fetched = [
        name
        for name in request["names"]
        if name in files and (request["largest"] is None or (files[name]["size"] or 0) <= request["largest"])
    ]
    for name in fetched:
        _download(api, request, name, info.sha or revision, give_up_at)
    return {"revision": info.sha, "files": files, "fetched": fetched}


def _download(api: Any, request: Mapping[str, Any], name: str, revision: str | None, give_up_at: float) -> None:
    def attempt() -> None:
        from huggingface_hub import constants

        try:
            api.hf_hub_download(request["repo_id"], name, revision=revision, local_dir=request["folder"])
        except Exception:
            constants.HF_HUB_DISABLE_XET = True  # plain HTTP works where Xet does not
            raise

    _again(attempt, give_up_at)


def _again(attempt: Callable[[], Any], give_up_at: float) -> Any:
    """Try again what may pass; the Hub may say how long to wait."""
    pauses = iter(_PAUSES)
    while True:
        _leave_waiting_to_us()
        try:
            return attempt()
        except Exception as error:
            pause = next(pauses, None)
            if pause is None or not _may_pass(error):
                raise
            wait = max(pause, _retry_after(_first(error)) or 0.0)
            if time.monotonic() + wait > give_up_at:
                raise
            time.sleep(wait)


def _leave_waiting_to_us() -> None:
    """The client would wait as long as the Hub asks for, be it an hour, and say nothing."""
    from huggingface_hub import get_session

    session = get_session()
    hooks = session.event_hooks
    if _raise_at_once not in hooks["response"]:
        session.event_hooks = {**hooks, "response": [*hooks["response"], _raise_at_once]}


def _raise_at_once(response: Any) -> None:
    from huggingface_hub.utils import hf_raise_for_status

    if response.status_code in (408, 429) or response.status_code >= 500:
        response.read()
        hf_raise_for_status(response)


def _may_pass(error: BaseException) -> bool:
    """:return: whether another attempt could end otherwise"""
    failure = _failure(error)["failure"]
    if failure == "other":
        return not isinstance(error, (PermissionError, MemoryError, ValueError))
    return failure in ("busy", "trouble", "network", "strange")


def _failure(error: BaseException) -> dict[str, Any]:
    """:return: what kind of failure it is, in its own words, and what the Hub said about it"""
    from huggingface_hub import errors

    error = _first(error)
    kinds = {
        errors.GatedRepoError: "gated",
        errors.RepositoryNotFoundError: "repository",
        errors.RevisionNotFoundError: "revision",
        errors.EntryNotFoundError: "file",
        errors.DisabledRepoError: "disabled",
        errors.OfflineModeIsEnabled: "offline",
    }
    kind = next((name for known, name in kinds.items() if isinstance(error, known)), None)
    detail = f"{type(error).__name__}: {error}"
    if kind is None and isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        in_trouble = status >= 500 or status == 408
        kind = _STATUSES.get(status, "trouble" if in_trouble else "refused")
        detail = str(status) if in_trouble else detail
    elif kind is None and _is_of_the_network(error):
        kind = "network"
    elif isinstance(error, json.JSONDecodeError):
        kind = "strange"
    return {"failure": kind or "other", "detail": _one_line(detail), "retry_after": _retry_after(error)}


def _first(error: BaseException) -> BaseException:
    """The client wraps what happened first when it finds nothing in its cache either."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_of_the_network(error: BaseException) -> bool:
    """The client's HTTP library has changed its name before, and will again; what it calls these has not."""
    names = {base.__name__ for base in type(error).__mro__}
    return bool(names & {"TransportError", "ConnectionError", "TimeoutError", "gaierror"})


def _retry_after(error: BaseException) -> float | None:
    response = getattr(error, "response", None)
    try:
        return max(float(response.headers["Retry-After"]), 0.0) if response is not None else None
    except (KeyError, ValueError, AttributeError):
        return None


def _revisions(request: Mapping[str, Any]) -> list[str]:
    """:return: branches and tags, as far as the Hub tells them"""
    from huggingface_hub import HfApi

    try:
        found = HfApi(token=request["token"]).list_repo_refs(request["repo_id"])
        return [item.name for item in (*found.branches, *found.tags)]
    except Exception:  # it is no more than a hint
        return []


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


if __name__ == "__main__":
    main()
