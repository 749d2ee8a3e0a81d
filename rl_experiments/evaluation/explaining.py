"""Playing for people: what fails is named, and what was played before is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gymnasium import spaces

from rl_experiments.algorithms.agent import Agent
from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.isolation import IsolatedError
from rl_experiments.evaluation.playing import Game
from rl_experiments.evaluation.statistics import Evaluation

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


class PlayingError(RLExperimentsError):
    """
    An environment or an agent that failed while it played.

    :param message: which of them, where, and of what
    :param so_far: what was played before
    """

    def __init__(self, message: str, so_far: Evaluation) -> None:
        super().__init__(message)
        self.so_far = so_far


class PlayStopped(KeyboardInterrupt):
    """
    A play that a signal ended.

    :param so_far: what was played before
    :param exit_code: what the process ends with
    """

    def __init__(self, so_far: Evaluation, exit_code: int) -> None:
        super().__init__()
        self.so_far = so_far
        self.exit_code = exit_code


def play_to_the_end(game: Game, env_id: str) -> Evaluation:
    """
    :param env_id: what to call the environment
    :raises PlayingError: if the environment or the agent fails
    :raises PlayStopped: for Ctrl-C
    """
    try:
        return game.play()
    except KeyboardInterrupt as stop:
        raise PlayStopped(game.so_far(), getattr(stop, "exit_code", 130)) from None
    except IsolatedError as error:  # the environment's process is gone
        failure = PlayingError(f"{env_id}: {game.doing}: {error}", game.so_far())
        failure.exit_code = 1
        raise failure from error
    except RLExperimentsError:
        raise
    except Exception as error:  # environments raise anything
        if game.doing is None:
            raise
        if isinstance(error, (EOFError, ConnectionError)):
            reason = "its process ended"
        else:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise PlayingError(f"{env_id}: {game.doing}: {reason}", game.so_far()) from error


def check_spaces(agent: Agent, env: VecEnv, env_id: str) -> None:
    """
    :raises ConfigurationError: if the agent was trained on other observations or actions
    """
    for name, what in (("observation_space", "observations"), ("action_space", "actions")):
        trained, given = getattr(agent, name, None), getattr(env, name)
        if trained is not None and _form(trained) != _form(given):
            raise ConfigurationError(
                f"The agent was trained with {what} {_shown(trained)}, but {env_id} has {_shown(given)}"
            )


def _form(space: spaces.Space) -> object:
    """What must be equal; the bounds of a box are different from one version of an environment to the next."""
    if isinstance(space, spaces.Dict):
        return {key: _form(part) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return space.nvec.tolist()
    return type(space).__name__, space.shape


def _shown(space: spaces.Space) -> str:
    if isinstance(space, spaces.Dict):
        return f"Dict({', '.join(f'{key}: {_shown(part)}' for key, part in space.spaces.items())})"
    return f"Box{space.shape}" if isinstance(space, spaces.Box) else str(space)
