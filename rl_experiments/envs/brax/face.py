"""An environment of Brax as Gymnasium has them: one at a time, with seeds, spaces and pictures."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.envs.brax.scene import Scene, scene_of
from rl_experiments.envs.brax.simulation import simulation

_LARGEST_SEED = 2**31
WIDTH, HEIGHT = 480, 480


class BraxEnv(gym.Env):
    """
    :param name: in Brax or MuJoCo Playground
    :param render_mode: ``rgb_array``, or None
    :param width: of pictures, in pixels
    :param height: of pictures, in pixels
    :param kwargs: arguments of Brax's own environment, such as ``backend``
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 30}  # type: ignore[misc]

    def __init__(
        self, name: str, render_mode: str | None = None, width: int = WIDTH, height: int = HEIGHT, **kwargs: Any
    ) -> None:
        self.name = name
        self.kwargs = kwargs
        self.render_mode = render_mode
        self._simulation = simulation(name, kwargs)
        self.metadata = {  # type: ignore[misc]
            **type(self).metadata,
            "render_fps": round(1 / self._simulation.seconds_of_a_step),
        }
        self.observation_space = _space_of(self._simulation.first_observation)
        self.action_space = spaces.Box(-1.0, 1.0, (self._simulation.action_size,), np.float32)
        self._state: Any = None
        self.mujoco_renderer: Any = None
        if render_mode is not None:
            from rl_experiments.envs.brax.camera import Renderer

            self.mujoco_renderer = Renderer(self._simulation.model, int(width), int(height))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; without a seed, the one that the generator draws."""
        super().reset(seed=seed)
        self._state = self._simulation.reset(int(self.np_random.integers(_LARGEST_SEED)))
        return _as_numpy(self._state.obs), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step; it is for a time limit around it to truncate."""
        if self._state is None:
            raise ConfigurationError(f"{self.name} was not reset")
        self._state = self._simulation.step(self._state, np.asarray(action, np.float32))
        return _as_numpy(self._state.obs), float(self._state.reward), bool(self._state.done), False, {}

    def render(self) -> Any:
        """:return: a picture, shape (height, width, 3), uint8; None without a render mode"""
        if self.mujoco_renderer is None:
            return None
        self.mujoco_renderer.set_joints(self._simulation.joints(self._state))
        return self.mujoco_renderer.render(self.render_mode)

    def scene(self) -> Scene:
        """:return: the shapes of all bodies"""
        return scene_of(self._simulation.model, self._simulation.seconds_of_a_step)

    def poses(self) -> np.ndarray:
        """:return: of each body but the world, position and quaternion (w, x, y, z): shape (n_bodies, 7), float32"""
        return self._simulation.poses(self._state)

    def close(self) -> None:
        """Release what draws."""
        if self.mujoco_renderer is not None:
            self.mujoco_renderer.close()


def _space_of(observation: Any) -> spaces.Space:
    if hasattr(observation, "items"):
        return spaces.Dict({key: _space_of(part) for key, part in observation.items()})
    return spaces.Box(-np.inf, np.inf, np.shape(observation), np.float32)


def _as_numpy(observation: Any) -> Any:
    if hasattr(observation, "items"):
        return {key: np.array(part, np.float32) for key, part in observation.items()}
    return np.array(observation, np.float32)
