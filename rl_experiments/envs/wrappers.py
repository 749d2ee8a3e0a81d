"""
Wrappers that YAML files name, under the zoo's names (``rl_zoo3.wrappers.X``) or ours
(``rl_experiments.envs.wrappers.X``).

- ``FrameSkip``: repeat an action, sum the rewards
- ``YAMLCompatResizeObservation``: resize images; the shape is a list, as YAML has it
- ``TruncatedOnSuccessWrapper``: end a goal environment's episode on success
- ``ActionNoiseWrapper``, ``ActionSmoothingWrapper``, ``DelayedRewardWrapper``: make a task harder
- ``HistoryWrapper``, ``HistoryWrapperObsDict``: past observations and actions in the observation
- ``MaskVelocityWrapper``: hide the velocities
- ``NumberedSpaces``: observations that are tuples of whole numbers, and actions, counted from 0
- ``TimeFeatureWrapper``: the remaining time in the observation (sb3-contrib's)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import ResizeObservation

from rl_experiments.core.errors import ConfigurationError

if TYPE_CHECKING:
    from sb3_contrib.common.wrappers import TimeFeatureWrapper

__all__ = [
    "ActionNoiseWrapper",
    "ActionSmoothingWrapper",
    "DelayedRewardWrapper",
    "FrameSkip",
    "HistoryWrapper",
    "HistoryWrapperObsDict",
    "MaskVelocityWrapper",
    "NumberedSpaces",
    "TimeFeatureWrapper",
    "TruncatedOnSuccessWrapper",
    "YAMLCompatResizeObservation",
]


def __getattr__(name: str) -> Any:
    """The one wrapper here that is not ours, and needs torch."""
    if name != "TimeFeatureWrapper":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from sb3_contrib.common.wrappers import TimeFeatureWrapper

    return TimeFeatureWrapper


Step = tuple[Any, float, bool, bool, dict[str, Any]]
Reset = tuple[Any, dict[str, Any]]


class FrameSkip(gym.Wrapper):
    """
    :param env: any environment
    :param skip: how many steps of it one action lasts
    """

    def __init__(self, env: gym.Env, skip: int = 4) -> None:
        super().__init__(env)
        if skip < 1:
            raise ConfigurationError(f"FrameSkip: skip must be at least 1, but got {skip=}")
        self._skip = skip

    def step(self, action: Any) -> Step:
        """Repeat the action until the episode ends or ``skip`` steps are done; the reward is their sum."""
        total = 0.0
        for _ in range(self._skip):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


class YAMLCompatResizeObservation(ResizeObservation):
    """
    :param env: an environment with images as observations
    :param shape: [height, width] in pixels, or one number for both
    """

    def __init__(self, env: gym.Env, shape: list[int] | int) -> None:
        height, width = (shape, shape) if isinstance(shape, int) else shape
        super().__init__(env, (height, width))


class TruncatedOnSuccessWrapper(gym.Wrapper):
    """
    :param env: a goal environment that reports ``is_success``
    :param reward_offset: added to every reward
    :param n_successes: successful steps in a row that end the episode
    """

    def __init__(self, env: gym.Env, reward_offset: float = 0.0, n_successes: int = 1) -> None:
        super().__init__(env)
        self.reward_offset = reward_offset
        self.n_successes = n_successes
        self.current_successes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        """Begin counting again."""
        self.current_successes = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Step:
        """Step, count successes, and shift the reward."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.current_successes = self.current_successes + 1 if info.get("is_success", False) else 0
        truncated = truncated or self.current_successes >= self.n_successes
        return observation, float(reward) + self.reward_offset, terminated, truncated, info

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """The environment's reward for a goal, shifted likewise (for hindsight replay)."""
        return self.env.get_wrapper_attr("compute_reward")(achieved_goal, desired_goal, info) + self.reward_offset


class ActionNoiseWrapper(gym.Wrapper):
    """
    Gaussian noise on the actions, unknown to the agent.

    :param env: an environment with continuous actions
    :param noise_std: standard deviation, in units of the action
    """

    def __init__(self, env: gym.Env, noise_std: float = 0.1) -> None:
        super().__init__(env)
        if not isinstance(env.action_space, spaces.Box):
            raise ConfigurationError(f"ActionNoiseWrapper needs continuous actions, but got {env.action_space}")
        self.noise_std = noise_std

    def step(self, action: Any) -> Step:
        """Step with the noisy action, clipped to the action space."""
        box = self.action_space
        assert isinstance(box, spaces.Box)
        noise = self.np_random.normal(0.0, self.noise_std, size=np.shape(action))
        return self.env.step(np.clip(action + noise, box.low, box.high).astype(box.dtype))  # type: ignore[return-value]


class ActionSmoothingWrapper(gym.Wrapper):
    """
    Exponential moving average over the actions.

    :param env: an environment with continuous actions
    :param smoothing_coef: weight of the past: 0 is none, towards 1 very smooth
    """

    def __init__(self, env: gym.Env, smoothing_coef: float = 0.0) -> None:
        super().__init__(env)
        self.smoothing_coef = smoothing_coef
        self.smoothed_action: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        """Forget the past."""
        self.smoothed_action = None
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Step:
        """Step with the smoothed action."""
        past = np.zeros_like(action) if self.smoothed_action is None else self.smoothed_action
        self.smoothed_action = self.smoothing_coef * past + (1 - self.smoothing_coef) * action
        return self.env.step(self.smoothed_action)  # type: ignore[return-value]


class DelayedRewardWrapper(gym.Wrapper):
    """
    The sum of the rewards comes only every ``delay`` steps and at the end.

    :param env: any environment
    :param delay: steps between rewards
    """

    def __init__(self, env: gym.Env, delay: int = 10) -> None:
        super().__init__(env)
        self.delay = delay
        self.current_step = 0
        self.accumulated_reward = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        """Begin counting again."""
        self.current_step, self.accumulated_reward = 0, 0.0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Step:
        """Step, and give out the reward when it is due."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.accumulated_reward += float(reward)
        self.current_step += 1
        if not (self.current_step % self.delay == 0 or terminated or truncated):
            return observation, 0.0, terminated, truncated, info
        due, self.accumulated_reward = self.accumulated_reward, 0.0
        return observation, due, terminated, truncated, info


class _History:
    """The last ``horizon`` observations and actions in one vector."""

    def __init__(self, observation: spaces.Space, action: spaces.Space, horizon: int, wrapper: str) -> None:
        if not isinstance(observation, spaces.Box) or not isinstance(action, spaces.Box):
            raise ConfigurationError(
                f"{wrapper} needs vectors as observations and actions, but got {observation} and {action}"
            )
        repeated = [np.tile(bound, horizon) for bound in (observation.low, action.low, observation.high, action.high)]
        self.space = spaces.Box(
            low=np.concatenate(repeated[:2]),
            high=np.concatenate(repeated[2:]),
            dtype=observation.dtype,
        )
        self.observations = np.zeros(repeated[0].shape, repeated[0].dtype)
        self.actions = np.zeros(repeated[1].shape, repeated[1].dtype)

    def clear(self, observation: np.ndarray) -> np.ndarray:
        self.observations[...] = 0
        self.actions[...] = 0
        return self.push(observation, None)

    def push(self, observation: np.ndarray, action: np.ndarray | None) -> np.ndarray:
        for history, newest in ((self.observations, observation), (self.actions, action)):
            if newest is not None:
                size = newest.shape[-1]
                history[..., :-size] = history[..., size:].copy()
                history[..., -size:] = newest
        return np.concatenate((self.observations, self.actions)).astype(self.space.dtype)


class HistoryWrapper(gym.Wrapper):
    """
    :param env: an environment with vectors as observations and continuous actions
    :param horizon: how many of the last observations and actions make the new observation
    """

    def __init__(self, env: gym.Env, horizon: int = 2) -> None:
        super().__init__(env)
        self.history = _History(env.observation_space, env.action_space, horizon, "HistoryWrapper")
        self.observation_space = self.history.space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        """Forget the past."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self.history.clear(observation), info

    def step(self, action: Any) -> Step:
        """Step, and return the history."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self.history.push(observation, action), float(reward), terminated, truncated, info


class HistoryWrapperObsDict(gym.Wrapper):
    """
    The same for goal environments: the history takes the place of the entry ``observation``.

    :param env: a goal environment
    :param horizon: how many of the last observations and actions make the new entry
    """

    def __init__(self, env: gym.Env, horizon: int = 2) -> None:
        super().__init__(env)
        if not isinstance(env.observation_space, spaces.Dict):
            raise ConfigurationError(
                f"HistoryWrapperObsDict needs a dictionary as observation, but got {env.observation_space}"
            )
        self.history = _History(
            env.observation_space["observation"], env.action_space, horizon, "HistoryWrapperObsDict"
        )
        self.observation_space = spaces.Dict({**env.observation_space.spaces, "observation": self.history.space})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        """Forget the past."""
        observation, info = self.env.reset(seed=seed, options=options)
        return {**observation, "observation": self.history.clear(observation["observation"])}, info

    def step(self, action: Any) -> Step:
        """Step, and return the history."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        entry = self.history.push(observation["observation"], action)
        return {**observation, "observation": entry}, float(reward), terminated, truncated, info


class MaskVelocityWrapper(gym.ObservationWrapper):
    """
    Sets the velocities in the observation to 0, so that one observation does not tell the state.

    :param env: one of the environments in ``VELOCITIES``
    """

    VELOCITIES: ClassVar[dict[str, list[int]]] = {
        "CartPole-v1": [1, 3],
        "MountainCar-v0": [1],
        "MountainCarContinuous-v0": [1],
        "Pendulum-v1": [2],
        "LunarLander-v3": [2, 3, 5],
        "LunarLanderContinuous-v3": [2, 3, 5],
    }

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        env_id = env.unwrapped.spec.id if env.unwrapped.spec else ""
        if env_id not in self.VELOCITIES:
            raise ConfigurationError(
                f"MaskVelocityWrapper knows no velocities of '{env_id}'. Valid: {', '.join(self.VELOCITIES)}"
            )
        self.mask = np.ones(env.observation_space.shape or (), env.observation_space.dtype)
        self.mask[self.VELOCITIES[env_id]] = 0

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The observation with zeros for velocities."""
        return observation * self.mask


class NumberedSpaces(gym.Wrapper):
    """
    One number in place of an observation that is a tuple of whole numbers, as in Blackjack; the last part counts
    fastest, as in an array with one axis for each part. Actions are counted from 0.

    :param env: with observations of Discrete, MultiDiscrete or a Tuple of these, and Discrete actions
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        sizes, self._starts = part_sizes(env.observation_space)
        self._strides = [math.prod(sizes[index + 1 :]) for index in range(len(sizes))]
        self._first_action = int(env.action_space.start)  # type: ignore[attr-defined]
        self.observation_space = spaces.Discrete(math.prod(sizes))
        self.action_space = spaces.Discrete(int(env.action_space.n))  # type: ignore[attr-defined]

    def reset(self, **kwargs: Any) -> Reset:
        """Number the first observation."""
        observation, info = self.env.reset(**kwargs)
        return self._number(observation), info

    def step(self, action: Any) -> Step:
        """Number the observation."""
        observation, reward, terminated, truncated, info = self.env.step(int(action) + self._first_action)
        return self._number(observation), float(reward), terminated, truncated, info

    def _number(self, observation: Any) -> int:
        places = zip(_parts(observation), self._starts, self._strides, strict=True)
        return sum((part - start) * stride for part, start, stride in places)


def _parts(observation: Any) -> list[int]:
    """:return: the whole numbers of an observation, in the order of :func:`part_sizes`"""
    if isinstance(observation, (int, np.integer)):
        return [int(observation)]
    if isinstance(observation, tuple):
        return [part for whole in observation for part in _parts(whole)]
    return [int(part) for part in np.ravel(observation)]


def part_sizes(space: spaces.Space) -> tuple[list[int], list[int]]:
    """
    :param space: Discrete, MultiDiscrete or a Tuple of these
    :return: how many values each part has, and the first of them
    :raises ConfigurationError: for another space
    """
    if isinstance(space, spaces.Discrete):
        return [int(space.n)], [int(space.start)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(size) for size in space.nvec.ravel()], [int(start) for start in np.ravel(space.start)]
    if not isinstance(space, spaces.Tuple) or not space.spaces:
        raise ConfigurationError(f"NumberedSpaces numbers Discrete and MultiDiscrete observations, and got {space}")
    sizes, starts = zip(*map(part_sizes, space.spaces), strict=True)
    return [size for part in sizes for size in part], [start for part in starts for start in part]
