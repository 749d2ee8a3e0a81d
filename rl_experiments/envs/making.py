"""From a recipe to environments."""

from __future__ import annotations

import errno
import inspect
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import DependencyNotInstalled

from rl_experiments.core import pickles
from rl_experiments.core.annotations import describe, fits, type_of
from rl_experiments.core.errors import ConfigurationError, NotFoundError, RLExperimentsError
from rl_experiments.core.memory import require_memory
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import import_symbol
from rl_experiments.envs import registry
from rl_experiments.envs.maps import check_map
from rl_experiments.envs.recipe import EnvironmentRecipe
from rl_experiments.envs.rendering import prepare_offscreen_rendering
from rl_experiments.envs.spaces import bytes_of, check_observation_space
from rl_experiments.envs.state import offer_state
from rl_experiments.envs.workers import WorkerError, leave_signals_to_the_parent, reason_of

if TYPE_CHECKING:  # vectors need SB3 and torch; a single environment does not
    from stable_baselines3.common.vec_env import VecEnv, VecNormalize

VEC_ENVS = ("auto", "native", "dummy", "subproc", "envpool")
"""The fastest with the bits of SB3's; in native code; as SB3 does it; each in a process of its own; EnvPool's."""
IN_NATIVE_CODE = ("native", "envpool")

_TOO_MANY = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
"""Why the system starts no further process."""


class _Maker:
    """Makes one environment; a class, so that it can be sent to another process, which then imports what it needs."""

    def __init__(
        self,
        recipe: EnvironmentRecipe,
        outermost: Callable[[gym.Env], gym.Env] | None,
        in_worker: bool = False,
        fast: bool = False,
    ) -> None:
        self.recipe = recipe
        self.outermost = outermost
        self.in_worker = in_worker
        self.fast = fast

    def make(self, **kwargs: Any) -> gym.Env:
        """The environment itself."""
        if self.in_worker:
            leave_signals_to_the_parent()
        return make_bare(self.recipe, kwargs)

    def wrap(self, env: gym.Env, checked: bool = True) -> gym.Env:
        """The wrappers that stand around Monitor."""
        for name, kwargs in self.recipe.wrappers:
            wrapper = import_symbol(name, self.recipe.trust, "env_wrapper", gym.Wrapper)
            if self.fast and wrapper.__name__ == "AtariWrapper":
                from rl_experiments.envs.fused import faster

                wrapper = faster(wrapper)
            env = _put_around(env, wrapper, name, kwargs)
        if checked:
            check_observation_space(self.recipe.env_id, env.observation_space)
        return offer_state(self.outermost(env) if self.outermost else env)


def make_bare(recipe: EnvironmentRecipe, kwargs: Mapping[str, Any] | None = None) -> gym.Env:
    """
    Make the environment without the recipe's wrappers.

    :raises ConfigurationError: if its constructor refuses the arguments
    :raises MissingPackageError: if it needs a package of an extra
    """
    spec = registry.find_spec(recipe.env_id, recipe.gym_packages)
    arguments = {**recipe.kwargs, **(kwargs or {})}
    if arguments.get("render_mode") not in (None, "human"):  # an agent that looks at pictures needs them drawn
        prepare_offscreen_rendering(spec.entry_point)
    limit: dict[str, Any] = {"max_episode_steps": recipe.max_episode_steps} if recipe.max_episode_steps else {}
    check_map(recipe.env_id, {**spec.kwargs, **arguments})
    try:
        with warnings.catch_warnings():
            if recipe.adaptation is not None:
                # An older version is what the agent needs.
                warnings.filterwarnings("ignore", message=".*is out of date")
            return gym.make(recipe.env_id, **limit, **arguments)
    except (DependencyNotInstalled, ModuleNotFoundError) as error:
        raise (registry.missing_package(spec, error) or ConfigurationError(f"{recipe.env_id}: {error}")) from error
    except RLExperimentsError:
        raise
    except (Exception, SystemExit) as error:
        names = constructor_arguments(spec)
        unknown = [name for name in arguments if names and name not in names]
        if unknown:
            raise ConfigurationError(
                f"{recipe.env_id} takes no argument '{unknown[0]}'.{hint(unknown[0], names)}"
            ) from error
        shown = f" with {dict(arguments)}" if arguments else ""
        raise ConfigurationError(f"{recipe.env_id} cannot be made{shown}: {reason_of(error)}") from error


def make_one(recipe: EnvironmentRecipe, checked: bool = True, **kwargs: Any) -> gym.Env:
    """
    Make a single environment with the recipe's wrappers, without Monitor and outside any vector.

    :param checked: refuse observations that no algorithm of SB3 takes
    :param kwargs: further arguments of ``gymnasium.make``
    """
    maker = _Maker(recipe, None)
    return maker.wrap(maker.make(**kwargs), checked)


def make_envs(
    recipe: EnvironmentRecipe,
    n_envs: int,
    seed: int | None,
    *,
    vec_env: str | Callable[[list[Callable[[], gym.Env]]], VecEnv] = "auto",
    monitor_folder: Path | None = None,
    training: bool = False,
    outermost: Callable[[gym.Env], gym.Env] | None = None,
) -> VecEnv:
    """
    Build the vector of environments that an algorithm trains on, or that an agent is scored or recorded in.

    :param n_envs: number of environments; the i-th gets ``seed + i``
    :param seed: seed of the first, or None
    :param vec_env: one of :data:`VEC_ENVS`, or what makes the vector
    :param monitor_folder: where ``<i>.monitor.csv`` go, or None for none
    :param training: whether VecNormalize updates its statistics and normalises rewards
    :param outermost: a last wrapper around each single environment
    """
    from stable_baselines3.common.env_util import make_vec_env

    if vec_env in IN_NATIVE_CODE:
        return _make_native(recipe, n_envs, seed, str(vec_env), monitor_folder, training)
    maker = _Maker(recipe, outermost, vec_env == "subproc", vec_env == "auto")
    kwargs = dict(recipe.monitor_kwargs)
    try:
        env: VecEnv = make_vec_env(
            maker.make,
            n_envs=n_envs,
            seed=seed,
            monitor_dir=str(monitor_folder) if monitor_folder else None,
            wrapper_class=maker.wrap,
            vec_env_cls=_class_of(vec_env) if isinstance(vec_env, str) else vec_env,  # type: ignore[arg-type]
            monitor_kwargs=kwargs,
        )
    except (TypeError, AssertionError, ValueError) as error:
        raise ConfigurationError(f"{recipe.env_id} cannot be wrapped as configured: {error}") from error
    except WorkerError as error:
        raise ConfigurationError(f"{recipe.env_id} could not be made in a process of its own: {error}") from error
    except OSError as error:
        if error.errno not in _TOO_MANY:
            raise
        raise ConfigurationError(f"{n_envs} environments of {recipe.env_id} cannot be made: {error}") from error
    try:
        return _wrap_vector(env, recipe, training, fast=vec_env == "auto")
    except BaseException:
        env.close()
        raise


def _make_native(
    recipe: EnvironmentRecipe, n_envs: int, seed: int | None, kind: str, monitor_folder: Path | None, training: bool
) -> VecEnv:
    from rl_experiments.envs.native.making import make_native

    env: VecEnv = make_native(recipe, n_envs, kind, monitor_folder)
    try:
        env.seed(seed)
        env.action_space.seed(seed)
        return _wrap_vector(env, recipe, training, fast=True)
    except BaseException:
        env.close()
        raise


def _class_of(vec_env: str) -> Any:
    from stable_baselines3.common.vec_env import DummyVecEnv

    from rl_experiments.envs.lean import LeanVecEnv
    from rl_experiments.envs.worker_vectors import WorkerVecEnv

    return {"auto": LeanVecEnv, "dummy": DummyVecEnv, "subproc": WorkerVecEnv}[vec_env]


def _wrap_vector(env: VecEnv, recipe: EnvironmentRecipe, training: bool, fast: bool) -> VecEnv:
    from stable_baselines3.common.vec_env import VecEnvWrapper, VecNormalize, VecTransposeImage

    from rl_experiments.envs.adapters import GoalInObservation

    for name, kwargs in recipe.vec_wrappers:
        wrapper = import_symbol(name, recipe.trust, "vec_env_wrapper", VecEnvWrapper)
        env = _put_around(env, wrapper, name, kwargs)
    if recipe.statistics is not None:
        env = load_normalization(recipe.statistics, env, recipe)
        env.training = training
        env.norm_reward = env.norm_reward and training
    elif recipe.normalize is not None:
        arguments = (
            dict(recipe.normalize) if training else {**recipe.normalize, "norm_reward": False, "training": False}
        )
        _check_normalization(arguments)
        env = _put_around(env, VecNormalize, "normalize", arguments)
    if recipe.frame_stack:
        env = _stack_frames(env, recipe, fast)
    if recipe.goal_in_observation:
        env = _put_around(env, GoalInObservation, "the goal in the observation", {})
    return VecTransposeImage(env) if _needs_transpose(env) else env


def _check_normalization(arguments: Mapping[str, Any]) -> None:
    from stable_baselines3.common.vec_env import VecNormalize

    for name, parameter in inspect.signature(VecNormalize.__init__).parameters.items():
        if name in arguments and not fits(arguments[name], parameter.annotation):
            raise ConfigurationError(
                f"normalize: {name} must be {describe(parameter.annotation)}, but got {type_of(arguments[name])}"
            )


def _stack_frames(env: VecEnv, recipe: EnvironmentRecipe, fast: bool) -> VecEnv:
    from stable_baselines3.common.vec_env import VecFrameStack

    from rl_experiments.envs.lean import LeanFrameStack

    space, count = env.observation_space, recipe.frame_stack
    assert count is not None
    parts = list(space.spaces.values()) if isinstance(space, spaces.Dict) else [space]
    if not all(isinstance(part, spaces.Box) for part in parts):
        raise ConfigurationError(f"frame_stack {count} needs Box observations, but {recipe.env_id} gives {space}")
    require_memory(f"frame_stack {count}", 3 * count * bytes_of(space) * env.num_envs)
    return LeanFrameStack(env, count) if fast else VecFrameStack(env, count)


def load_normalization(path: Path, env: VecEnv, recipe: EnvironmentRecipe) -> VecNormalize:
    """
    Read saved normalisation statistics and put them around a vector of environments.

    :raises NotFoundError: if the file is not there
    :raises UntrustedError: if it holds more than statistics
    """
    from stable_baselines3.common.vec_env import VecNormalize

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"There are no normalisation statistics at {path}") from None
    try:
        normalization = pickles.loads_trusting(content, recipe.trust)
        if not isinstance(normalization, VecNormalize):
            raise ConfigurationError(f"{path} holds no normalisation statistics, but a {type(normalization).__name__}")
        normalization.set_venv(env)
    except pickles.pickle.UnpicklingError as error:
        raise pickles.refusal(str(path), error) from None
    except (AssertionError, ValueError) as error:
        raise ConfigurationError(f"The statistics in {path} do not fit {recipe.env_id}: {error}") from None
    return normalization


def action_masks(env: VecEnv) -> np.ndarray | None:
    """
    :return: which actions each environment allows, shape (n_envs, number of actions), or None where they do not say
    """
    if not has_action_masks(env):
        return None
    return np.stack(env.env_method("action_masks"))


def has_action_masks(env: VecEnv) -> bool:
    """Whether the environments have a method ``action_masks``."""
    from sb3_contrib.common.maskable.utils import is_masking_supported

    return bool(is_masking_supported(env))


def _needs_transpose(env: VecEnv) -> bool:
    from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
    from stable_baselines3.common.vec_env import VecTransposeImage, is_vecenv_wrapped

    if is_vecenv_wrapped(env, VecTransposeImage):
        return False
    space = env.observation_space
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    return any(is_image_space(part) and not is_image_space_channels_first(part) for part in parts)  # type: ignore[arg-type]


def _put_around(env: Any, wrapper: Any, name: str, kwargs: Mapping[str, Any]) -> Any:
    """Wrap an environment; an argument that the wrapper does not know becomes an error with the nearest."""
    try:
        return wrapper(env, **kwargs)
    except RLExperimentsError:
        raise
    except (Exception, SystemExit) as error:
        known = _parameters(wrapper.__init__ if inspect.isclass(wrapper) else wrapper)
        unknown = [key for key in kwargs if known and key not in known]
        if unknown:
            raise ConfigurationError(f"{name} takes no argument '{unknown[0]}'.{hint(unknown[0], known)}") from error
        raise ConfigurationError(f"{name} with {dict(kwargs)} failed: {reason_of(error)}") from error


def _parameters(function: Any) -> list[str]:
    """:return: the names that a constructor takes, or nothing where it takes any"""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return []
    return [parameter.name for parameter in parameters if parameter.name not in ("self", "env", "venv")]


def constructor_arguments(spec: Any) -> list[str]:
    """:return: the names that an environment's constructor takes, or nothing where it takes any"""
    try:
        entry = (
            gym.envs.registration.load_env_creator(spec.entry_point)
            if isinstance(spec.entry_point, str)
            else spec.entry_point
        )
    except Exception:
        return []
    return _parameters(entry.__init__ if inspect.isclass(entry) else entry)
