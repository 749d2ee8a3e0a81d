"""Uploading a folder that was built before (``--upload-only``): nothing is loaded, played or drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rl_experiments.core.errors import NotFoundError
from rl_experiments.core.files import write_text
from rl_experiments.core.interruption import Interruption
from rl_experiments.core.suggest import hint
from rl_experiments.hub import card_text, manifest
from rl_experiments.hub.bundle import CARD, Bundle
from rl_experiments.hub.cards import Cards
from rl_experiments.hub.manifest import DONE, FAILED, INTERRUPTED, Manifest
from rl_experiments.hub.upload import MAIN, Destination, Preflight, UploadResult, hf_command, preflight, upload_bundle


@dataclass(frozen=True)
class Reupload:
    """
    :param bundle: the folder
    :param url: where the repository is, None where nothing was uploaded
    :param reason: why not
    :param command: the Hub's own command for it
    :param interrupted: the signal that cut it short, or None
    """

    bundle: Bundle
    url: str | None
    reason: str | None
    command: str
    interrupted: str | None = None


def upload_built(
    hub_folder: str | Path,
    organization: str | None,
    name: str,
    destination: Destination,
    say: Callable[[str], None] = print,
) -> Reupload:
    """
    Upload a bundle as it lies there, edits of the user included.

    :param organization: user or organisation on the Hub; if None, the token's owner
    :raises NotFoundError: if there is no complete bundle
    """
    interruption = Interruption()
    with interruption.listening():
        try:
            with interruption.may_interrupt():
                asked = preflight(organization, name, destination)
        except KeyboardInterrupt:
            asked = Preflight()
        bundle = _built(hub_folder, organization, asked.owner, name)
        with bundle.locked():
            result = _upload(bundle, asked, destination, interruption, say)
    return Reupload(bundle, result.url, result.reason, hf_command(bundle, destination), interruption.name)


def _built(hub_folder: str | Path, organization: str | None, owner: str | None, name: str) -> Bundle:
    """
    :return: the folder that was built for this repository; of one with an owner and one without, the later
    :raises NotFoundError: if there is none
    """
    wanted = Bundle.at(hub_folder, organization or owner, name)
    places = [wanted, *([] if organization else [Bundle.at(hub_folder, None, name)])]
    built = [place for place in places if place.manifest_file.is_file()]
    if not built:
        raise _nothing_built(wanted)
    latest = max(built, key=lambda place: place.manifest_file.stat().st_mtime_ns)
    return replace(latest, organization=organization or owner)


def _upload(
    bundle: Bundle,
    asked: Preflight,
    destination: Destination,
    interruption: Interruption,
    say: Callable[[str], None],
) -> UploadResult:
    record = bundle.manifest()
    _check(bundle, record, say)
    interrupted = UploadResult(None, "it was interrupted")
    if asked.final:
        result = UploadResult(None, asked.problem)
    else:
        try:
            with interruption.may_interrupt():
                say(f"Uploading to {bundle.repo_id}")
                _name_owner(bundle, record)
                known = card_text.listed_files((asked.card or b"").decode("utf-8", "replace"))
                cards = Cards(bundle, record, destination.revision or MAIN, say)
                result = upload_bundle(bundle, record, destination, cards, say, known)
        except KeyboardInterrupt:
            result = interrupted
    status = DONE if result.url else (INTERRUPTED if result is interrupted else FAILED)
    record.finish(manifest.UPLOAD, status, reason=result.reason, details={"url": result.url})
    return result


def _name_owner(bundle: Bundle, record: Manifest) -> None:
    """Put the owner into a card that was written before one was known."""
    card = bundle.card.read_bytes()
    placeholder = card_text.UNKNOWN_OWNER.encode()
    if bundle.organization is None or placeholder not in card:
        return
    was_as_written = CARD not in record.changed_files()
    write_text(bundle.card, card.replace(placeholder, bundle.organization.encode()).decode("utf-8", "surrogateescape"))
    if was_as_written:
        record.renew(CARD)


def _check(bundle: Bundle, record: Manifest, say: Callable[[str], None]) -> None:
    built = record.stages.get(manifest.CARD)
    if built is None or built.status != DONE or not bundle.card.is_file():
        raise _nothing_built(bundle)
    for name in record.changed_files():
        if not (bundle.folder / name).is_file():
            say(f"{name} was built, and is not there any more")
        elif name != CARD:
            say(f"{name} is not as it was built, and is uploaded as it is now")


def _nothing_built(bundle: Bundle) -> NotFoundError:
    root = bundle.folder.parent.parent if bundle.organization else bundle.folder.parent
    others = [path.name.removesuffix(".manifest.json") for path in root.glob("**/*.manifest.json")]
    near = hint(bundle.name, others) if bundle.name not in others else ""
    return NotFoundError(
        f"There is no complete folder {bundle.folder} to upload: build it without --upload-only first.{near}"
    )
