"""
What the child process does that uploads: run as a script, with an action as argument and a request on stdin.

It imports nothing of this package, whose imports would cost seconds.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_PAUSES = (1.0, 2.0, 5.0, 10.0)
"""Seconds before each further attempt; the client itself tries a single request again, too."""
_LARGEST_CARD = 5 << 20
_CARD, _ATTRIBUTES, _IGNORED = "README.md", ".gitattributes", ".gitignore"
_MOST_SECONDS_TO_WAIT = 300.0


def _preflight(request: Mapping[str, Any]) -> dict[str, Any]:
    """Whose token it is, whether it may write to the namespace, and the card that is there already."""
    api = _api(request)
    try:
        who = _twice(api.whoami)
    except Exception as error:
        return {"reason": _describe(error, request), "final": _is_final(error)}
    answer: dict[str, Any] = {"name": who["name"]}
    organization = request.get("organization") or who["name"]
    problem = _why_no_rights(who, organization)
    if problem:
        return {**answer, "reason": problem, "final": True}
    _say(answer)
    try:
        answer["card"] = _twice(lambda: _remote_card(api, f"{organization}/{request['name']}", request.get("revision")))
    except Exception as error:  # without it, the card is made anew; the upload will tell more
        answer["no_card_because"] = _describe(error, request)
    return answer


def _twice(function: Callable[[], Any]) -> Any:
    """Ask once more where that may help; the preflight has seconds."""
    try:
        return function()
    except Exception as error:
        if _is_final(error):
            raise
        time.sleep(0.5)
        return function()


def _why_no_rights(who: Mapping[str, Any], organization: str) -> str | None:
    token = (who.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        return "the token may only read: make one that may write, and run 'hf auth login'"
    groups = {group["name"]: group.get("roleInOrg") for group in who.get("orgs", [])}
    if organization == who["name"] or token.get("role") == "fineGrained":
        return None
    if organization not in groups:
        known = ", ".join([who["name"], *sorted(groups)])
        return f"the token's owner may not publish under '{organization}'. It may under: {known}"
    if groups[organization] == "read":
        return f"the token's owner may only read in '{organization}'"
    return None


def _remote_card(api: Any, repo_id: str, revision: str | None) -> str | None:
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(api.hf_hub_download(repo_id, "README.md", revision=revision, local_dir=folder))
            return _encoded(path) if path.stat().st_size <= _LARGEST_CARD else None
    except (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError):
        return None


def _upload(request: Mapping[str, Any]) -> dict[str, Any]:
    """
    Make the repository, send what is not there yet in one commit, and compare.

    An attempt begins with a comparison, so that a commit whose answer was lost is recognised.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api, revision = _api(request), request.get("revision")
    url = api.create_repo(request["repo_id"], private=bool(request["private"]), exist_ok=True)
    if revision:
        api.create_branch(url.repo_id, branch=revision, exist_ok=True)
    folder = Path(request["folder"])
    found, head = _remote_files(api, url.repo_id, revision)
    different = [name for name in request["files"] if not _is_same(folder / name, found.get(name))]
    conflict = _conflict(api, url.repo_id, head, request, found, different)
    if conflict:
        return {"conflict": conflict, "repo_id": url.repo_id}
    obsolete = [name for name in request["obsolete"] if name in found and name not in request["files"]]
    if different or obsolete:
        operations = [
            *(CommitOperationAdd(name, folder / name) for name in different),
            *(CommitOperationDelete(name) for name in obsolete),
        ]
        api.create_commit(
            url.repo_id, operations, commit_message=request["message"], revision=revision, parent_commit=head
        )
        found, head = _remote_files(api, url.repo_id, revision)
        different = [name for name in request["files"] if not _is_same(folder / name, found.get(name))]
        if different and _IGNORED in found:
            raise ValueError(
                f"the repository's {_IGNORED} keeps out {', '.join(different[:3])}: remove it on the Hub, and try again"
            )
        if different:
            raise ConnectionAbortedError(f"the Hub has not kept what was sent: {', '.join(different[:3])}")
    return {"url": str(url), "repo_id": url.repo_id, "commit": head}


def _conflict(
    api: Any, repo_id: str, head: str, request: Mapping[str, Any], found: Mapping[str, Any], different: list[str]
) -> dict[str, str]:
    """:return: what is on the Hub and must not be replaced unseen: a card with words of somebody's, attributes"""
    conflict = {}
    with tempfile.TemporaryDirectory() as folder:

        def fetch(name: str) -> Path:
            return Path(api.hf_hub_download(repo_id, name, revision=head, local_dir=folder))

        if _CARD in different and _CARD in found and found[_CARD].blob_id not in request["replaceable"]:
            if (found[_CARD].size or 0) > _LARGEST_CARD:
                raise ValueError("the card on the Hub is too large to be brought up to date: shorten it, and try again")
            conflict[_CARD] = _encoded(fetch(_CARD))
        if _ATTRIBUTES in different and _ATTRIBUTES in found:
            ours = (Path(request["folder"]) / _ATTRIBUTES).read_text(encoding="utf-8").splitlines()
            path = fetch(_ATTRIBUTES)
            if set(path.read_text(encoding="utf-8", errors="replace").splitlines()) - set(ours):
                conflict[_ATTRIBUTES] = _encoded(path)
    return conflict


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _compare(request: Mapping[str, Any]) -> dict[str, Any]:
    """:return: whether the repository is as it should be, without changing it"""
    api = _api(request)
    repo_id = request["repo_id"] if "/" in request["repo_id"] else f"{api.whoami()['name']}/{request['repo_id']}"
    found, head = _remote_files(api, repo_id, request.get("revision"))
    same = all(_is_same(Path(request["folder"]) / name, found.get(name)) for name in request["files"])
    complete = same and not any(name in found and name not in request["files"] for name in request["obsolete"])
    return {"complete": complete, "url": f"{api.endpoint}/{repo_id}", "repo_id": repo_id, "commit": head}


def _api(request: Mapping[str, Any]) -> Any:
    from huggingface_hub import HfApi, constants

    if not request.get("xet", True):
        constants.HF_HUB_DISABLE_XET = True
    return HfApi(token=request.get("token"))


def _remote_files(api: Any, repo_id: str, revision: str | None) -> tuple[dict[str, Any], str]:
    """:return: all files of the repository with their hashes, and the commit"""
    info = api.model_info(repo_id, revision=revision, files_metadata=True)
    return {item.rfilename: item for item in info.siblings or []}, info.sha


def _is_same(path: Path, remote: Any) -> bool:
    """:return: whether the repository has the file as it is on disk"""
    from huggingface_hub.utils import sha

    if remote is None:
        return False
    if remote.size is not None and remote.size != path.stat().st_size:
        return False
    if remote.lfs is not None:
        with path.open("rb") as stream:
            return bool(remote.lfs.sha256 == sha.sha_fileobj(stream).hex())
    return bool(remote.blob_id == sha.git_hash(path.read_bytes()))


def _until_it_works(
    action: Callable[[Mapping[str, Any]], dict[str, Any]], request: Mapping[str, Any]
) -> dict[str, Any]:
    """Try again what may pass: without Xet the second time, and after a pause that grows."""
    from huggingface_hub import constants

    pauses = iter(_PAUSES)
    while True:
        try:
            return action(request)
        except Exception as error:  # the client raises its own, httpx's, OSError, RuntimeError and ValueError
            first_without_xet = not constants.HF_HUB_DISABLE_XET
            constants.HF_HUB_DISABLE_XET = True
            if _is_final(error):
                return {"reason": _describe(error, request), "final": True}
            # Only the Xet library raises this very class, at once, where a Hub does not speak its protocol.
            if first_without_xet and type(error) is ConnectionError:
                continue
            pause = next(pauses, None)
            if pause is None:
                return {"reason": _describe(error, request)}
            wait = max(pause, _retry_after(error))
            if wait > _MOST_SECONDS_TO_WAIT:
                return {"reason": f"the Hub asks to wait for {wait:g} seconds: try again later"}
            print(f"{_describe(error, request)}: trying again in {wait:g} s", file=sys.stderr)
            _wait(wait)


def _wait(seconds: float) -> None:
    """Wait, with a sign of life now and then."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        print(f"waiting for {left:.1f} s more", file=sys.stderr)


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    return getattr(response, "status_code", None)


def _retry_after(error: BaseException) -> float:
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        return float(headers.get("Retry-After") or 0)
    except ValueError:  # it may be a date
        return 0.0


def _is_final(error: BaseException) -> bool:
    """:return: whether trying again would change nothing: the Hub said no, or what was asked for makes no sense"""
    from huggingface_hub.errors import OfflineModeIsEnabled

    status = _status(error)
    if status is not None:
        # 409 and 412: somebody else committed at the same time.
        return 400 <= status < 500 and status not in (408, 409, 412, 429)
    if isinstance(error, ValueError):  # an answer that is no JSON comes from a Hub in trouble
        return not isinstance(error, json.JSONDecodeError)
    if isinstance(error, (FileNotFoundError, PermissionError, OfflineModeIsEnabled)):
        return True
    return error.__cause__ is not None and _is_final(error.__cause__)


def _describe(error: BaseException, request: Mapping[str, Any]) -> str:
    """:return: one line: what happened, what to do, and the client's own words"""
    status, cause = _status(error), error.__cause__
    if status is None and cause is not None:
        status = _status(cause)
    said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    token = request.get("token") or os.environ.get("HF_TOKEN")
    if token:
        said = said.replace(token, "***")
    advice = {
        401: "the Hub does not accept the token: make a new one, and run 'hf auth login'",
        403: "the token may not do this: use one that may write to this namespace",
        404: "there is no such user, organisation or repository on the Hub, or the token may not see it",
        413: "a file is too large for the Hub",
        429: "the Hub has had too many requests: try again later",
    }
    if status in advice:
        return f"{advice[status]} ({status}: {said})"
    if status is not None and status >= 500:
        return f"the Hub is in trouble: try again later ({status}: {said})"
    if type(error).__name__ == "RemoteProtocolError":
        return f"the Hub broke the connection off: try again later ({said})"
    if isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.startswith("httpx"):
        return f"the Hub cannot be reached: look at the network, and try again ({said})"
    return said


def _say(answer: Mapping[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _end_with_parent() -> None:
    """End this process when nobody is left to read its answer."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Do one action."""
    _end_with_parent()
    request = json.load(sys.stdin)
    action = sys.argv[1]
    if action == "preflight":
        _say(_preflight(request))
    else:
        _say(_until_it_works({"upload": _upload, "compare": _compare}[action], request))


if __name__ == "__main__":
    main()
