"""The whole configuration is checked before anything is trained."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from rl_experiments.algorithms import Algorithm, algorithm_names, get_algorithm
from rl_experiments.algorithms.parameters import model_parameters
from rl_experiments.algorithms.registry import SBX
from rl_experiments.algorithms.sbx.signature import LACKING, check_lacking
from rl_experiments.algorithms.sbx.translating import remarks_on_sbx
from rl_experiments.config.hyperparameters import NOISE_KEYS, Hyperparameters, check_names
from rl_experiments.config.schedules import SCHEDULED
from rl_experiments.config.sources import is_block_of_the_zoo
from rl_experiments.core.annotations import describe, fits, type_of
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Symbol, Trust, import_symbol
from rl_experiments.envs import registry
from rl_experiments.training.policy_checks import check_policy_kwargs

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
    "n_top": (1, math.inf),
    "n_eval_episodes": (1, math.inf),
    "stats_window_size": (1, math.inf),
    "sde_sample_freq": (-1, math.inf),
    "max_epsilon": (0, 1),
    "min_epsilon": (0, 1),
    "decay_rate": (0, math.inf),
    "n_episodes": (1, math.inf),
    "max_steps": (1, math.inf),
    "discounting": (0, 1),
    "entropy_cost": (0, math.inf),
    "unroll_length": (1, math.inf),
    "num_minibatches": (1, math.inf),
    "num_updates_per_batch": (1, math.inf),
    "num_evals": (1, math.inf),
    "reward_scaling": (0, math.inf),
    "clipping_epsilon": (0, math.inf),
    "vf_loss_coefficient": (0, math.inf),
    "episode_length": (1, math.inf),
    "line_search_max_iter": (1, math.inf),
    "line_search_shrinking_factor": (0, 1),
    "sub_sampling_factor": (1, math.inf),
    "cg_damping": (0, math.inf),
    "target_kl": (0, math.inf),
    "target_policy_noise": (0, math.inf),
    "target_noise_clip": (0, math.inf),
    "rms_prop_eps": (0, math.inf),
    "top_quantiles_to_drop_per_net": (0, math.inf),
}
_MAY_BE_INFINITE = ("max_grad_norm", "target_kl", "target_noise_clip")
_FLAGS = {"seed": "--seed", "verbose": "--verbose", "device": "--device", "tensorboard_log": "--tensorboard-log"}
"""Arguments of SB3's constructors that belong to the experiment."""
_QUANTILES = {"tqc": 25, "qrdqn": 200}
"""SB3's default of ``n_quantiles``."""


def check_hyperparameters(algorithm: Algorithm, hyperparameters: Hyperparameters) -> None:
    """
    Check names, types and ranges against the algorithm's signature.

    :raises ConfigurationError: for the first that is wrong; the message says where the value came from
    """
    parameters = model_parameters(algorithm)
    _check_plain(hyperparameters)
    if algorithm.backend == SBX:
        for name in sorted(LACKING[algorithm.name].keys() & hyperparameters.keys()):
            value = hyperparameters.algorithm_arguments()[name]
            check_lacking(algorithm.name, name, value, hyperparameters.origin(name))
    check_names(hyperparameters, {*parameters, *(NOISE_KEYS if "action_noise" in parameters else ())}, algorithm.name)
    if "policy" not in hyperparameters and "policy" in parameters:
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
        if isinstance(value, float) and math.isinf(value) and name not in _MAY_BE_INFINITE:
            raise ConfigurationError(f"{name} must be finite, but got {value} ({hyperparameters.origin(name)})")
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
    from rl_experiments.algorithms.sb3.building import make_noise

    _check_spaces(algorithm, env_id, observation_space, action_space)
    make_noise(hyperparameters, action_space)
    _check_hindsight(hyperparameters, env_id, observation_space)
    _check_nested(algorithm, hyperparameters, observation_space, trust)
    _check_train_freq(hyperparameters)
    _check_entropy(hyperparameters)
    _check_quantiles(algorithm, hyperparameters)
    _check_candidates(hyperparameters, model_parameters(algorithm))
    _check_hindsight_start(algorithm, hyperparameters, env_id)
    if algorithm.off_policy and hyperparameters.normalize is not None and hyperparameters.get("frame_stack"):
        origins = f"{hyperparameters.origin('normalize')}; {hyperparameters.origin('frame_stack')}"
        raise ConfigurationError(
            f"normalize and frame_stack ({origins}) do not go together with {algorithm.name}: its replay buffer would"
            " store unstacked frames"
        )
    return (
        _check_batch(algorithm, hyperparameters, env_id)
        + _check_rollout(algorithm, hyperparameters)
        + _check_learning_starts(algorithm, hyperparameters)
        + (remarks_on_sbx(algorithm.name, hyperparameters) if algorithm.backend == SBX else [])
    )


def _check_spaces(
    algorithm: Algorithm, env_id: str, observation_space: spaces.Space, action_space: spaces.Space
) -> None:
    kind = type(action_space).__name__
    if kind not in algorithm.action_spaces:
        able = [name for name in algorithm_names() if kind in get_algorithm(name).action_spaces]
        others = f"Algorithms that can: {', '.join(able)}" if able else "No algorithm here can"
        raise ConfigurationError(f"{algorithm.name} cannot act in {env_id}: its actions are {action_space}. {others}")
    for what, space in (("actions", action_space), ("observations", observation_space)):
        for part in space.spaces.values() if isinstance(space, spaces.Dict) else (space,):
            if np.any(getattr(part, "start", 0)):
                raise ConfigurationError(
                    f"{env_id} counts its {what} from {part.start}: {part}. SB3 counts from 0"  # type: ignore[attr-defined]
                )
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
    from rl_experiments.algorithms.sb3.building import resolve_policy

    policy = resolve_policy(algorithm, hyperparameters["policy"], observation_space, trust)
    policy_class = algorithm.load_class().policy_aliases[policy] if isinstance(policy, str) else policy
    own = {"observation_space", "action_space", "lr_schedule", "use_sde"}
    _check_keywords("policy_kwargs", hyperparameters, policy_class, own)
    check_policy_kwargs(algorithm, hyperparameters, policy_class, trust)
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
    if "train_freq" not in hyperparameters:
        return
    value = hyperparameters.algorithm_arguments()["train_freq"]
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
        f" n_steps * n_envs ({hyperparameters.origin('n_steps')}; {hyperparameters.origin('n_envs')})"
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
    raise ConfigurationError(f"{message}. -params batch_size:{rollout} would fit")


def check_batch_of_buffer(algorithm: Algorithm, hyperparameters: Hyperparameters) -> None:
    """
    :raises ConfigurationError: if a batch is larger than the replay buffer; SB3 would fill it with repetitions
    """
    if not algorithm.off_policy:
        return
    parameters = model_parameters(algorithm)
    batch, buffer = (int(hyperparameters.get(name, parameters[name].default)) for name in ("batch_size", "buffer_size"))
    if batch > buffer:
        raise ConfigurationError(
            f"batch_size is {batch} ({hyperparameters.origin('batch_size')}), but the replay buffer holds only"
            f" {buffer} steps: buffer_size ({hyperparameters.origin('buffer_size')})"
        )


def _check_rollout(algorithm: Algorithm, hyperparameters: Hyperparameters) -> list[str]:
    """Advantages are normalised by their deviation in a batch, which a single step has not."""
    parameters = model_parameters(algorithm)
    if algorithm.off_policy or "n_steps" not in parameters:
        return []
    n_steps = int(hyperparameters.get("n_steps", parameters["n_steps"].default))
    rollout = n_steps * hyperparameters.n_envs
    sizes = {"n_steps * n_envs": rollout}
    if algorithm.name != "trpo" and "batch_size" in parameters:
        sizes["batch_size"] = int(hyperparameters.get("batch_size", parameters["batch_size"].default))
    normalizes = "normalize_advantage" in parameters and hyperparameters.get(
        "normalize_advantage", parameters["normalize_advantage"].default
    )
    for name, size in sizes.items():
        if normalizes and size < 2:
            origin = hyperparameters.origin(name.partition(" ")[0])
            raise ConfigurationError(f"{name} must be at least 2 to normalize advantages, but got {size} ({origin})")
    if rollout > hyperparameters.n_timesteps:
        return [
            f"A rollout is {rollout} steps, n_steps * n_envs ({hyperparameters.origin('n_steps')}): training makes so"
            f" many, instead of {hyperparameters.n_timesteps}"
        ]
    return []


def _check_entropy(hyperparameters: Hyperparameters) -> None:
    """``auto`` and a number of its own say how the entropy is weighed."""
    for name, words in (("ent_coef", ("auto", "auto_0.1")), ("target_entropy", ("auto",))):
        value = hyperparameters.get(name)
        if not isinstance(value, str) or value == "auto":
            continue
        word, _, start = value.partition("_")
        if name == "ent_coef" and word == "auto" and _positive(start):
            continue
        raise ConfigurationError(
            f"{name} must be a number or {' or '.join(words)}, but got '{value}' ({hyperparameters.origin(name)})"
        )


def _positive(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _check_quantiles(algorithm: Algorithm, hyperparameters: Hyperparameters) -> None:
    name = "top_quantiles_to_drop_per_net"
    parameters = model_parameters(algorithm)
    if name not in parameters:
        return
    dropped = int(hyperparameters.get(name, parameters[name].default))
    kwargs = hyperparameters.parsed("policy_kwargs") or {}
    quantiles = kwargs.get("n_quantiles", _QUANTILES[algorithm.name])
    if dropped >= quantiles:
        raise ConfigurationError(
            f"{name} is {dropped} ({hyperparameters.origin(name)}), but each net has only {quantiles} quantiles:"
            f" policy_kwargs n_quantiles ({hyperparameters.origin('policy_kwargs')})"
        )


def _check_candidates(hyperparameters: Hyperparameters, parameters: Mapping[str, inspect.Parameter]) -> None:
    """ARS moves towards the best ``n_top`` of its ``n_delta`` candidates."""
    if "n_delta" not in parameters:
        return
    n_delta = int(hyperparameters.get("n_delta", parameters["n_delta"].default))
    n_top = hyperparameters.get("n_top")
    if n_top is not None and n_top > n_delta:
        raise ConfigurationError(
            f"n_top is {int(n_top)} ({hyperparameters.origin('n_top')}), but there are only {n_delta} candidates:"
            f" n_delta ({hyperparameters.origin('n_delta')})"
        )


def _check_hindsight_start(algorithm: Algorithm, hyperparameters: Hyperparameters, env_id: str) -> None:
    """Hindsight learns from whole episodes: there must be one when learning starts."""
    if "HerReplayBuffer" not in (hyperparameters.replay_buffer_class or ""):
        return
    longest = registry.find_spec(env_id).max_episode_steps
    parameters = model_parameters(algorithm)
    frequency = hyperparameters.algorithm_arguments().get("train_freq", parameters["train_freq"].default)
    starts = int(hyperparameters.get("learning_starts", parameters["learning_starts"].default))
    if longest is None or (isinstance(frequency, tuple) and frequency[1] == "episode"):
        return
    needed = longest * hyperparameters.n_envs
    if starts < needed:
        raise ConfigurationError(
            f"learning_starts is {starts} ({hyperparameters.origin('learning_starts')}), but HerReplayBuffer learns"
            f" from whole episodes, and the first may last {needed} steps: expected at least {needed}"
        )


def _check_learning_starts(algorithm: Algorithm, hyperparameters: Hyperparameters) -> list[str]:
    if not algorithm.off_policy:
        return []
    starts = hyperparameters.get("learning_starts", model_parameters(algorithm)["learning_starts"].default)
    if hyperparameters.get("gradient_steps") == 0:
        return [f"gradient_steps is 0 ({hyperparameters.origin('gradient_steps')}): the agent will learn nothing"]
    if isinstance(starts, (int, float)) and starts >= hyperparameters.n_timesteps:
        return [
            f"learning_starts is {int(starts)} ({hyperparameters.origin('learning_starts')}), and training ends after"
            f" {hyperparameters.n_timesteps} steps: the agent will learn nothing"
        ]
    return []


def _check_plain(hyperparameters: Hyperparameters) -> None:
    """A saved configuration can hold names, numbers, words, and lists and mappings of them."""
    for name, value in hyperparameters.items():
        if name in _FLAGS:
            raise ConfigurationError(
                f"{name} ({hyperparameters.origin(name)}) belongs to the experiment, not to its hyperparameters:"
                f" {_FLAGS[name]}"
            )
        if callable(value) and name in SCHEDULED:
            continue
        odd = _not_plain(value)
        if odd is not None:
            raise ConfigurationError(
                f"{name} ({hyperparameters.origin(name)}) holds a {type(odd).__name__}, which a saved run could not"
                " name. Expected numbers, words, names of classes, and lists and mappings of these"
            )


def _not_plain(value: Any) -> Any:
    """:return: the first part that is none of a configuration's values, or None"""
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return next((odd for odd in map(_not_plain, value) if odd is not None), None)
    plain = (bool, int, float, str, bytes, Symbol, np.generic, np.ndarray)
    return None if value is None or isinstance(value, plain) else value


def _check_type(name: str, value: Any, annotation: Any, hyperparameters: Hyperparameters) -> None:
    if name == "action_noise":
        raise ConfigurationError(
            f"action_noise ({hyperparameters.origin(name)}) is made of noise_type and noise_std: give these instead"
        )
    if name == "policy" and not isinstance(value, (str, Symbol)):
        raise ConfigurationError(f"policy must be a name, but got {type_of(value)} ({hyperparameters.origin(name)})")
    if name in ("policy", "train_freq") or name.endswith(("_class", "_kwargs")) or fits(value, annotation):
        return
    raise ConfigurationError(
        f"{name} must be {describe(annotation)}, but got {value!r} ({hyperparameters.origin(name)})"
    )
