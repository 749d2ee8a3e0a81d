"""What a training goes on from (``-i``): which model it is, and the normalisation that belongs to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gymnasium import spaces

from rl_experiments.algorithms import Algorithm, algorithm_names, get_algorithm
from rl_experiments.algorithms.parameters import model_parameters
from rl_experiments.algorithms.registry import SB3, SBX
from rl_experiments.algorithms.sb3.archive import read_data, read_objects
from rl_experiments.algorithms.sbx.loading import is_of_sbx, policy_in, spaces_in
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.files import check_plain_file
from rl_experiments.core.symbols import Trust
from rl_experiments.runs.folder import MODEL, STATISTICS
from rl_experiments.runs.validation import check_statistics


def check_model(path: Path, algorithm: Algorithm, env_id: str, env: Any, trust: Trust) -> None:
    """
    :param path: of the trained model
    :param env: with the spaces of the training environment
    :raises NotFoundError: if there is no such model
    :raises ConfigurationError: if it is of another algorithm or for other spaces; the message names both
    """
    data = read_data(path)
    if is_of_sbx(data) != (algorithm.backend == SBX):
        wrote, other = ("SBX", SBX) if is_of_sbx(data) else ("SB3", SB3)
        raise ConfigurationError(f"{path} (-i) is a model of {wrote}. Expected --backend {other}")
    made_with = [] if algorithm.backend == SBX else algorithms_of(data)
    if made_with and algorithm.name not in made_with:
        raise ConfigurationError(
            f"{path} (-i) is a model of {' or '.join(made_with)}, and cannot go on with {algorithm.name}."
            f" Expected --algo {made_with[0]}"
        )
    if algorithm.backend == SBX:
        policy_in(path, algorithm)
        objects = spaces_in(path)
    else:
        objects, _ = read_objects(data, path, trust)
    for name in ("observation_space", "action_space"):
        trained: spaces.Space | None = objects.get(name)
        given = getattr(env, name)
        if trained is not None and trained != given:
            raise ConfigurationError(
                f"{path} (-i) was trained with the {name.replace('_', ' ')} {trained}, but {env_id} has {given}"
            )


def algorithms_of(data: dict[str, Any]) -> list[str]:
    """
    :param data: of a model's zip
    :return: the algorithms that may have made it, nearest first; none where its policy is of the user's own
    """
    policy = data.get("policy_class")
    module = policy.get("__module__") if isinstance(policy, dict) else None
    missing: dict[str, int] = {}
    for name in algorithm_names():
        algorithm = get_algorithm(name)
        if algorithm.backend != "sb3":
            continue
        modules = {cls.__module__ for cls in getattr(algorithm.load_class(), "policy_aliases", {}).values()}
        if module in modules:
            missing[name] = len(set(model_parameters(algorithm)) - set(data))
    nearest = [get_algorithm(name).load_class() for name in missing if missing[name] == min(missing.values())]
    # DDPG is TD3 with other numbers, and derives from it.
    return [
        name
        for name in missing
        if any(issubclass(cls, get_algorithm(name).load_class()) for cls in nearest)
        or issubclass(get_algorithm(name).load_class(), tuple(nearest))
    ]


def statistics_beside(trained_agent: str, trust: Trust) -> Path | None:
    """
    :return: the normalisation statistics of the model of ``-i``: its own, or those at the end of its run
    :raises NotFoundError: if there is no such model
    :raises RLExperimentsError: if its statistics are none, or could only be read by running code
    """
    path = Path(trained_agent)
    if path.suffix != ".zip" or not path.is_file():
        raise NotFoundError(f"There is no trained agent '{trained_agent}' (-i). Expected the path of a .zip file")
    candidates = [path.with_name("best_model_vecnormalize.pkl")] if path.stem == "best_model" else []
    if path.stem.startswith("rl_model_"):
        candidates.append(path.with_name(f"{path.stem.replace('rl_model_', 'rl_model_vecnormalize_')}.pkl"))
    if path.name == MODEL:
        candidates.append(path.with_name(STATISTICS))
    candidates += sorted(path.parent.glob("*/vecnormalize.pkl"))
    found = next((candidate for candidate in candidates if os.path.lexists(candidate)), None)
    if found is not None:
        check_plain_file(found, within=path.parent)
        check_statistics(found, trust)
    return found


def remark_on_statistics(trained_agent: str, statistics: Path | None, wanted: bool) -> list[str]:
    """:return: which normalisation is taken over, and which is not"""
    if statistics is None:
        return (
            [f"There are no normalisation statistics beside {trained_agent}: normalize begins with new ones"]
            if wanted
            else []
        )
    if wanted:
        return [f"The normalisation goes on from {statistics}, with the settings that this file holds"]
    return [
        f"{trained_agent} was trained with normalisation, and these hyperparameters have none: {statistics} is not"
        " used, and the agent sees other observations than before. -params normalize:True takes it"
    ]
