"""Whether what a configuration asks for fits into memory."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces

from rl_experiments.algorithms import Algorithm
from rl_experiments.algorithms.parameters import model_parameters
from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core.memory import require_memory
from rl_experiments.envs.spaces import bytes_of

_ENVIRONMENT, _PROCESS = 20_000, 50_000_000
"""Bytes that the smallest environment takes, in this process and in one of its own."""
_NUMBERS_OF_A_STEP = 24
"""Reward, return, advantage and the like, four bytes each."""
_TRAININGS = {"sb3": 450_000_000, "tabular": 250_000_000, "brax": 2_000_000_000}
"""Bytes that a process takes in which nothing is stored."""
PICTURES, NUMBERS = 4 * 84 * 84, 400
"""Bytes of an observation of Atari, and of most others, where no space is at hand."""
_COPIES_OF_A_CANDIDATE = 16
"""Bytes of a weight of ARS: its noise, the same scaled, and added and subtracted."""


def check_sizes(
    algorithm: Algorithm,
    hyperparameters: Hyperparameters,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    in_processes: bool,
) -> None:
    """
    :param in_processes: whether each environment gets a process of its own
    :raises ConfigurationError: if environments, rollout or replay buffer need more memory than this machine has
    """
    n_envs = hyperparameters.n_envs
    check_environments(
        f"n_envs {n_envs} ({hyperparameters.origin('n_envs')})", n_envs, in_processes or algorithm.name == "ars"
    )
    observation, action = bytes_of(observation_space), bytes_of(action_space)
    parameters = model_parameters(algorithm)
    if "buffer_size" in parameters:
        size = int(hyperparameters.get("buffer_size", parameters["buffer_size"].default))
        step = observation * (1 if hyperparameters.get("optimize_memory_usage") else 2) + action + _NUMBERS_OF_A_STEP
        what = f"A replay buffer with buffer_size {size} ({hyperparameters.origin('buffer_size')})"
        # The system gives memory where it is written to, but refuses a single array that is larger than all of it.
        require_memory(what, size * observation)
        filled = min(size, hyperparameters.n_timesteps)
        require_memory(f"{what}, of which {filled} are filled,", filled * step)
    elif "n_steps" in parameters:
        n_steps = int(hyperparameters.get("n_steps", parameters["n_steps"].default))
        require_memory(
            f"A rollout with n_steps {n_steps} ({hyperparameters.origin('n_steps')}) in {n_envs} environments",
            n_steps * n_envs * (observation + action + _NUMBERS_OF_A_STEP),
        )


def memory_of_training(algorithm: Algorithm, hyperparameters: Hyperparameters, observation: int) -> int:
    """
    What a training takes, roughly: its libraries, and the steps that it stores.

    :param observation: bytes of one
    :return: bytes
    """
    needed = _TRAININGS.get(algorithm.backend, _TRAININGS["sb3"])
    if algorithm.backend == "brax":
        return needed
    parameters = model_parameters(algorithm)
    if "buffer_size" in parameters:
        size = int(hyperparameters.get("buffer_size", parameters["buffer_size"].default))
        steps = min(size, hyperparameters.n_timesteps)
        stored = observation * (1 if hyperparameters.get("optimize_memory_usage") else 2)
        return needed + steps * (stored + _NUMBERS_OF_A_STEP)
    n_steps = parameters.get("n_steps")
    if n_steps is not None:
        needed += int(hyperparameters.get("n_steps", n_steps.default)) * hyperparameters.n_envs * observation
    return needed


def check_environments(what: str, count: int, in_processes: bool) -> None:
    """
    :param what: what says how many environments there are, for errors
    :raises ConfigurationError: if so many do not fit
    """
    where = ", in processes of their own," if in_processes else ""
    require_memory(f"{what}{where}", count * (_PROCESS if in_processes else _ENVIRONMENT))


def check_candidates_fit(model: Any) -> None:
    """
    :param model: made for a check; only ARS has candidates
    :raises ConfigurationError: if they need more memory than this machine has
    """
    if hasattr(model, "n_delta"):
        require_memory(f"n_delta {model.n_delta}", _COPIES_OF_A_CANDIDATE * model.n_delta * model.n_params)
