"""The nearest valid name to a misspelled one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, candidates: Iterable[str], similarity: float = 0.5) -> str | None:
    """
    :param name: what was typed
    :param candidates: what would have been valid
    :param similarity: from 0 to 1, how similar it has to be
    :return: the most similar candidate (upper and lower case count as equal), or None where nothing is similar
    """
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=similarity)
    return by_lower[matches[0]] if matches else None


def hint(name: str, candidates: Iterable[str]) -> str:
    """
    :return: " Did you mean 'x'?", or the valid names where none is similar and they are few, or nothing
    """
    names = sorted(set(candidates))
    match = nearest(name, names)
    if match is not None:
        return f" Did you mean '{match}'?"
    if names and len(names) <= 30:
        return f" Valid: {', '.join(names)}."
    return ""
