"""
The manifest of a bundle: its files and the stages that made them, beside the folder and not in it.

Each stage is written when it is done. A later publish of the same agent reuses what is done and unchanged, and does
again what failed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rl_experiments.core.files import sha256_of, write_text

SCHEMA_VERSION = 2
BUILD, EVALUATE, RECORD, PAGE, CARD, UPLOAD = "build", "evaluate", "record", "page", "card", "upload"
STAGES = (BUILD, EVALUATE, RECORD, PAGE, CARD, UPLOAD)
DONE, FAILED, SKIPPED, INTERRUPTED, OUTDATED = "done", "failed", "skipped", "interrupted", "outdated"


@dataclass(frozen=True)
class StageRecord:
    """
    :param status: ``done``, ``failed``, ``skipped``, ``interrupted`` or ``outdated``
    :param key: fingerprint of all that the result depends on
    :param reason: why it is not done
    :param details: what else is worth keeping
    """

    status: str
    key: str = ""
    reason: str | None = None
    ended: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FileEntry:
    """
    A file of ours in the bundle.

    :param path: relative to the bundle, with ``/``
    :param size: in bytes
    :param sha256: hexadecimal
    :param stage: what wrote it
    """

    path: str
    size: int
    sha256: str
    stage: str


class Manifest:
    """
    :param path: the JSON file; a missing or damaged one is an empty manifest
    :param folder: the bundle
    :param repo_id: the repository that the bundle is
    """

    def __init__(self, path: Path, folder: Path, repo_id: str) -> None:
        self.path = path
        self._folder = folder
        self._repo_id = repo_id
        self.files: dict[str, FileEntry] = {}
        self.stages: dict[str, StageRecord] = {}
        self.published: dict[str, list[str]] = {}
        """For each revision, the paths that our last upload left there."""
        self.cards: dict[str, str] = {}
        """For each revision, what git calls the card that our last upload left there."""
        self.exists = path.is_file()
        self._read()

    def finish(
        self,
        stage: str,
        status: str,
        *,
        key: str = "",
        reason: str | None = None,
        files: Iterable[Path] = (),
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Record how a stage ended, and write the manifest.

        :param files: what it wrote, in place of what it had written before
        """
        self._forget_files_of(stage)
        for path in files:
            name = path.relative_to(self._folder).as_posix()
            self.files[name] = FileEntry(name, path.stat().st_size, sha256_of(path), stage)
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        self.stages[stage] = StageRecord(status, key, reason, ended, dict(details or {}))
        self.write()

    def is_done(self, stage: str, key: str) -> bool:
        """Whether the stage was done for the same key, and each of its files is as it was left."""
        record = self.stages.get(stage)
        if record is None or record.status != DONE or record.key != key:
            return False
        return all(self._is_unchanged(entry) for entry in self.files.values() if entry.stage == stage)

    def changed_files(self) -> list[str]:
        """:return: files of ours that are missing or not as they were left"""
        return sorted(entry.path for entry in self.files.values() if not self._is_unchanged(entry))

    def forget(self, *stages: str) -> None:
        """Drop the records of stages whose files were taken away."""
        for stage in stages:
            self._forget_files_of(stage)
            self.stages.pop(stage, None)

    def outdate(self, *stages: str) -> None:
        """Say of stages that what they tell is no longer true; their files stay until they are made anew."""
        for stage in stages:
            if stage in self.stages:
                self.stages[stage] = replace(self.stages[stage], status=OUTDATED)
        self.write()

    def renew(self, name: str) -> None:
        """Take a file of ours as it is now."""
        entry, path = self.files[name], self._folder / name
        self.files[name] = replace(entry, size=path.stat().st_size, sha256=sha256_of(path))
        self.write()

    def note_published(self, revision: str, paths: Iterable[str], card: str) -> None:
        """
        Remember what our upload left at a revision.

        :param card: what git calls the card
        """
        self.published[revision] = sorted(paths)
        self.cards[revision] = card

    def write(self) -> None:
        """Write the file."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "repository": self._repo_id,
            "stages": {name: asdict(self.stages[name]) for name in STAGES if name in self.stages},
            "files": [asdict(self.files[name]) for name in sorted(self.files)],
            "published": self.published,
            "cards": self.cards,
        }
        write_text(self.path, json.dumps(content, indent=2) + "\n")
        self.exists = True

    def _forget_files_of(self, stage: str) -> None:
        self.files = {name: entry for name, entry in self.files.items() if entry.stage != stage}

    def _is_unchanged(self, entry: FileEntry) -> bool:
        path = self._folder / entry.path
        return (
            path.is_file()
            and not path.is_symlink()
            and path.stat().st_size == entry.size
            and sha256_of(path) == entry.sha256
        )

    def _read(self) -> None:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            files = [FileEntry(**{"stage": BUILD, **entry}) for entry in content["files"]]
            stages = {name: StageRecord(**record) for name, record in content.get("stages", {}).items()}
            published = {str(name): [str(path) for path in paths] for name, paths in content["published"].items()}
            cards = {str(name): str(card) for name, card in content.get("cards", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        root = self._folder.resolve()
        # A manifest is a file that anybody can write: names that leave the folder are not followed.
        self.files = {
            entry.path: entry
            for entry in files
            if isinstance(entry.path, str) and (root / entry.path).resolve().is_relative_to(root)
        }
        self.stages = {name: record for name, record in stages.items() if name in STAGES}
        self.published, self.cards = published, cards


def fingerprint(*parts: Any) -> str:
    """:return: a short name for a combination of values"""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]
