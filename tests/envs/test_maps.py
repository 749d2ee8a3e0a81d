"""Maps of FrozenLake that are none."""

from __future__ import annotations

from typing import Any

import pytest

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.envs import EnvironmentRecipe, make_bare

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no-map": ({"map_name": None}, "draws another one"),
    "name": ({"map_name": "8x9"}, "has no map '8x9'. Did you mean '8x8'"),
    "uneven": ({"desc": ["SFFF", "FHF"]}, "as long as the first, 'SFFF', but one is 'FHF'"),
    "letters": ({"desc": ["sf", "fg"]}, "desc has 'f'"),
    "no-start": ({"desc": ["FF", "FG"]}, "desc has no S"),
    "empty": ({"desc": []}, "desc must be a list of rows"),
    "text": ({"desc": "SFFG"}, "desc must be a list of rows"),
    "number": ({"desc": 4}, "desc must be a list of rows"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_map_that_is_none_is_refused(name: str) -> None:
    kwargs, part = WRONG[name]
    with pytest.raises(ConfigurationError, match="FrozenLake-v1") as error:
        make_bare(EnvironmentRecipe("FrozenLake-v1", kwargs))
    assert part in str(error.value)


@pytest.mark.parametrize("desc", [["SF", "FG"], [["S", "F"], ["F", "G"]], [[b"S", b"F"], [b"F", b"G"]]])
def test_a_map_is_taken_in_the_ways_that_gymnasium_takes_it(desc: Any) -> None:
    env = make_bare(EnvironmentRecipe("FrozenLake-v1", {"desc": desc}))
    assert env.observation_space.n == 4  # type: ignore[attr-defined]
    env.close()
