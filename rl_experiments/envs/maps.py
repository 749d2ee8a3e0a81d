"""Maps of FrozenLake, checked before the environment is made of them: it takes any letters, and none at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint

_LETTERS = "SFHG"
_MEANING = "S (start), F (ice), H (hole) and G (goal)"
_EXAMPLE = 'desc:["SFFF","FHFH","FFFH","HFFG"]'


def check_map(env_id: str, kwargs: Mapping[str, Any]) -> None:
    """
    :param kwargs: all arguments of the environment, those of its registration included
    :raises ConfigurationError: if the environment is FrozenLake, and they give it no map, or one that is none
    """
    if not env_id.rpartition(":")[2].startswith("FrozenLake"):
        return
    if kwargs.get("desc") is None:
        _check_name(env_id, kwargs.get("map_name"))
    else:
        _check_rows(env_id, kwargs["desc"])


def _check_name(env_id: str, name: Any) -> None:
    from gymnasium.envs.toy_text.frozen_lake import MAPS

    if name is None:
        raise ConfigurationError(
            f"{env_id} without a map draws another one each time that it is made, and nothing that was learned on one"
            f" holds on the next. Expected map_name:{' or map_name:'.join(MAPS)}, or a map like {_EXAMPLE}"
        )
    if name not in MAPS:
        raise ConfigurationError(f"{env_id} has no map '{name}'.{hint(str(name), MAPS)}")


def _check_rows(env_id: str, desc: Any) -> None:
    try:
        rows = [] if isinstance(desc, (str, bytes)) else ["".join(map(_letter, row)) for row in desc]
    except TypeError:
        rows = []
    if not rows or not rows[0]:
        raise ConfigurationError(f"{env_id}: desc must be a list of rows, like {_EXAMPLE}, but got {desc!r:.80}")
    uneven = next((row for row in rows if len(row) != len(rows[0])), None)
    if uneven is not None:
        raise ConfigurationError(
            f"{env_id}: all rows of desc must be as long as the first, '{rows[0]}', but one is '{uneven}'"
        )
    unknown = sorted({letter for row in rows for letter in row} - set(_LETTERS))
    if unknown:
        raise ConfigurationError(f"{env_id}: a map is made of {_MEANING}, but desc has '{unknown[0]}'")
    if not any("S" in row for row in rows):
        raise ConfigurationError(f"{env_id}: desc has no S, where episodes begin")


def _letter(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
