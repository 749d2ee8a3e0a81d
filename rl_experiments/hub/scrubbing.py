"""What a run's configuration says to the world: no secrets, and no paths of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rl_experiments.config import grammar
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.runs import Run

_SECRET_KEY = re.compile(
    r"(^|[_-])(tokens?|secrets?|password|passwd|pwd|credentials?|auth|(api|access|private|wandb|hf)[_-]?keys?)([_-]|$)",
    re.IGNORECASE,
)
_SECRET_ARGUMENTS = ("storage", "wandb_entity")
_SECRET_VALUE = re.compile(
    r"\b(?:(?:hf|api_org|ghp|gho|ghs|github_pat|glpat|sk|xox[abprs])[_-][\w-]{8,}|AKIA[A-Z0-9]{12,}|AIza[\w-]{20,}"
    r"|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*)|(?<=Bearer )\S+"
    r"|(?<=[?&\s-])(?:\w*[_-])?(?:token|key|password|secret)[= ]\S+",
    re.IGNORECASE,
)
_USER_IN_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE)
_PATH = re.compile(
    r"(?:(?<![\w/:.~])|(?<=:///)|(?<=://))(?=[~.:\w]{0,8}[/\\.]+[^\s/\\])(?:~|[A-Za-z]:|(?:\.\.[/\\])+|file://|(?=[/\\]))"
    r"(?:[/\\]*[^\s/\\'\",;:|=()\[\]{}]+(?: (?=[^\s/\\]*[/\\]))?)*[/\\]([^\s/\\'\",;:|()\[\]{}]*)"
)
"""An absolute path, or one that leads upwards; what it is called at its end is kept."""


def published_arguments(run: Run) -> dict[str, Any]:
    """:return: the command-line arguments of the run, without secrets, places and how it was drawn"""
    published: dict[str, Any] = _scrubbed(run.arguments)
    published.update({key: None for key in _SECRET_ARGUMENTS if key in published})
    for key in ("env_kwargs", "eval_env_kwargs"):
        if isinstance(published.get(key), Mapping):
            published[key] = without_render_mode(published[key]) or None
    return published


def published_hyperparameters(run: Run) -> dict[str, Any]:
    """:return: the hyperparameters of the run, scrubbed likewise"""
    published: dict[str, Any] = _scrubbed(dict(run.hyperparameters))
    kwargs = run.hyperparameters.parsed("env_kwargs")
    if isinstance(kwargs, Mapping) and "render_mode" in kwargs:
        kept = without_render_mode(_scrubbed(dict(kwargs)))
        published["env_kwargs"] = grammar.to_text(kept) if isinstance(published["env_kwargs"], str) else kept
    return published


def published_env_kwargs(run: Run) -> dict[str, Any]:
    """:return: the arguments of the environment that the agent was trained in, without how it was drawn"""
    return without_render_mode(_scrubbed(run.env_kwargs))


def without_render_mode(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """:return: the arguments without the one that says how the environment is drawn"""
    return {key: value for key, value in kwargs.items() if key != "render_mode"}


def scrubbed_text(text: str) -> str:
    """:return: a text without secrets, and with paths shortened to the names at their ends"""
    text = _USER_IN_URL.sub(r"\1", _SECRET_VALUE.sub("", text))
    return _PATH.sub(lambda match: match[1], text)


def _scrubbed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            scrubbed_text(key) if isinstance(key, str) else key: None if _is_secret(key, item) else _scrubbed(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return type(value)(_scrubbed(item) for item in value)
    if not isinstance(value, str):
        return value
    return _scrubbed_structure(value) if value.lstrip().startswith(("dict(", "{", "[")) else scrubbed_text(value)


def _scrubbed_structure(text: str) -> str:
    """A string in the small language of values; it stays as it was written where nothing is to be hidden."""
    try:
        value = grammar.parse(text)
    except ConfigurationError:
        return scrubbed_text(text)
    scrubbed = _scrubbed(value)
    return text if scrubbed == value else grammar.to_text(scrubbed)


def _is_secret(key: Any, value: Any) -> bool:
    """A number under such a name is a setting, as in ``n_tokens``."""
    if not isinstance(key, str) or value is None or isinstance(value, (bool, int, float)):
        return False
    return _SECRET_KEY.search(key) is not None
