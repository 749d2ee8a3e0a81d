"""Uploading a bundle: what is asked of the Hub before, the upload itself, and the commands that do it by hand."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import write_text
from rl_experiments.hub.bundle import ATTRIBUTES, CARD, Bundle
from rl_experiments.hub.cards import Cards, blob_id
from rl_experiments.hub.child import Answer, ProgressLines, ask_child, script
from rl_experiments.hub.manifest import Manifest

DEADLINE = 600.0
"""Seconds without progress after which something is given up."""
_LONGEST_DEADLINE = 1e6
PREFLIGHT_LIMIT = 10.0
"""Seconds for all questions before the work begins."""
_SCRIPT = "transfer.py"
_HOW_TO_GET_A_TOKEN = "there is no token: run 'hf auth login', or set HF_TOKEN"
MAIN = "main"
_MOST_CONFLICTS = 3
_PATIENCE_WITH_XET = 60.0
"""Seconds without progress after which the upload is tried once more without Xet, where the deadline is later."""


@dataclass(frozen=True)
class Destination:
    """
    Where and how a bundle is uploaded.

    :param token: a write token; if None, the one that is saved on this machine
    :param private: whether a new repository is private
    :param revision: a branch, made if it does not exist; the main one if None
    :param message: the commit's message
    :param deadline: seconds without progress after which it is given up
    """

    token: str | None = None
    private: bool = False
    revision: str | None = None
    message: str = "Initial commit"
    deadline: float = DEADLINE

    def __post_init__(self) -> None:
        if not 0 < self.deadline <= _LONGEST_DEADLINE:
            raise ConfigurationError(
                f"deadline must be a number of seconds above 0 and at most {_LONGEST_DEADLINE:g},"
                f" but got {self.deadline}"
            )
        if self.token is not None and not re.fullmatch(r"[\x21-\x7e]+", self.token):
            raise ConfigurationError("The token holds a character that no token has: a line break, a space or a letter")


@dataclass(frozen=True)
class Preflight:
    """
    What the Hub said before the work began.

    :param owner: the token's owner, None where it is not known
    :param card: the model card that is there already, None where there is none or it could not be read
    :param problem: what is in the way of an upload, or None
    :param final: whether the problem is there to stay, so that an upload need not be tried
    """

    owner: str | None = None
    card: bytes | None = None
    problem: str | None = None
    final: bool = False


@dataclass(frozen=True)
class UploadResult:
    """
    :param url: where the repository is, None where nothing was uploaded
    :param reason: why not, None where it was
    """

    url: str | None
    reason: str | None = None


def preflight(organization: str | None, name: str, destination: Destination) -> Preflight:
    """
    Ask for token, namespace and an existing card, for some seconds at most.

    :param organization: user or organisation on the Hub; if None, the token's owner
    :param name: the repository's name
    """
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        return Preflight(problem="HF_HUB_OFFLINE is set", final=True)
    if not (destination.token or get_token()):
        return Preflight(problem=_HOW_TO_GET_A_TOKEN, final=True)
    request = {
        "organization": organization,
        "name": name,
        "revision": destination.revision,
        "token": destination.token,
    }
    answer = ask_child(script(_SCRIPT), "preflight", request, silence=PREFLIGHT_LIMIT, limit=PREFLIGHT_LIMIT)
    content = answer.content
    return Preflight(
        content.get("name"),
        base64.b64decode(content["card"]) if content.get("card") else None,
        answer.reason or content.get("no_card_because"),
        bool(content.get("final")),
    )


def upload_bundle(
    bundle: Bundle,
    manifest: Manifest,
    destination: Destination,
    cards: Cards,
    say: Callable[[str], None],
    known: Iterable[str] = (),
) -> UploadResult:
    """
    Upload every file of a bundle in one commit, and take away what our last upload left there and is no longer ours.

    :param manifest: remembers what was uploaded
    :param cards: brings the card together with one that somebody has edited on the Hub
    :param say: takes lines of progress
    :param known: what an earlier push of ours left there, as its card says
    """
    links = bundle.links()
    if links:
        return UploadResult(None, f"{links[0]} is a symbolic link, and what it points to would be published")
    revision = destination.revision or MAIN
    files = [path.relative_to(bundle.folder).as_posix() for path in bundle.files()]
    request = {
        "repo_id": bundle.repo_id,
        "folder": str(bundle.folder.resolve()),
        "files": files,
        "obsolete": sorted({*manifest.published.get(revision, []), *known} - {*files, CARD, ATTRIBUTES}),
        "message": destination.message,
        "private": destination.private,
        "revision": destination.revision,
        "token": destination.token,
    }
    for _ in range(_MOST_CONFLICTS):
        answer = _send({**request, "replaceable": cards.replaceable}, destination.deadline, say)
        if answer.reason is not None:
            return UploadResult(None, answer.reason)
        conflict = answer.content.get("conflict")
        if not conflict:
            manifest.note_published(revision, files, blob_id(bundle.card.read_bytes()))
            return UploadResult(str(answer.content["url"]))
        _settle(bundle, manifest, cards, {name: base64.b64decode(content) for name, content in conflict.items()})
    return UploadResult(None, "somebody else changes the repository at the same time: try again later")


def _settle(bundle: Bundle, manifest: Manifest, cards: Cards, remote: Mapping[str, bytes]) -> None:
    """Take over what is on the Hub and not here: words of a card, lines of attributes."""
    if CARD in remote:
        cards.reconcile(remote[CARD])
    if ATTRIBUTES in remote:
        path = bundle.folder / ATTRIBUTES
        ours = path.read_text(encoding="utf-8").splitlines()
        theirs = remote[ATTRIBUTES].decode("utf-8", "replace").splitlines()
        write_text(path, "".join(f"{line}\n" for line in dict.fromkeys([*theirs, *ours])))
        if ATTRIBUTES in manifest.files:
            manifest.renew(ATTRIBUTES)


def _send(request: Mapping[str, Any], deadline: float, say: Callable[[str], None]) -> Answer:
    progress = ProgressLines(say, "Uploading")
    patience = min(deadline, _PATIENCE_WITH_XET)
    answer = ask_child(script(_SCRIPT), "upload", request, silence=patience, on_progress=progress)
    if not answer.hung:
        return answer
    # The answer to a commit may have been lost, or Xet may hang where plain transfers do not.
    state = ask_child(script(_SCRIPT), "compare", request, silence=PREFLIGHT_LIMIT, limit=PREFLIGHT_LIMIT)
    if state.reason is not None and deadline <= patience:
        return answer
    if state.content.get("complete"):
        return state
    say(f"{answer.reason}: once more, without Xet")
    return ask_child(script(_SCRIPT), "upload", {**request, "xet": False}, silence=deadline, on_progress=progress)


def hf_command(bundle: Bundle, destination: Destination) -> str:
    """:return: the command that uploads the folder by hand"""
    words = ["hf", "upload", bundle.repo_id, str(bundle.folder)]
    words += ["--private"] if destination.private else []
    words += ["--revision", destination.revision] if destination.revision else []
    return shlex.join(words)


def own_command(bundle: Bundle, destination: Destination, algorithm: str, env_id: str, log_folder: str | Path) -> str:
    """:return: our command that uploads the folder as it is, and goes on where an upload stopped"""
    words = ["python", "-m", "rl_experiments.push_to_hub", "--algo", algorithm, "--env", env_id, "-f", str(log_folder)]
    has_owner = bundle.organization is not None and bundle.folder.parent.name == bundle.organization
    words += ["-orga", str(bundle.organization)] if has_owner else []
    words += ["--repo-name", bundle.name]
    hub_folder = bundle.folder.parent.parent if has_owner else bundle.folder.parent
    words += ["--hub-folder", str(hub_folder)] if str(hub_folder) != "hub" else []
    words += ["--private"] if destination.private else []
    words += ["--revision", destination.revision] if destination.revision else []
    return shlex.join([*words, "--upload-only"])
