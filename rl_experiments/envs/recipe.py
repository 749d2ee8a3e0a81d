"""The environment recipe: enough to build the same environment for training, evaluation or recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rl_experiments.config.hyperparameters import Hyperparameters, named_classes
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Trust
from rl_experiments.envs import registry
from rl_experiments.envs.adaptations import Adaptation

_MONITOR_KEYS = ("allow_early_resets", "reset_keywords", "info_keywords", "override_existing")
Wrapper = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class EnvironmentRecipe:
    """
    :param env_id: as Gymnasium knows it, with or without a ``module:`` prefix
    :param kwargs: arguments of the environment's constructor
    :param wrappers: (dotted name, arguments) of the wrappers around each environment, innermost first
    :param vec_wrappers: the same for wrappers around the vector of environments
    :param frame_stack: how many observations are stacked, or None
    :param normalize: arguments of VecNormalize, or None
    :param statistics: a saved VecNormalize whose statistics apply, or None
    :param monitor_kwargs: arguments of SB3's Monitor
    :param gym_packages: packages to import first
    :param max_episode_steps: a time limit that takes the place of the registered one
    :param goal_in_observation: whether goal and observation make one vector, as in SB3 1.0's HER
    :param adaptation: what makes an environment of today the one that the agent was trained in, or None
    :param trust: which wrappers outside the known libraries may be imported
    """

    env_id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    wrappers: tuple[Wrapper, ...] = ()
    vec_wrappers: tuple[Wrapper, ...] = ()
    frame_stack: int | None = None
    normalize: Mapping[str, Any] | None = None
    statistics: Path | None = None
    monitor_kwargs: Mapping[str, Any] = field(default_factory=dict)
    gym_packages: tuple[str, ...] = ()
    max_episode_steps: int | None = None
    goal_in_observation: bool = False
    adaptation: Adaptation | None = None
    trust: Trust = field(default_factory=Trust)

    @staticmethod
    def from_hyperparameters(
        env_id: str,
        hyperparameters: Hyperparameters,
        env_kwargs: Mapping[str, Any] | None = None,
        gym_packages: tuple[str, ...] = (),
        trust: Trust | None = None,
    ) -> EnvironmentRecipe:
        """
        :param env_kwargs: further arguments of the constructor; they win over those of the hyperparameters
        :raises ConfigurationError: if a value has the wrong shape
        """
        registry.find_spec(env_id, gym_packages)
        module = env_id.rpartition(":")[0]
        trust = trust or Trust()
        named = replace(trust, modules=trust.modules | {*gym_packages, *([module] if module else [])})
        return EnvironmentRecipe(
            env_id=env_id,
            kwargs={**_mapping(hyperparameters, "env_kwargs"), **(env_kwargs or {})},
            wrappers=tuple(named_classes(hyperparameters.get("env_wrapper"), "env_wrapper")),
            vec_wrappers=tuple(named_classes(hyperparameters.get("vec_env_wrapper"), "vec_env_wrapper")),
            frame_stack=_frame_stack(hyperparameters),
            normalize=hyperparameters.normalize,
            monitor_kwargs=_monitor_kwargs(env_id, hyperparameters),
            gym_packages=tuple(gym_packages),
            max_episode_steps=_longest_episode(env_id, hyperparameters),
            trust=named,
        )

    def with_kwargs(self, **kwargs: Any) -> EnvironmentRecipe:
        """:return: the same recipe with further constructor arguments"""
        return replace(self, kwargs={**self.kwargs, **kwargs})

    def without_kwargs(self, *names: str) -> EnvironmentRecipe:
        """:return: the same recipe without these constructor arguments"""
        return replace(self, kwargs={key: value for key, value in self.kwargs.items() if key not in names})

    def adapted(self, adaptation: Adaptation) -> EnvironmentRecipe:
        """
        :param adaptation: one with the id of this recipe's environment as its new id
        :return: the recipe of an environment that is as it was when the agent was trained
        """
        wrappers = [(adaptation.replaced.get(name.rpartition(".")[2], name), kwargs) for name, kwargs in self.wrappers]
        return replace(
            self,
            wrappers=(*adaptation.adapters, *wrappers),
            kwargs={**adaptation.kwargs, **self.kwargs},
            adaptation=adaptation,
        )

    def with_single_frame_skip(self) -> EnvironmentRecipe:
        """
        An Atari environment that skips frames itself, inside a wrapper that skips again, would act every 16 frames
        instead of every 4.

        :return: the recipe with ``frameskip=1`` in the environment, if a wrapper skips and the user did not choose
        """
        skips = any(
            name.rpartition(".")[2] in ("AtariWrapper", "AtariPreprocessing") and _skip_of(kwargs) > 1
            for name, kwargs in self.wrappers
        )
        if not skips or "frameskip" in self.kwargs or not registry.is_atari(self.env_id, self.gym_packages):
            return self
        own = registry.find_spec(self.env_id, self.gym_packages).kwargs.get("frameskip", 1)
        return self if own == 1 else self.with_kwargs(frameskip=1)

    @property
    def acts_stochastically(self) -> bool:
        """Whether agents are scored with sampled actions by default (Atari, MiniGrid)."""
        return registry.acts_stochastically(self.env_id, self.gym_packages)

    @property
    def is_atari(self) -> bool:
        """Whether it is a game of the Arcade Learning Environment."""
        return registry.is_atari(self.env_id, self.gym_packages)


def _skip_of(kwargs: Mapping[str, Any]) -> int:
    return int(kwargs.get("frame_skip", 4))


def _mapping(hyperparameters: Hyperparameters, name: str) -> dict[str, Any]:
    value = hyperparameters.parsed(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{name} must be a mapping, but got {value!r} ({hyperparameters.origin(name)})")
    return dict(value)


def _monitor_kwargs(env_id: str, hyperparameters: Hyperparameters) -> dict[str, Any]:
    kwargs = _mapping(hyperparameters, "monitor_kwargs")
    success = registry.success_keyword(env_id)
    if not kwargs and success is not None:
        return {"info_keywords": (success,)}
    for name, value in kwargs.items():
        if name not in _MONITOR_KEYS:
            raise ConfigurationError(
                f"monitor_kwargs ({hyperparameters.origin('monitor_kwargs')}): Monitor takes no '{name}'."
                f"{hint(str(name), _MONITOR_KEYS)}"
            )
        if name.endswith("_keywords"):
            words = (value,) if isinstance(value, str) else value
            if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
                raise ConfigurationError(
                    f"monitor_kwargs ({hyperparameters.origin('monitor_kwargs')}): {name} must be a list of words, but"
                    f" got {value!r}"
                )
            kwargs[name] = tuple(words)
    return kwargs


def _longest_episode(env_id: str, hyperparameters: Hyperparameters) -> int | None:
    """``max_steps`` of a table method shortens the environment's own limit; ``episode_length`` of Brax is the limit."""
    name = "episode_length" if "episode_length" in hyperparameters else "max_steps"
    value = hyperparameters.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(
            f"{name} must be a whole number above 0, but got {value!r} ({hyperparameters.origin(name)})"
        )
    return value if name == "episode_length" else min(value, registry.find_spec(env_id).max_episode_steps or value)


def _frame_stack(hyperparameters: Hyperparameters) -> int | None:
    value = hyperparameters.get("frame_stack")
    if value in (None, 0, False):
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(
            f"frame_stack must be a whole number above 0, but got {value!r} ({hyperparameters.origin('frame_stack')})"
        )
    return value
