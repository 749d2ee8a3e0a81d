"""Which packages are installed, whether they are those that are known to work, and which extras are complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from rl_experiments.reporting.doctor.findings import BROKEN, GOOD, MISSING, NOTE, Finding

_OURS = "rl_experiments"
_KNOWN = Path(__file__).parent / "constraints.txt"
_NOT_FOR_USERS = ("dev", "docs", "test")
_CLOBBERS = ("huggingface-sb3", "sb3-team-hf-integration")
_DEEPEST = 3


def look_at_packages() -> Iterator[Finding]:
    """:return: versions, extras, and two projects that must not stand beside each other"""
    yield _versions()
    if all(installed(name) for name in _CLOBBERS):
        cure = (
            "python -m pip uninstall -y huggingface_sb3 && python -m pip install --force-reinstall --no-deps "
            + (_CLOBBERS[1])
        )
        text = "huggingface_sb3 stands beside sb3-team-hf-integration, and has overwritten its files"
        yield Finding("huggingface_sb3", text, BROKEN, cure)
    yield from _extras()


def known_versions() -> dict[str, str]:
    """:return: distribution to the version that was tested, empty where the list is not there"""
    try:
        lines = _KNOWN.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {_plain(name): version for name, _, version in (line.partition("==") for line in lines) if version}


def installed(name: str) -> str | None:
    """:return: the version of a distribution, None where it is not there"""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _versions() -> Finding:
    known = known_versions()
    found = {name: version for name in known if (version := installed(name))}
    other = {name: version for name, version in found.items() if version.partition("+")[0] != known[name]}
    wrong = [text for text in _unmet(_OURS, "", set()) if text]
    data = {"other": {name: [version, known[name]] for name, version in other.items()}, "unmet": wrong}
    if wrong:
        cure = "python -m pip install -c constraints.txt rl_experiments"
        return Finding("versions", f"what is needed and not there: {', '.join(wrong)}", BROKEN, cure, data)
    if not other:
        return Finding("versions", f"the {len(found)} packages are the versions that were tested", GOOD, data=data)
    shown = [f"{name} {version} (tested: {known[name]})" for name, version in sorted(other.items())]
    more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
    text = f"{len(other)} of {len(found)} packages are not the versions that were tested: {', '.join(shown[:6])}{more}"
    return Finding("versions", text, NOTE, "Where something fails: python -m pip install -c constraints.txt .", data)


def _extras() -> Iterator[Finding]:
    try:
        declared = metadata.metadata(_OURS).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        yield Finding("extras", "rl_experiments is not installed, only on the path", NOTE, "python -m pip install .")
        return
    for extra in sorted(set(declared) - {*_NOT_FOR_USERS, "all"}):
        unmet = _unmet(_OURS, extra, set())
        cure = f"python -m pip install 'rl_experiments[{extra}]'" if unmet else ""
        text = f"not there: {', '.join(unmet)}" if unmet else "installed"
        yield Finding(f"extra {extra}", text, MISSING if unmet else GOOD, cure, {"extra": extra, "missing": unmet})


def _unmet(name: str, extra: str, seen: set[tuple[str, str]], depth: int = 0) -> list[str]:
    """:return: requirements of a distribution (of an extra of it, if one is named) that are not fulfilled"""
    from packaging.requirements import InvalidRequirement, Requirement

    if (name, extra) in seen or depth > _DEEPEST:
        return []
    seen.add((name, extra))
    unmet: list[str] = []
    try:
        requirements = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return [name]
    for text in requirements:
        try:
            needed = Requirement(text)
        except InvalidRequirement:
            continue
        marker = needed.marker
        of_extra = marker is not None and "extra" in str(marker)
        if of_extra != bool(extra) or (marker is not None and not marker.evaluate({"extra": extra})):
            continue
        version = installed(needed.name)
        if version is None or not needed.specifier.contains(version, prereleases=True):
            unmet.append(needed.name if version is None else f"{needed.name}{needed.specifier} (found {version})")
            continue
        for inner in sorted(needed.extras):
            unmet += _unmet(needed.name, inner, seen, depth + 1)
    return list(dict.fromkeys(unmet))
