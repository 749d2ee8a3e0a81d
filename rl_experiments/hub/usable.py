"""What an agent needs to act, where those who published it did not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.names import folder_name
from rl_experiments.runs import Run

_ATARI_WRAPPER = "stable_baselines3.common.atari_wrappers.AtariWrapper"
_ATARI_SIDE = 84


def known_id(env_id: str) -> str:
    """:return: the id that Gymnasium knows, of one that was read off a name (``ALE/Pong-v5`` of ``ALE-Pong-v5``)"""
    if ":" in env_id or _why_unknown(env_id) is None:
        return env_id
    import gymnasium as gym

    return next((known for known in gym.registry if folder_name(known) == env_id), env_id)


def least_configuration(env_id: str, data: Mapping[str, Any], has_statistics: bool) -> dict[str, Any]:
    """
    :param data: what the model holds
    :param has_statistics: whether normalisation statistics came with it
    :return: hyperparameters of the environment that the model's observations show, as the zoo writes them
    """
    configuration: dict[str, Any] = {}
    frames = _frames(data)
    if frames is not None and _is_atari(env_id):
        configuration["env_wrapper"] = [_ATARI_WRAPPER]
        if frames > 1:
            configuration["frame_stack"] = frames
    if has_statistics:
        configuration["normalize"] = True
    return configuration


def warnings(run: Run, env_id: str) -> list[str]:
    """:return: what stands in the way of the run being used, one sentence each"""
    found = []
    if run.hyperparameters.get("normalize") and not run.final_statistics.is_file():
        found.append(
            "The agent was trained with normalisation, but its statistics were not published: it will not load"
        )
    reason = None if ":" in env_id else _why_unknown(env_id)
    if reason is not None:
        found.append(f"{reason} If it goes by another name by now, download it with --env and that name")
    return found


def _frames(data: Mapping[str, Any]) -> int | None:
    """:return: how many frames an observation has, None if it is no stack of Atari's frames"""
    space = data.get("observation_space")
    shape = (space.get("_shape") or space.get("shape")) if isinstance(space, Mapping) else None
    if not isinstance(shape, list) or len(shape) != 3:
        return None
    for sides, frames in ((shape[:2], shape[2]), (shape[1:], shape[0])):
        if sides == [_ATARI_SIDE, _ATARI_SIDE] and isinstance(frames, int):
            return frames
    return None


def _is_atari(env_id: str) -> bool:
    from rl_experiments.envs import registry

    name = env_id.rpartition(":")[2]  # a module in front would be imported, and nobody here has named it
    try:
        return registry.is_atari(name)
    except (RLExperimentsError, ImportError):
        return name.startswith("ALE/") or "NoFrameskip-v" in name


def _why_unknown(env_id: str) -> str | None:
    from rl_experiments.envs import registry
    from rl_experiments.envs.adaptations import find_adaptation

    adaptation = None if registry.is_users_own(env_id) else find_adaptation(env_id)
    if adaptation is not None and adaptation.new is None:
        return f"{adaptation.told}."
    try:
        registry.find_spec(env_id if adaptation is None or adaptation.new is None else adaptation.new)
    except (RLExperimentsError, ImportError) as error:  # a package that is installed may be broken
        return " ".join(str(error).split())
    return None
