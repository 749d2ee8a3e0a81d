"""One environment of Brax or MuJoCo Playground with its compiled functions, shared by all that play in it."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from rl_experiments.core.accelerated import cpu_device, prepare_jax, quiet_imports
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint
from rl_experiments.envs.brax.names import playground_names

BACKENDS = ("generalized", "mjx", "positional", "spring")
_OF_PIPELINES = ("backend", "debug", "n_frames")
"""What Brax's environments hand on to their base class."""


def make_environment(name: str, kwargs: Mapping[str, Any]) -> Any:
    """
    Make an environment of Brax or MuJoCo Playground as it is, without any wrapper.

    :raises ConfigurationError: if it takes no such arguments
    """
    prepare_jax(name)
    with quiet_imports():
        from brax import envs

        if name in envs._envs:
            _check_arguments(name, envs._envs[name], kwargs)
            return envs.get_environment(name, **kwargs)
        return _load_from_playground(name, kwargs)


def is_of_playground(name: str) -> bool:
    """Whether MuJoCo Playground, and not Brax, has the name."""
    from brax import envs

    return name not in envs._envs and name in playground_names()


def wrap_for_training(name: str, env: Any, episode_length: int) -> Any:
    """:return: many environments at once, each beginning again when it is done"""
    if is_of_playground(name):
        from mujoco_playground import wrapper

        return wrapper.wrap_for_brax_training(env, episode_length=episode_length)
    from brax.envs.wrappers import training

    return training.wrap(env, episode_length=episode_length)


class Simulation:
    """
    A single environment on the processor, with its functions compiled.

    :param env: as :func:`make_environment` returns it
    """

    def __init__(self, env: Any) -> None:
        import jax

        self.env = env
        self._device = cpu_device()
        with jax.default_device(self._device):
            self._reset = jax.jit(env.reset).lower(_key(0)).compile()
            state = self._reset(_key(0))
            self.first_observation = jax.device_get(state.obs)
            self.action_size = int(env.action_size)
            self._step = jax.jit(env.step).lower(state, np.zeros(self.action_size, np.float32)).compile()

    def reset(self, seed: int) -> Any:
        """:return: the state at the beginning of the episode that a seed draws"""
        return self._reset(_key(seed))

    def step(self, state: Any, action: np.ndarray) -> Any:
        """:return: the next state"""
        return self._step(state, action)

    @property
    def seconds_of_a_step(self) -> float:
        """How long a step is in the world that is simulated."""
        return float(self.env.dt)

    @property
    def model(self) -> Any:
        """The model, as MuJoCo has it."""
        return self.env.mj_model if hasattr(self.env, "mj_model") else self.env.sys.mj_model

    def joints(self, state: Any) -> np.ndarray:
        """:return: positions of all joints, as MuJoCo has them"""
        return np.asarray(state.pipeline_state.q if hasattr(state, "pipeline_state") else state.data.qpos)

    def poses(self, state: Any) -> np.ndarray:
        """:return: of each body but the world, position and quaternion (w, x, y, z): shape (n_bodies, 7), float32"""
        if hasattr(state, "pipeline_state"):
            x = state.pipeline_state.x
            return np.concatenate([np.asarray(x.pos), np.asarray(x.rot)], axis=1, dtype=np.float32)
        return np.concatenate([np.asarray(state.data.xpos), np.asarray(state.data.xquat)], 1, dtype=np.float32)[1:]


def simulation(name: str, kwargs: Mapping[str, Any]) -> Simulation:
    """:return: the simulation of a name and its arguments; what was compiled in this process is compiled once"""
    try:
        text = json.dumps(dict(kwargs), sort_keys=True)
    except (TypeError, ValueError):  # an argument that only Python can hold
        return Simulation(_on_processor(name, kwargs))
    return _simulation(name, text)


@functools.lru_cache(maxsize=16)
def _simulation(name: str, kwargs: str) -> Simulation:
    return Simulation(_on_processor(name, json.loads(kwargs)))


def _on_processor(name: str, kwargs: Mapping[str, Any]) -> Any:
    jax = prepare_jax(name)
    with jax.default_device(cpu_device()):
        return make_environment(name, kwargs)


def _key(seed: int) -> np.ndarray:
    """:return: what ``jax.random.PRNGKey`` makes of a seed below 2**32"""
    return np.array([0, seed], dtype=np.uint32)


def _check_arguments(name: str, cls: Any, kwargs: Mapping[str, Any]) -> None:
    parameters = inspect.signature(cls.__init__).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    known = {key for key, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD} - {"self"}
    known |= set(_OF_PIPELINES) if takes_any else set()
    for key, value in kwargs.items():
        if key not in known:
            raise ConfigurationError(f"{name} takes no argument '{key}'.{hint(key, known)}")
        if key == "backend" and value not in BACKENDS:
            raise ConfigurationError(f"{name} has no backend '{value}'.{hint(str(value), BACKENDS)}")


def _load_from_playground(name: str, kwargs: Mapping[str, Any]) -> Any:
    from mujoco_playground import registry

    known = set(registry.get_default_config(name))
    for key in kwargs:
        if key not in known:
            raise ConfigurationError(f"{name} takes no argument '{key}'.{hint(key, known)}")
    overrides = dict(kwargs)
    if "impl" in known and _computes_on_processor():  # Warp, the default, would compile its kernels for minutes there
        overrides.setdefault("impl", "jax")
    return registry.load(name, config_overrides=overrides)


def _computes_on_processor() -> bool:
    import jax

    device: Any = jax.config.jax_default_device or jax.devices()[0]  # type: ignore[attr-defined]
    return bool(device.platform == "cpu")
