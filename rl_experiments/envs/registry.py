"""Environment ids: finding them in Gymnasium's registry, and in the packages that bring them when they are imported."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from rl_experiments.core.accelerated import has_brax
from rl_experiments.core.errors import ConfigurationError, MissingPackageError, NotFoundError
from rl_experiments.core.suggest import hint, nearest
from rl_experiments.envs import highway, robotics
from rl_experiments.envs.brax import names as brax
from rl_experiments.envs.graphics import disarm_settings
from rl_experiments.envs.rendering import may_use_mujoco
from rl_experiments.envs.wrappers import MaskVelocityWrapper


@dataclass(frozen=True)
class Provider:
    """
    A package that registers environments when it is imported.

    :param pattern: what its ids look like
    :param module: what to import
    :param extra: our extra that installs it, or None where it is a core dependency
    """

    pattern: str
    module: str
    extra: str | None = None


PROVIDERS = (
    Provider(r"^(MiniGrid|BabyAI)-", "minigrid", "minigrid"),
    Provider(r"(Bullet(Duck)?Env)-v\d+$", "pybullet_envs_gymnasium", "bullet"),
    Provider(r"^Panda[A-Z]", "panda_gym", "panda"),
    Provider(r"^(Fetch|Hand|Adroit|FrankaKitchen|PointMaze|AntMaze)[A-Z_-]?", "gymnasium_robotics", "robotics"),
    Provider(
        r"^(highway|merge|roundabout|parking|intersection|racetrack|exit|lane-keeping|two-way|u-turn)-",
        "highway_env",
        "highway",
    ),
)
_EXTRA_OF_MODULE = {"gymnasium.envs.mujoco": "mujoco", "gymnasium.envs.box2d": "box2d"}
_LIBRARIES = ("gymnasium", "ale_py", "shimmy", "rl_experiments.envs", *(provider.module for provider in PROVIDERS))
_USERS_OWN = "custom_envs"
"""A module of this name beside the user is imported by the zoo; so it is here, where an id is not found otherwise."""


def import_packages(modules: Iterable[str]) -> None:
    """
    Import the packages of ``--gym-packages``.

    :raises NotFoundError: if there is none of that name
    """
    for module in modules:
        disarm_settings()
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            what = (
                f"There is no package '{module}' (--gym-packages)"
                if error.name == module
                else f"{module} (--gym-packages): {error}"
            )
            raise NotFoundError(what) from None
        except Exception as error:
            raise ConfigurationError(f"Importing {module} failed: {type(error).__name__}: {error}") from error


def find_spec(env_id: str, gym_packages: Iterable[str] = ()) -> EnvSpec:
    """
    Find an environment, importing what registers it.

    :param env_id: ``Name-v0``, ``namespace/Name-v0`` or ``module:Name-v0``
    :param gym_packages: packages to import first
    :raises NotFoundError: if there is none; the message has the nearest id
    :raises MissingPackageError: if an extra of ours would bring it
    """
    module, _, name = env_id.rpartition(":")
    if may_use_mujoco(gym.registry[name].entry_point if name in gym.registry else None):
        disarm_settings()
    import_packages(gym_packages)
    if module:
        import_packages([module])
    if name not in gym.registry:
        _import_provider(name)
    if name not in gym.registry:
        missing = _missing_provider(name)
        if missing is not None:
            raise missing
        near = nearest(name, [*gym.registry, *brax.BRAX], 0.75)
        own = " One of your own is found with --gym-packages my_package, or as my_package:Name-v0."
        similar = f" Did you mean '{near}'?" if near else own
        raise NotFoundError(f"There is no environment '{env_id}'.{similar}")
    spec = gym.registry[name]
    if "highway_env" in str(spec.entry_point):
        highway.mend()
    return spec


def is_users_own(env_id: str, gym_packages: Iterable[str] = ()) -> bool:
    """Whether an id is registered, and by no library that we know: by the user, or a package of the user's."""
    import_packages(gym_packages)
    spec = gym.registry.get(env_id)
    if spec is None or spec.entry_point is None:
        return False
    entry = spec.entry_point
    module = entry if isinstance(entry, str) else str(getattr(entry, "__module__", type(entry).__module__))
    return not module.startswith(_LIBRARIES)


def is_atari(env_id: str, gym_packages: Iterable[str] = ()) -> bool:
    """Whether it is a game of the Arcade Learning Environment."""
    return "AtariEnv" in str(find_spec(env_id, gym_packages).entry_point)


def is_brax(env_id: str, gym_packages: Iterable[str] = ()) -> bool:
    """Whether it is an environment of Brax or MuJoCo Playground."""
    return brax.is_brax(find_spec(env_id, gym_packages))


def acts_stochastically(env_id: str, gym_packages: Iterable[str] = ()) -> bool:
    """Whether agents are scored with sampled actions by default, as the zoo does for Atari and MiniGrid."""
    entry_point = str(find_spec(env_id, gym_packages).entry_point)
    return "AtariEnv" in entry_point or "minigrid" in entry_point


def success_keyword(env_id: str) -> str | None:
    """:return: under what name a goal environment reports success (robotics, panda_gym, parking); None for others"""
    entry_point = str(find_spec(env_id).entry_point)
    if "gymnasium_robotics" in entry_point and ("maze" in entry_point or "kitchen" in entry_point):
        return "success" if "maze" in entry_point else None
    if any(
        part in entry_point for part in ("panda_gym", "gymnasium_robotics.envs.fetch", "gymnasium_robotics.envs.sh")
    ):
        return "is_success"
    return "is_success" if "parking" in env_id else None


def check_render_mode(env_id: str, mode: object) -> None:
    """
    :param mode: that the environment was asked for, or None
    :raises ConfigurationError: if it says that it has others
    """
    spec = find_spec(env_id)
    entry = spec.entry_point
    try:
        creator = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    except Exception:  # what it needs is not installed: making it says so
        return
    modes = list(getattr(creator, "metadata", {}).get("render_modes") or [])
    if "rgb_array" in modes:
        modes.append("human")  # Gymnasium's own window
    lists = [f"{known}_list" for known in modes]
    if mode is not None and modes and mode not in (*modes, *lists):
        raise ConfigurationError(f"{env_id} has no render_mode '{mode}'.{hint(str(mode), modes)}")


def missing_package(spec: EnvSpec, error: Exception) -> MissingPackageError | None:
    """:return: the error that names our extra, if the environment failed for want of one of its packages"""
    for module, extra in _EXTRA_OF_MODULE.items():
        if str(spec.entry_point).startswith(module):
            return MissingPackageError(f"{spec.id} ({error})", extra, extra)
    return None


def _import_provider(name: str) -> None:
    import ale_py

    gym.register_envs(ale_py)
    # Otherwise each process greets the user.
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    _register_without_velocities()
    for provider in PROVIDERS:
        if re.search(provider.pattern, name) and importlib.util.find_spec(provider.module):
            module = importlib.import_module(provider.module)
            if provider.module == "gymnasium_robotics":
                gym.register_envs(module)
                robotics.mend()
    if name not in gym.registry and importlib.util.find_spec(_USERS_OWN):
        import_packages([_USERS_OWN])
    if name not in gym.registry and brax.may_be_brax(name):
        brax.register_brax()


def _missing_provider(name: str) -> MissingPackageError | None:
    for provider in PROVIDERS:
        if re.search(provider.pattern, name) and provider.extra and not importlib.util.find_spec(provider.module):
            return MissingPackageError(name, provider.module, provider.extra)
    if name in brax.BRAX and not has_brax():
        return MissingPackageError(name, "brax", "brax")
    return None


class _WithoutVelocities:
    """Makes a classic environment with the velocities in its observation set to 0, under the zoo's ``NoVel`` ids."""

    def __init__(self, env_id: str) -> None:
        self.env_id = env_id

    def __call__(self, **kwargs: object) -> gym.Env:
        return MaskVelocityWrapper(gym.make(self.env_id, **kwargs))  # type: ignore[arg-type]


def _register_without_velocities() -> None:
    for env_id in MaskVelocityWrapper.VELOCITIES:
        name, version = env_id.split("-v")
        masked = f"{name}NoVel-v{version}"
        if masked not in gym.registry:
            gym.register(id=masked, entry_point=_WithoutVelocities(env_id))
