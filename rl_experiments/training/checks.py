"""The whole configuration is checked before anything is trained."""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from gymnasium import spaces

from rl_experiments.algorithms import Algorithm, algorithm_names, get_algorithm
from rl_experiments.algorithms.sb3 import model_parameters
from rl_experiments.algorithms.sb3.building import make_noise, resolve_policy
from rl_experiments.config.hyperparameters import NOISE_KEYS, Hyperparameters, check_names
from rl_experiments.config.schedules import SCHEDULED
from rl_experiments.config.sources import is_block_of_the_zoo
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Trust, import_symbol

_BOUNDS: dict[str, tuple[float, float]] = {
    "gamma": (0, 1),
    "gae_lambda": (0, 1),
    "tau": (0, 1),
    "exploration_fraction": (0, 1),
    "exploration_initial_eps": (0, 1),
    "exploration_final_eps": (0, 1),
    "batch_size": (1, math.inf),
    "n_steps": (1, math.inf),
    "n_epochs": (1, math.inf),
    "buffer_size": (1, math.inf),
    "learning_starts": (0, math.inf),
    "gradient_steps": (-1, math.inf),
    "target_update_interval": (1, math.inf),
    "max_grad_norm": (0, math.inf),
    "n_delta": (1, math.inf),
    "policy_delay": (1, math.inf),
    "n_critic_updates": (1, math.inf),
    "cg_max_steps": (1, math.inf),
}
_ROLLOUT_DEFAULT = 2048


def check_hyperparameters(algorithm: Algorithm, hyperparameters: Hyperparameters) -> None:
    """
    Check names, types and ranges against the algorithm's signature.

    :raises ConfigurationError: for the first that is wrong; the message says where the value came from
    """
    parameters = model_parameters(algorithm)
    check_names(hyperparameters, {*parameters, *(NOISE_KEYS if "action_noise" in parameters else ())}, algorithm.name)
    if "policy" not in hyperparameters:
        source = f" ({hyperparameters.block.origin})" if hyperparameters.block else ""
        raise ConfigurationError(
            f"The hyperparameters for {algorithm.name}{source} name no policy, like policy: MlpPolicy"
        )
    for key in NOISE_KEYS:
        if key in hyperparameters and "action_noise" not in parameters:
            raise ConfigurationError(
                f"{algorithm.name} explores without action noise: {key} ({hyperparameters.origin(key)}) has no meaning"
            )
    for name, value in hyperparameters.algorithm_arguments().items():
        if name in SCHEDULED:
            continue
        _check_type(name, value, parameters[name].annotation, hyperparameters)
        if name in _BOUNDS and isinstance(value, (int, float)):
            low, high = _BOUNDS[name]
            if not low <= value <= high:
                allowed = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
                raise ConfigurationError(
                    f"{name} must be {allowed}, but got {value!r} ({hyperparameters.origin(name)})"
                )


def check_combinations(
    algorithm: Algorithm,
    hyperparameters: Hyperparameters,
    env_id: str,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    trust: Trust,
) -> list[str]:
    """
    Check what the values mean together, and with the environment's spaces.

    :return: remarks on what is possible but hardly meant
    :raises ConfigurationError: for an impossible combination
    """
    _check_spaces(algorithm, env_id, observation_space, action_space)
    make_noise(hyperparameters, action_space)
    _check_hindsight(hyperparameters, env_id, observation_space)
    _check_nested(algorithm, hyperparameters, observation_space, trust)
    _check_train_freq(hyperparameters)
    if algorithm.off_policy and hyperparameters.normalize is not None and hyperparameters.get("frame_stack"):
        origins = f"{hyperparameters.origin('normalize')}; {hyperparameters.origin('frame_stack')}"
        raise ConfigurationError(
            f"normalize and frame_stack ({origins}) do not go together with {algorithm.name}: its replay buffer would"
            " store unstacked frames"
        )
    return _check_batch(algorithm, hyperparameters, env_id) + _check_learning_starts(algorithm, hyperparameters)


def _check_spaces(
    algorithm: Algorithm, env_id: str, observation_space: spaces.Space, action_space: spaces.Space
) -> None:
    kind = type(action_space).__name__
    if kind not in algorithm.action_spaces:
        able = [name for name in algorithm_names() if kind in get_algorithm(name).action_spaces]
        others = f"Algorithms that can: {', '.join(able)}" if able else "No algorithm here can"
        raise ConfigurationError(f"{algorithm.name} cannot act in {env_id}: its actions are {action_space}. {others}")
    if isinstance(observation_space, spaces.Dict) and not algorithm.dict_observations:
        able = [
            name
            for name in algorithm_names()
            if get_algorithm(name).dict_observations and kind in get_algorithm(name).action_spaces
        ]
        raise ConfigurationError(
            f"{algorithm.name} takes no dictionary as observation, and {env_id} gives one."
            f" Algorithms that do: {', '.join(able)}"
        )


def _check_hindsight(hyperparameters: Hyperparameters, env_id: str, observation_space: spaces.Space) -> None:
    if "HerReplayBuffer" not in (hyperparameters.replay_buffer_class or ""):
        return
    goals = ("observation", "achieved_goal", "desired_goal")
    if not isinstance(observation_space, spaces.Dict) or any(key not in observation_space.spaces for key in goals):
        raise ConfigurationError(
            f"HerReplayBuffer ({hyperparameters.origin('replay_buffer_class')}) needs a goal environment, whose"
            f" observation is a dictionary with {', '.join(goals)}; {env_id} gives {type(observation_space).__name__}"
        )


def _check_nested(
    algorithm: Algorithm, hyperparameters: Hyperparameters, observation_space: spaces.Space, trust: Trust
) -> None:
    """Names inside ``policy_kwargs`` and ``replay_buffer_kwargs``."""
    policy = resolve_policy(algorithm, hyperparameters["policy"], observation_space, trust)
    policy_class = algorithm.load_class().policy_aliases[policy] if isinstance(policy, str) else policy
    own = {"observation_space", "action_space", "lr_schedule", "use_sde"}
    _check_keywords("policy_kwargs", hyperparameters, policy_class, own)
    buffer = hyperparameters.replay_buffer_class
    if buffer is not None:
        buffer_class = import_symbol(buffer, trust, "replay_buffer_class")
    elif "replay_buffer_kwargs" in hyperparameters:
        from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer

        buffer_class = DictReplayBuffer if isinstance(observation_space, spaces.Dict) else ReplayBuffer
    else:
        return
    _check_keywords(
        "replay_buffer_kwargs",
        hyperparameters,
        buffer_class,
        {"buffer_size", "observation_space", "action_space", "env"},
    )


def _check_keywords(name: str, hyperparameters: Hyperparameters, target: Any, own: set[str]) -> None:
    given = hyperparameters.parsed(name)
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"{name} must be a mapping, like dict(net_arch=[64, 64]), but got {given!r}"
            f" ({hyperparameters.origin(name)})"
        )
    parameters = inspect.signature(target.__init__).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    valid = set(parameters) - {"self"} - own
    for key in given:
        if key not in valid:
            raise ConfigurationError(
                f"{name} ({hyperparameters.origin(name)}): {target.__name__} takes no '{key}'.{hint(str(key), valid)}"
            )


def _check_train_freq(hyperparameters: Hyperparameters) -> None:
    value = hyperparameters.algorithm_arguments().get("train_freq")
    if value is None:
        return
    frequency, unit = value if isinstance(value, tuple) and len(value) == 2 else (value, "step")
    if (
        isinstance(frequency, bool)
        or not isinstance(frequency, int)
        or frequency < 1
        or unit not in ("step", "episode")
    ):
        raise ConfigurationError(
            f"train_freq must be a number of steps, or [number, step] or [number, episode], but got {value!r}"
            f" ({hyperparameters.origin('train_freq')})"
        )
    if unit == "episode" and hyperparameters.n_envs > 1:
        raise ConfigurationError(
            f"train_freq in episodes ({hyperparameters.origin('train_freq')}) works with one environment only,"
            f" but n_envs is {hyperparameters.n_envs} ({hyperparameters.origin('n_envs')})"
        )


def _check_batch(algorithm: Algorithm, hyperparameters: Hyperparameters, env_id: str) -> list[str]:
    """A batch is taken from a rollout of n_steps in each environment; SB3 would cut it down without a word."""
    parameters = model_parameters(algorithm)
    if algorithm.off_policy or "n_steps" not in parameters or "batch_size" not in parameters:
        return []
    batch = hyperparameters.get("batch_size", parameters["batch_size"].default)
    rollout = int(hyperparameters.get("n_steps", parameters["n_steps"].default)) * hyperparameters.n_envs
    if not isinstance(batch, (int, float)) or batch <= rollout:
        return []
    message = (
        f"batch_size is {int(batch)} ({hyperparameters.origin('batch_size')}), but a rollout has only {rollout} steps:"
        f" n_steps * n_envs ({hyperparameters.origin('n_steps')})"
    )
    names = [name for name in ("batch_size", "n_steps", "n_envs") if name in hyperparameters]
    block = hyperparameters.block
    if (
        block is not None
        and all(hyperparameters.origin(name) == block.origin for name in names)
        and is_block_of_the_zoo(algorithm.name, env_id, block.values)
    ):
        # Five blocks of the zoo are like this, and agents were published that were trained so.
        return [f"{message}. As in the zoo, each batch is the whole rollout"]
    if "batch_size" not in hyperparameters:
        return [f"{message}. Each batch is the whole rollout"]
    raise ConfigurationError(message)


def _check_learning_starts(algorithm: Algorithm, hyperparameters: Hyperparameters) -> list[str]:
    if not algorithm.off_policy:
        return []
    starts = hyperparameters.get("learning_starts", model_parameters(algorithm)["learning_starts"].default)
    if isinstance(starts, (int, float)) and starts >= hyperparameters.n_timesteps:
        return [
            f"learning_starts is {int(starts)} ({hyperparameters.origin('learning_starts')}), and training ends after"
            f" {hyperparameters.n_timesteps} steps: the agent will learn nothing"
        ]
    return []


def _check_type(name: str, value: Any, annotation: Any, hyperparameters: Hyperparameters) -> None:
    if name in (
        "policy",
        "train_freq",
        "replay_buffer_class",
        "rollout_buffer_class",
        "action_noise",
        "policy_kwargs",
        "replay_buffer_kwargs",
    ):
        return
    if _fits(value, annotation):
        return
    expected = " or ".join(_describe(part) for part in _parts(annotation))
    raise ConfigurationError(f"{name} must be {expected}, but got {value!r} ({hyperparameters.origin(name)})")


def _parts(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _fits(value: Any, annotation: Any) -> bool:
    checks: dict[Any, Callable[[Any], bool]] = {
        int: lambda item: (
            not isinstance(item, bool) and (isinstance(item, int) or (isinstance(item, float) and item.is_integer()))
        ),
        float: lambda item: not isinstance(item, bool) and isinstance(item, (int, float)) and not math.isnan(item),
        bool: lambda item: isinstance(item, bool),
        str: lambda item: isinstance(item, str),
        type(None): lambda item: item is None,
    }
    return any(part not in checks or checks[part](value) for part in _parts(annotation))


def _describe(annotation: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", type(None): "null"}
    return names.get(annotation, str(annotation))
