"""From hyperparameters to an SB3 model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import ConstantSchedule, LinearSchedule

from rl_experiments.algorithms.parameters import model_parameters
from rl_experiments.algorithms.registry import SBX, Algorithm
from rl_experiments.algorithms.sb3.archive import load_with, read_data, read_objects
from rl_experiments.algorithms.sb3.learner import FLOAT32, quicken
from rl_experiments.algorithms.sb3.learner.frames import FrameReplayBuffer, shares_frames
from rl_experiments.algorithms.sbx.translating import translated
from rl_experiments.config import grammar
from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.config.schedules import Schedule
from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Symbol, Trust, import_symbol

NOISES: dict[str, type[ActionNoise]] = {"normal": NormalActionNoise, "ornstein-uhlenbeck": OrnsteinUhlenbeckActionNoise}


def build_model(
    algorithm: Algorithm,
    hyperparameters: Hyperparameters,
    env: Any,
    *,
    seed: int | None,
    verbose: int = 0,
    device: str = "auto",
    tensorboard_log: str | None = None,
    trust: Trust | None = None,
    precision: str = FLOAT32,
) -> Any:
    """
    Make a model that is ready to learn.

    :param hyperparameters: checked ones
    :param env: the vector of training environments
    :param precision: of convolutions
    :raises ConfigurationError: if SB3 refuses a value
    """
    arguments = constructor_arguments(algorithm, hyperparameters, env, trust or Trust())
    try:
        model = algorithm.load_class()(
            env=env, seed=seed, verbose=verbose, device=device, tensorboard_log=tensorboard_log, **arguments
        )
    except RLExperimentsError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"{algorithm.name} cannot be made with these hyperparameters: {_one_line(error)}"
        ) from error
    quicken(model, precision)
    return model


def continue_model(
    algorithm: Algorithm,
    hyperparameters: Hyperparameters,
    env: Any,
    path: Path,
    *,
    seed: int | None,
    verbose: int = 0,
    device: str = "auto",
    tensorboard_log: str | None = None,
    trust: Trust | None = None,
    precision: str = FLOAT32,
) -> Any:
    """
    Make a model that goes on learning from a trained one (``-i``): its policy and optimizer stay, the hyperparameters
    given here win over
    those in its file, and its counters begin at 0.

    :param path: the zip of the trained model
    :param precision: of convolutions
    :raises ConfigurationError: if it does not fit the environment or the algorithm
    """
    trust = trust or Trust()
    if algorithm.backend == SBX:
        from rl_experiments.algorithms.sbx.loading import policy_in, put_policy  # which reads zips as we do

        arguments = constructor_arguments(algorithm, hyperparameters.without("policy_kwargs"), env, trust)
        arguments["policy"], arguments["policy_kwargs"] = policy_in(path, algorithm)
        model = algorithm.load_class()(
            env=env, seed=seed, verbose=verbose, device=device, tensorboard_log=tensorboard_log, **arguments
        )
        put_policy(model, path)
        return model
    data = read_data(path)
    objects, replaced = read_objects(data, path, trust)
    arguments = constructor_arguments(algorithm, hyperparameters.without("policy", "policy_kwargs"), env, trust)
    defaults = model_parameters(algorithm)
    for name in replaced & set(defaults) - set(arguments):
        # A schedule that was saved as code: the algorithm's default takes its place.
        objects[name] = defaults[name].default
    model = load_with(
        path,
        algorithm,
        objects,
        env=env,
        seed=seed,
        verbose=verbose,
        device=device,
        tensorboard_log=tensorboard_log,
        **arguments,
    )
    quicken(model, precision)
    return model


def constructor_arguments(
    algorithm: Algorithm, hyperparameters: Hyperparameters, env: Any, trust: Trust
) -> dict[str, Any]:
    """
    :return: the keyword arguments of the algorithm's constructor, names resolved, schedules and noise made
    """

    def resolve(symbol: Symbol) -> Any:
        return import_symbol(symbol, trust, "hyperparameter")

    arguments = {
        name: _as_sb3_schedule(value) if isinstance(value, Schedule) else grammar.replace_symbols(value, resolve)
        for name, value in hyperparameters.algorithm_arguments().items()
    }
    if "policy" in arguments:
        arguments["policy"] = resolve_policy(algorithm, arguments["policy"], env.observation_space, trust)
    for name in ("replay_buffer_class", "rollout_buffer_class"):
        if isinstance(arguments.get(name), str):
            arguments[name] = import_symbol(arguments[name], trust, name, BaseBuffer)
    noise = make_noise(hyperparameters, env.action_space)
    if noise is not None:
        arguments["action_noise"] = noise
    if can_share_frames(algorithm, hyperparameters, env.observation_space):
        arguments["replay_buffer_class"] = FrameReplayBuffer
        arguments["replay_buffer_kwargs"] = {
            **(arguments.get("replay_buffer_kwargs") or {}),
            "frame_stack": hyperparameters.get("frame_stack"),
        }
    arguments = _with_whole_numbers(algorithm, arguments)
    return translated(algorithm, arguments) if algorithm.backend == SBX else arguments


def can_share_frames(algorithm: Algorithm, hyperparameters: Hyperparameters, space: spaces.Space) -> bool:
    """:return: whether the replay buffer stores pictures, and is not one of another kind"""
    parameters = model_parameters(algorithm)
    plain = hyperparameters.get("replay_buffer_class") is None and hyperparameters.get("n_steps", 1) in (1, None)
    return algorithm.off_policy and "replay_buffer_class" in parameters and plain and shares_frames(space)


def resolve_policy(algorithm: Algorithm, policy: Any, observation_space: spaces.Space, trust: Trust) -> Any:
    """
    :param policy: an alias (``MlpPolicy``), a dotted path, or a class
    :return: the alias, or the class

    ``MlpPolicy`` on a dictionary observation becomes ``MultiInputPolicy``, which is the same for dictionaries.

    :raises ConfigurationError: if the algorithm has no such policy
    """
    if isinstance(policy, (Symbol, str)) and "." in str(policy):
        return import_symbol(str(policy), trust, "policy", BasePolicy)
    if not isinstance(policy, str):
        return policy
    aliases = algorithm.load_class().policy_aliases
    with_lstm = f"{policy.removesuffix('Policy')}LstmPolicy"
    if policy not in aliases and with_lstm in aliases:
        # The zoo's default block for ppo_lstm says MlpPolicy.
        policy = with_lstm
    if policy not in aliases:
        owner = f"SBX's {algorithm.name}" if algorithm.backend == SBX else algorithm.name
        raise ConfigurationError(f"{owner} has no policy '{policy}'.{hint(policy, aliases)}")
    for_dictionaries = policy.replace("Mlp", "MultiInput")
    if isinstance(observation_space, spaces.Dict) and for_dictionaries in aliases:
        return for_dictionaries
    return policy


def make_noise(hyperparameters: Hyperparameters, action_space: spaces.Space) -> ActionNoise | None:
    """
    :return: the exploration noise that ``noise_type`` and ``noise_std`` describe, or None
    :raises ConfigurationError: if it is unknown, half given, or for actions that are not continuous
    """
    kind, std = hyperparameters.get("noise_type"), hyperparameters.get("noise_std")
    if kind is None and std is None:
        return None
    origin = hyperparameters.origin("noise_type" if kind is not None else "noise_std")
    if kind is None or std is None:
        missing = "noise_std" if std is None else "noise_type"
        raise ConfigurationError(f"Noise needs both noise_type and noise_std: {missing} is missing ({origin})")
    if not isinstance(action_space, spaces.Box):
        raise ConfigurationError(
            f"noise_type is for continuous actions, but the action space is {action_space} ({origin})"
        )
    name = str(kind).strip().lower()
    if name not in NOISES:
        raise ConfigurationError(f"There is no noise_type '{kind}' ({origin}).{hint(name, NOISES)}")
    if isinstance(std, bool) or not isinstance(std, (int, float)) or not 0 <= std < math.inf:
        raise ConfigurationError(
            f"noise_std must be a number of at least 0, but got {std!r} ({hyperparameters.origin('noise_std')})"
        )
    shape = action_space.shape
    return NOISES[name](mean=np.zeros(shape), sigma=float(std) * np.ones(shape))  # type: ignore[call-arg]


def _as_sb3_schedule(schedule: Schedule) -> Any:
    """SB3's own classes where it has them, so that the model loads where this package is not installed."""
    if schedule.kind == "const":
        return ConstantSchedule(schedule.start)
    if schedule.kind == "lin":
        return LinearSchedule(schedule.start, schedule.end, 1.0)
    return schedule


def _with_whole_numbers(algorithm: Algorithm, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """``buffer_size: 1e6`` is a float in YAML; SB3 wants a whole number."""
    whole = {
        name
        for name, parameter in model_parameters(algorithm).items()
        if str(parameter.annotation) in ("int", "<class 'int'>")
    }
    return {
        name: int(value) if name in whole and isinstance(value, float) and value.is_integer() else value
        for name, value in arguments.items()
    }


def _one_line(error: Exception) -> str:
    if "can't allocate memory" in str(error) or "out of memory" in str(error):
        return "its networks need more memory than there is"
    parts = error.args[0] if len(error.args) == 1 and isinstance(error.args[0], tuple) else (error,)
    text = " ".join(" ".join(map(str, parts)).split())
    return f"{type(error).__name__}: {text}" if isinstance(error, LookupError) else text or type(error).__name__
