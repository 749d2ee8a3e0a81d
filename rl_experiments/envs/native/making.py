"""Which vector in native code a recipe gets. What it would not get right is refused, with the reason."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym

from rl_experiments.core.errors import ConfigurationError, MissingPackageError
from rl_experiments.core.processes import available_cores
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import import_symbol
from rl_experiments.envs import registry
from rl_experiments.envs.native.adapter import NativeVecEnv
from rl_experiments.envs.native.books import Books
from rl_experiments.envs.native.sources import Source
from rl_experiments.envs.recipe import EnvironmentRecipe

NATIVE, ENVPOOL = "native", "envpool"
_OF_THE_WRAPPER: Mapping[str, Any] = {
    "noop_max": 30,
    "frame_skip": 4,
    "screen_size": 84,
    "terminal_on_life_loss": True,
    "clip_reward": True,
    "action_repeat_probability": 0.0,
}
"""Arguments of SB3's AtariWrapper, with their defaults."""
_OF_THE_GAME = ("repeat_action_probability", "full_action_space", "max_num_frames_per_episode")
_AS_THEY_ARE: Mapping[str, tuple[Any, ...]] = {
    "obs_type": ("rgb",),
    "continuous": (False,),
    "sound_obs": (False,),
    "frameskip": (1,),
    "mode": (None,),
    "difficulty": (None,),
    "render_mode": (None,),
}
"""Values that arguments of ALE's single environment must have, so that the vector means the same."""


def make_native(recipe: EnvironmentRecipe, n_envs: int, kind: str, folder: Path | None) -> NativeVecEnv:
    """
    :param kind: ``native`` or ``envpool``
    :param folder: where ``<i>.monitor.csv`` go, or None for none
    :return: the vector, without seeds
    :raises ConfigurationError: if there is none that is what the recipe says
    """
    for name, given in (
        ("an environment that was adapted", recipe.adaptation),
        ("a time limit of its own", recipe.max_episode_steps),
        ("monitor_kwargs", {key: value for key, value in recipe.monitor_kwargs.items() if key != "override_existing"}),
    ):
        if given:
            raise _refusal(recipe, kind, f"{name} is not there in native code")
    source = _pool(recipe, n_envs) if kind == ENVPOOL else _native(recipe, n_envs)
    try:
        override = bool(recipe.monitor_kwargs.get("override_existing", True))
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        return NativeVecEnv(source, Books(folder, recipe.env_id, n_envs, source.frames, override))
    except BaseException:
        source.close()
        raise


def _refusal(recipe: EnvironmentRecipe, kind: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"--vec-env {kind} cannot run {recipe.env_id}: {reason}. --vec-env auto can")


def _native(recipe: EnvironmentRecipe, n_envs: int) -> Source:
    from rl_experiments.envs.native.atari import AtariSource
    from rl_experiments.envs.native.cartpole import VectorSource

    if recipe.is_atari:
        arguments, wrapper = _atari(recipe, NATIVE)
        return AtariSource(
            arguments.pop("game"),
            n_envs,
            available_cores(),
            size=wrapper["screen_size"],
            frame_skip=wrapper["frame_skip"],
            noop_max=wrapper["noop_max"],
            life_ends=wrapper["terminal_on_life_loss"],
            clips=wrapper["clip_reward"],
            **arguments,
        )
    if recipe.wrappers:
        raise _refusal(recipe, NATIVE, "env_wrapper stands around single environments, and there are none")
    return VectorSource(_vector(recipe, n_envs))


def _vector(recipe: EnvironmentRecipe, n_envs: int) -> gym.vector.VectorEnv:
    from rl_experiments.envs.native.cartpole import SameStepCartPole

    spec = registry.find_spec(recipe.env_id, recipe.gym_packages)
    if spec.vector_entry_point is None:
        raise _refusal(recipe, NATIVE, "it has no vector environment")
    kwargs = dict(recipe.kwargs)
    try:
        if str(spec.vector_entry_point).endswith("classic_control.cartpole:CartPoleVectorEnv"):
            return SameStepCartPole(n_envs, spec.max_episode_steps or 500, **{**spec.kwargs, **kwargs})
        name = recipe.env_id.rpartition(":")[2]
        venv = gym.make_vec(name, n_envs, vectorization_mode="vector_entry_point", **kwargs)
    except Exception as error:  # whatever a constructor raises
        raise _refusal(recipe, NATIVE, f"its vector environment cannot be made ({error})") from error
    if venv.metadata.get("autoreset_mode") is not gym.vector.AutoresetMode.SAME_STEP:
        venv.close()
        raise _refusal(recipe, NATIVE, "its vector environment begins episodes one step late")
    return venv


def _pool(recipe: EnvironmentRecipe, n_envs: int) -> Source:
    if importlib.util.find_spec("envpool") is None:
        raise MissingPackageError("--vec-env envpool", "envpool", "envpool")
    import envpool

    if not recipe.is_atari:
        if recipe.wrappers:
            raise _refusal(recipe, ENVPOOL, "env_wrapper stands around single environments, and there are none")
        task = recipe.env_id.rpartition(":")[2]
        _check_task(recipe, task, envpool.list_all_envs())
        return _made(recipe, task, n_envs, **recipe.kwargs)
    arguments, wrapper = _atari(recipe, ENVPOOL)
    task = "".join(part.capitalize() for part in arguments.pop("game").split("_")) + "-v5"
    _check_task(recipe, task, envpool.list_all_envs())
    skip = wrapper["frame_skip"]
    return _made(
        recipe,
        task,
        n_envs,
        frames=skip,
        clips=wrapper["clip_reward"],
        stack_num=1,
        frame_skip=skip,
        img_height=wrapper["screen_size"],
        img_width=wrapper["screen_size"],
        noop_max=max(wrapper["noop_max"], 1),
        episodic_life=wrapper["terminal_on_life_loss"],
        reward_clip=False,
        max_episode_steps=arguments.pop("max_num_frames_per_episode") // skip,
        **arguments,
    )


def _made(recipe: EnvironmentRecipe, task: str, n_envs: int, **kwargs: Any) -> Source:
    from rl_experiments.envs.native.pool import PoolSource

    try:
        return PoolSource(task, n_envs, available_cores(), **kwargs)
    except ConfigurationError:
        raise
    except Exception as error:  # whatever EnvPool raises
        raise _refusal(recipe, ENVPOOL, f"EnvPool does not make it ({' '.join(str(error).split())})") from error


def _check_task(recipe: EnvironmentRecipe, task: str, known: list[str]) -> None:
    if task not in known:
        raise _refusal(recipe, ENVPOOL, f"EnvPool has no {task}{hint(task, known).rstrip('?')}")


def _atari(recipe: EnvironmentRecipe, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """:return: arguments of the game, and those of AtariWrapper"""
    from stable_baselines3.common.atari_wrappers import AtariWrapper

    names = [import_symbol(name, recipe.trust, "env_wrapper", gym.Wrapper) for name, _ in recipe.wrappers]
    if names != [AtariWrapper]:
        raise _refusal(recipe, kind, "it needs AtariWrapper as its only env_wrapper")
    given = recipe.wrappers[0][1]
    for name in given:
        if name not in _OF_THE_WRAPPER:
            raise ConfigurationError(f"AtariWrapper takes no argument '{name}'.{hint(name, list(_OF_THE_WRAPPER))}")
    wrapper = {**_OF_THE_WRAPPER, **given}
    spec = registry.find_spec(recipe.env_id, recipe.gym_packages)
    arguments = {**spec.kwargs, **recipe.kwargs}
    for name, values in _AS_THEY_ARE.items():
        if arguments.pop(name, values[0]) not in values:
            raise _refusal(recipe, kind, f"it needs {name}={values[0]!r}")
    game = {name: arguments.pop(name) for name in _OF_THE_GAME if name in arguments}
    game.setdefault("max_num_frames_per_episode", 108_000)
    if wrapper["action_repeat_probability"]:
        if game.get("repeat_action_probability"):
            raise _refusal(recipe, kind, "actions are repeated by chance twice")
        game["repeat_action_probability"] = wrapper["action_repeat_probability"]
    game["game"] = arguments.pop("game")
    if arguments:
        raise _refusal(recipe, kind, f"its argument {next(iter(arguments))} is not there")
    return game, wrapper
