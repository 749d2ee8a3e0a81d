"""The card of a bundle beside that on the Hub: whichever a person has edited, no word is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from rl_experiments.core.files import write_text
from rl_experiments.hub import card_text, manifest
from rl_experiments.hub.bundle import CARD, Bundle
from rl_experiments.hub.manifest import DONE, Manifest


class Cards:
    """
    :param bundle: whose card it is
    :param record: knows what was written and published before
    :param revision: the branch on the Hub
    :param say: takes what the user should know
    """

    def __init__(self, bundle: Bundle, record: Manifest, revision: str, say: Callable[[str], None]) -> None:
        self._bundle = bundle
        self._record = record
        self._say = say
        published = record.cards.get(revision)
        self._replaceable = {published} if published else set()

    @property
    def replaceable(self) -> list[str]:
        """What git calls the cards on the Hub that may be replaced: ours, and those whose words were taken over."""
        return sorted(self._replaceable)

    def earlier(self, remote: bytes | None) -> str | None:
        """
        :param remote: the card on the Hub, None where there is none or it could not be read
        :return: the card whose words are to be kept, None where there is none
        """
        card = self._bundle.card
        local = card.read_bytes() if card.is_file() else None
        if remote is None:
            return None if local is None else self._text(local, "here")
        is_ours = blob_id(remote) in self._replaceable
        self._replaceable.add(blob_id(remote))
        if local is None or local == remote or not self._is_edited(local):
            return self._text(remote, "on the Hub")
        if is_ours:
            return self._text(local, "here")
        aside = self._bundle.put_aside(local)
        self._say(f"The card was edited here and on the Hub: that of the Hub is taken, and yours is kept as {aside}")
        return self._text(remote, "on the Hub")

    def reconcile(self, remote: bytes) -> None:
        """Bring the bundle's card together with one that turned up on the Hub; our sections are the bundle's."""
        current = self._bundle.card.read_text(encoding="utf-8", errors="replace")
        earlier = self.earlier(remote)
        write_text(self._bundle.card, card_text.merge(current, earlier))
        self._record.finish(manifest.CARD, DONE, files=[self._bundle.card])

    def _is_edited(self, local: bytes) -> bool:
        written = self._record.files.get(CARD)
        return written is None or hashlib.sha256(local).hexdigest() != written.sha256

    def _text(self, content: bytes, where: str) -> str | None:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            aside = self._bundle.put_aside(content)
            self._say(f"The card {where} is no UTF-8 text: a new one is written, and the old one is kept as {aside}")
            return None


def blob_id(content: bytes) -> str:
    """:return: what git calls a file with this content"""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
