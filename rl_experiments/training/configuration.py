"""What an experiment consists of, each value with its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rl_experiments.algorithms import Algorithm
from rl_experiments.algorithms.parameters import model_parameters
from rl_experiments.algorithms.tabular.course import course_name
from rl_experiments.config import grammar
from rl_experiments.config.hyperparameters import COMMAND_LINE, TEXT_KEYS, Hyperparameters
from rl_experiments.config.schedules import as_written
from rl_experiments.config.sources import find_block
from rl_experiments.core.symbols import Trust
from rl_experiments.envs import EnvironmentRecipe
from rl_experiments.envs.registry import find_spec, is_atari

EVALUATION_SEED_OFFSET = 1_000_003
"""Added to the experiment's seed for the evaluation environments."""


@dataclass(frozen=True)
class Configuration:
    """
    An experiment, resolved and checked.

    :param algorithm: its entry in the registry
    :param hyperparameters: merged, as written, with origins
    :param recipe: the training environment
    :param evaluation_recipe: the same for scoring
    :param n_timesteps: steps to train for
    :param trust: what the configuration may name: anything, since it is the user's own
    :param remarks: what the user should know before it starts
    """

    algorithm: Algorithm
    hyperparameters: Hyperparameters
    recipe: EnvironmentRecipe
    evaluation_recipe: EnvironmentRecipe
    n_timesteps: int
    trust: Trust
    remarks: tuple[str, ...] = ()

    @property
    def n_envs(self) -> int:
        """Training environments; ARS trains in one, and scores its candidates in ``n_envs`` others."""
        return 1 if self.algorithm.name == "ars" else self.hyperparameters.n_envs

    @property
    def saved_hyperparameters(self) -> dict[str, Any]:
        """
        What ``config.yml`` stores: values as written, so that the zoo reads them, with the arguments of the environment
        that was really made.
        """
        values = {
            name: grammar.to_text(value)
            if name in TEXT_KEYS and grammar.holds_symbol(value)
            else grammar.replace_symbols(as_written(value), str)
            for name, value in self.hyperparameters.items()
        }
        if self.recipe.kwargs:
            values["env_kwargs"] = dict(self.recipe.kwargs)
        return values


def merge_hyperparameters(
    algorithm: Algorithm,
    env_id: str,
    gym_packages: tuple[str, ...],
    conf_file: str | None,
    trial: tuple[str, Mapping[str, Any]] | None,
    given: Mapping[str, Any],
    env_kwargs: Mapping[str, Any] | None = None,
) -> Hyperparameters:
    """
    Find the block and override it: YAML < tuned trial < command line.

    :param trial: (origin, values) of a tuned trial; its mappings are merged into those of the YAML
    :param given: what the user gave
    :param env_kwargs: arguments of the environment; of a table method, they choose between blocks, as its variant does
    """
    spec = find_spec(env_id, gym_packages)
    in_params = given.get("env_kwargs")
    kwargs = {**spec.kwargs, **(in_params if isinstance(in_params, Mapping) else {}), **(env_kwargs or {})}
    names = []
    if algorithm.backend == "tabular":
        task = course_name(env_id, kwargs)
        names = [f"{task}-{given.get('variant')}", task]
    block = find_block(algorithm.name, env_id, is_atari(env_id, gym_packages), conf_file, names)
    hyperparameters = Hyperparameters(dict(block.values), dict.fromkeys(block.values, block.origin), block)
    if trial is not None:
        origin, values = trial
        hyperparameters = hyperparameters.merged(_merged_mappings(hyperparameters, values), origin)
    return hyperparameters.merged(given, COMMAND_LINE)


def _merged_mappings(hyperparameters: Hyperparameters, values: Mapping[str, Any]) -> dict[str, Any]:
    """A trial that tuned some of ``policy_kwargs`` leaves the others as the YAML has them."""
    merged = {}
    for name, value in values.items():
        before = hyperparameters.parsed(name)
        merged[name] = {**before, **value} if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged


def describe(configuration: Configuration) -> str:
    """:return: every value with its origin, and the environment, for people"""
    hyperparameters = configuration.hyperparameters
    rows: list[tuple[str, str, str]] = []
    for name in sorted(hyperparameters):
        value = hyperparameters[name]
        shown = f"function {getattr(value, '__name__', '')}" if callable(value) else grammar.to_text(value)
        rows.append((name, shown, hyperparameters.origin(name)))
    for name, parameter in sorted(model_parameters(configuration.algorithm).items()):
        if name not in hyperparameters and parameter.default is not parameter.empty and name != "action_noise":
            rows.append((name, grammar.to_text(parameter.default), f"default of {configuration.algorithm.class_name}"))
    if "n_envs" not in hyperparameters:
        rows.append(("n_envs", "1", "default"))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    widths[1] = min(widths[1], 60)
    lines = [f"  {name:<{widths[0]}}  {value:<{widths[1]}}  # {origin}" for name, value, origin in rows]
    return "\n".join(lines)
