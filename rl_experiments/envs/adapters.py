"""
What :mod:`rl_experiments.envs.adaptations` puts between an environment of today and an agent of earlier.

- ``PaddedObservation``: zeros after the observation
- ``SilencedObservation``: zeros in place of its last numbers
- ``PandaPhysics``: mass and friction as panda-gym 1 had them
- ``FlatObservationOf27Characters``: MiniGrid's picture and instruction as gym-minigrid encoded them
- ``TaxiWithoutWall``: Taxi with the map of its second version
- ``GrayScaleObservation``, ``FrameStack``: wrappers of gym and gymnasium until 0.29 that are others today
- ``GoalInObservation``: observation and goal in one vector, for a vector of environments
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from rl_experiments.core.errors import ConfigurationError

_EAST, _WEST = 2, 3
_CHARACTERS_BEFORE, _CHARACTERS_NOW, _LONGEST_INSTRUCTION = 27, 28, 96


class PaddedObservation(gym.ObservationWrapper):
    """
    :param env: an environment with vectors as observations
    :param size: length of the observation after it
    """

    def __init__(self, env: gym.Env, size: int) -> None:
        super().__init__(env)
        box = _vector(env, "PaddedObservation")
        self._missing = size - box.shape[0]
        if self._missing < 0:
            raise ConfigurationError(f"PaddedObservation: {size=} is less than the observation's {box.shape[0]}")
        low, high = (np.append(bound, np.full(self._missing, value)) for bound, value in _bounds(box))
        self.observation_space = spaces.Box(low.astype(box.dtype), high.astype(box.dtype), dtype=box.dtype.type)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The observation, and zeros."""
        return np.append(observation, np.zeros(self._missing, observation.dtype))


class SilencedObservation(gym.ObservationWrapper):
    """
    :param env: an environment with vectors as observations
    :param count: how many numbers at the end are 0
    """

    def __init__(self, env: gym.Env, count: int) -> None:
        super().__init__(env)
        _vector(env, "SilencedObservation")
        self._count = count

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The observation with zeros at its end."""
        silenced = observation.copy()
        silenced[-self._count :] = 0
        return silenced


class PandaPhysics(gym.Wrapper):
    """
    :param env: an environment of panda-gym 3
    :param mass: of every object, in kg
    :param friction: lateral friction of every object
    :param fingers: lateral friction of the robot's fingers
    """

    _TABLE_FRICTION = 0.1

    def __init__(self, env: gym.Env, mass: float, friction: float, fingers: float) -> None:
        super().__init__(env)
        robot: Any = env.unwrapped.robot  # type: ignore[attr-defined]
        bodies, change = robot.sim._bodies_idx, robot.sim.physics_client.changeDynamics
        for name, body in bodies.items():
            if name.startswith("object"):
                change(body, -1, mass=mass, lateralFriction=friction)
        change(bodies["table"], -1, lateralFriction=self._TABLE_FRICTION)
        for finger in robot.fingers_indices:
            change(bodies[robot.body_name], int(finger), lateralFriction=fingers, spinningFriction=0.0)


class FlatObservationOf27Characters(gym.ObservationWrapper):
    """
    :param env: an environment of MiniGrid
    """

    def __init__(self, env: gym.Env) -> None:
        from minigrid.wrappers import FlatObsWrapper

        super().__init__(FlatObsWrapper(env))
        size = _vector(self.env, "FlatObservationOf27Characters").shape[0]
        self._image_size = size - _LONGEST_INSTRUCTION * _CHARACTERS_NOW
        size = self._image_size + _LONGEST_INSTRUCTION * _CHARACTERS_BEFORE
        self.observation_space = spaces.Box(0, 255, (size,), np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The picture, and each character of the instruction as one of 27."""
        image, characters = np.split(observation, [self._image_size])
        now = characters.reshape(_LONGEST_INSTRUCTION, _CHARACTERS_NOW)
        before = now[:, :_CHARACTERS_BEFORE].copy()
        # A comma was written as the character before it once more.
        commas = np.flatnonzero(now[:, _CHARACTERS_BEFORE])
        before[commas] = before[commas - 1]
        return np.concatenate([image, before.ravel()])


class TaxiWithoutWall(gym.Wrapper):
    """
    The map of Taxi-v2: no wall to the right of the second square in the second row.

    :param env: Taxi
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        taxi: Any = env.unwrapped
        taxi.desc[2, 4] = b":"
        for passenger in range(5):
            for destination in range(4):
                left, right = (taxi.encode(1, column, passenger, destination) for column in (1, 2))
                taxi.P[left][_EAST] = [(1.0, right, -1, False)]
                taxi.P[right][_WEST] = [(1.0, left, -1, False)]


class GrayScaleObservation(gym.ObservationWrapper):
    """
    Grey pictures with OpenCV's weights of the colours; ``GrayscaleObservation`` of today has others.

    :param env: an environment with pictures in colour as observations
    :param keep_dim: whether one channel remains, instead of none
    """

    def __init__(self, env: gym.Env, keep_dim: bool = False) -> None:
        super().__init__(env)
        shape = env.observation_space.shape
        if shape is None or len(shape) != 3 or shape[-1] != 3 or env.observation_space.dtype != np.uint8:
            raise ConfigurationError(f"GrayScaleObservation needs pictures in colour, but got {env.observation_space}")
        self._shape = (*shape[:2], 1) if keep_dim else shape[:2]
        self.observation_space = spaces.Box(0, 255, self._shape, np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The picture in grey."""
        import cv2

        return cv2.cvtColor(observation, cv2.COLOR_RGB2GRAY).reshape(self._shape)


class FrameStack(FrameStackObservation):
    """
    :param env: any environment
    :param num_stack: how many of the last observations make the new one; the first counts for all before it
    :param lz4_compress: has no effect: the observations are the same
    """

    def __init__(self, env: gym.Env, num_stack: int, lz4_compress: bool = False) -> None:
        super().__init__(env, num_stack)


class GoalInObservation(VecEnvWrapper):
    """
    What HER of SB3 1.0 put around its environments: its policies saw the observation and the goal in one vector.

    :param venv: goal environments, normalised if the agent's were
    """

    def __init__(self, venv: VecEnv) -> None:
        parts = [venv.observation_space[key] for key in ("observation", "desired_goal")]  # type: ignore[index]
        low, high = (np.concatenate([getattr(part, bound) for part in parts]) for bound in ("low", "high"))
        super().__init__(venv, spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32))

    def reset(self) -> np.ndarray:
        """The first observations, with their goals."""
        return _with_goal(self.venv.reset())

    def step_wait(self) -> Any:
        """The next observations, with their goals."""
        observations, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            if isinstance(info.get("terminal_observation"), dict):
                info["terminal_observation"] = _with_goal(info["terminal_observation"])
        return _with_goal(observations), rewards, dones, infos


def _with_goal(observation: Any) -> np.ndarray:
    return np.concatenate([observation["observation"], observation["desired_goal"]], axis=-1, dtype=np.float32)


def _vector(env: gym.Env, wrapper: str) -> Any:
    space = env.observation_space
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise ConfigurationError(f"{wrapper} needs vectors as observations, but got {space}")
    return space


def _bounds(box: Any) -> tuple[tuple[np.ndarray, float], ...]:
    return (box.low, -np.inf), (box.high, np.inf)
