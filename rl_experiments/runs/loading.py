"""Loading an agent from a run, with the environment that it belongs in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rl_experiments.algorithms.agent import Agent, Observation, State
from rl_experiments.algorithms.registry import SB3, SBX, Algorithm, get_algorithm, names_of_runs
from rl_experiments.algorithms.sb3 import SB3Agent, load_model, read_data
from rl_experiments.algorithms.sb3.recognizing import (
    has_goal_in_observation,
    others_that_wrote,
    was_trained_with_gym,
)
from rl_experiments.algorithms.sbx.loading import is_of_sbx, load_sbx_model
from rl_experiments.algorithms.tabular.table import load_table_agent
from rl_experiments.core.devices import check_device
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.core.suggest import hint
from rl_experiments.core.symbols import Trust
from rl_experiments.envs import EnvironmentRecipe
from rl_experiments.envs.adaptations import MODULES, Adaptation, find_adaptation
from rl_experiments.envs.registry import is_users_own
from rl_experiments.runs.folder import FINAL, Run, SavedModel
from rl_experiments.runs.hindsight import run_in
from rl_experiments.runs.validation import check_recipe, check_statistics

_MOST_EPISODES = 10_000


@dataclass(frozen=True)
class LoadedAgent:
    """
    An agent with where it comes from and the recipe of its environment.

    :param agent: what acts
    :param recipe: the environment that it was trained in, with the normalisation of the model's moment
    :param run: the run that it comes from
    :param saved: the model's file
    """

    agent: Agent
    recipe: EnvironmentRecipe
    run: Run
    saved: SavedModel

    @property
    def algorithm(self) -> str:
        """Name in the registry."""
        return self.agent.algorithm

    @property
    def backend(self) -> str:
        """What trained it: ``sbx``, or what the registry says of its algorithm."""
        return getattr(self.agent, "backend", get_algorithm(self.algorithm).backend)

    @property
    def uses_action_masks(self) -> bool:
        """Whether it takes masks of the actions that are allowed."""
        return self.agent.uses_action_masks

    @property
    def observation_space(self) -> Any:
        """The space that it was trained on, after all wrappers."""
        return self.agent.observation_space

    @property
    def action_space(self) -> Any:
        """The space of its actions."""
        return self.agent.action_space

    @property
    def adapted(self) -> str | None:
        """What was adapted so that an agent of earlier acts as it did, in one line; None where nothing was."""
        told = [self.recipe.adaptation.told] if self.recipe.adaptation is not None else []
        if self.recipe.goal_in_observation:
            told.append("observation and goal are one vector, as in HER of SB3 1.0")
        return "; ".join(told) or None

    @property
    def acts_deterministically(self) -> bool:
        """Whether it is scored with its most probable actions by default: all but Atari and MiniGrid."""
        return not self.recipe.acts_stochastically

    @property
    def evaluation_seeds(self) -> tuple[int, ...]:
        """Seeds of the episodes that it is scored in by default, in order; most agents have none."""
        seeds = self.run.hyperparameters.get("eval_seed")
        if not isinstance(seeds, list) or not all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds):
            return ()
        return tuple(seeds)

    @property
    def n_evaluation_episodes(self) -> int:
        """Episodes that it is scored with, where nothing else is asked for."""
        count = self.run.hyperparameters.get("n_eval_episodes")
        return count if type(count) is int and 0 < count <= _MOST_EPISODES else 10

    def predict(
        self,
        observation: Observation,
        state: State = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, State]:
        """See :class:`rl_experiments.algorithms.Agent`."""
        return self.agent.predict(observation, state, episode_start, deterministic, action_masks)


def load_agent(
    run: Run | str | Path,
    which: str | int = FINAL,
    *,
    device: str = "auto",
    env_kwargs: Mapping[str, Any] | None = None,
    gym_packages: tuple[str, ...] = (),
    trust: bool = False,
) -> LoadedAgent:
    """
    Load a trained agent. Nothing that the run's files hold is executed, unless ``trust`` says so.

    :param run: a run, or the path of its folder
    :param which: ``final``, ``best``, ``last-checkpoint``, or the steps of a checkpoint
    :param device: as torch names it, or ``auto``
    :param env_kwargs: further arguments for the environment's constructor
    :param gym_packages: packages to import first; classes in them may be used
    :param trust: load objects that can only be read by running code
    :raises NotFoundError: if the run or the model is not there
    :raises UntrustedError: if something could only be read by running code
    """
    check_device(device)
    run = run if isinstance(run, Run) else open_run(run)
    saved = run.model(which)
    algorithm = get_algorithm(run.algorithm)
    data = read_data(saved.path) if algorithm.backend == SB3 else {}
    if is_of_sbx(data):
        algorithm = get_algorithm(run.algorithm, SBX)
    _check_algorithm(saved.path, data, algorithm)
    adaptation = _adaptation(run, data, gym_packages)
    recipe = run_recipe(run, env_kwargs, gym_packages, trust, adaptation)
    recipe = replace(recipe, goal_in_observation=has_goal_in_observation(data))
    if saved.statistics is not None:
        check_statistics(saved.statistics, recipe.trust)
        recipe = replace(recipe, statistics=saved.statistics)
    return LoadedAgent(load_acting(saved.path, algorithm, device, recipe.trust), recipe, run, saved)


def load_acting(path: Path, algorithm: Algorithm, device: str, trust: Trust) -> Agent:
    """:return: the agent in a file, by the backend that wrote it, without its environment"""
    if algorithm.backend == "brax":
        from rl_experiments.algorithms.brax.agent import load_brax_agent

        return load_brax_agent(path, algorithm)
    if algorithm.backend == "tabular":
        return load_table_agent(path, algorithm)
    if algorithm.backend == SBX:
        return SB3Agent(load_sbx_model(path, algorithm, trust), algorithm)
    return SB3Agent(load_model(path, algorithm, device, trust), algorithm)


def _check_algorithm(path: Path, data: Mapping[str, Any], algorithm: Algorithm) -> None:
    others = others_that_wrote(data, algorithm)
    if others:
        raise ConfigurationError(
            f"{path} is a model of {' or '.join(others)}, but lies in the folder of {algorithm.name}: move its run to a"
            f" folder {others[0]}. Expected --algo {others[0]}"
        )


def run_recipe(
    run: Run,
    env_kwargs: Mapping[str, Any] | None = None,
    gym_packages: tuple[str, ...] = (),
    trust: bool = False,
    adaptation: Adaptation | None = None,
) -> EnvironmentRecipe:
    """
    :param adaptation: what makes an environment of today the one of the run
    :return: the recipe of the environment that the run was trained in; packages that it names are imported only if the
        user named them
        too, here or in an earlier training on this machine
    """
    allowed = Trust.of(trust, gym_packages)
    saved = run.arguments.get("gym_packages") or []
    packages = (
        [name for name in saved if isinstance(name, str) and allowed.allows(f"{name}.*")]
        if isinstance(saved, list)
        else []
    )
    env_id = _id_today(run, adaptation)
    module = env_id.rpartition(":")[0]
    if module and not allowed.allows(f"{module}.*"):
        raise ConfigurationError(
            f"The run {run.path} needs the package '{module}'. If you trust it: --gym-packages {module}"
        )
    try:
        recipe = EnvironmentRecipe.from_hyperparameters(
            env_id,
            run.hyperparameters,
            {**run.env_kwargs, **(env_kwargs or {})},
            tuple(dict.fromkeys([*packages, *gym_packages])),
            allowed,
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{run.config_folder} describes no environment: {error}") from error
    check_recipe(recipe, run.config_folder)
    return recipe if adaptation is None else recipe.adapted(adaptation)


def _adaptation(run: Run, data: Mapping[str, Any], gym_packages: tuple[str, ...]) -> Adaptation | None:
    """
    :param data: what a model of SB3 holds; empty for a table
    :return: what the run's environment needs to be as it was
    :raises NotFoundError: if it has no successor
    """
    env_id = _id_today(run)
    if is_users_own(env_id, gym_packages):
        return None
    found = find_adaptation(env_id, of_gym=was_trained_with_gym(data), observation_size=_observation_size(data))
    if found is not None and found.new is None:
        raise NotFoundError(found.told)
    return found


def _id_today(run: Run, adaptation: Adaptation | None = None) -> str:
    if adaptation is not None and adaptation.new is not None:
        return adaptation.new
    module, _, name = run.env_id.rpartition(":")
    return name if module in MODULES else run.env_id


def _observation_size(data: Mapping[str, Any]) -> int | None:
    """:return: how many numbers an observation has, if it is a vector and SB3 wrote it down"""
    space = data.get("observation_space")
    shape = (space.get("_shape") or space.get("shape")) if isinstance(space, Mapping) else None
    return shape[0] if isinstance(shape, list) and len(shape) == 1 and isinstance(shape[0], int) else None


def open_run(path: str | Path) -> Run:
    """
    :param path: a run folder, ``<folder>/<algo>/<env>_<n>``
    :raises NotFoundError: if it is none
    """
    path = Path(path)
    if not path.is_dir():
        raise NotFoundError(f"There is no run folder {path}")
    algorithm = path.resolve().parent.name
    if algorithm not in names_of_runs():
        raise ConfigurationError(
            f"{path} lies in no algorithm's folder: '{algorithm}' is none.{hint(algorithm, names_of_runs())} Expected"
            " <folder>/<algo>/<env>_<n>"
        )
    configured = [entry.parent.name for entry in sorted(path.glob("*/config.yml"))]
    name = next(
        (name for name in configured if path.name.startswith(f"{name}_")), path.name.rpartition("_")[0] or path.name
    )
    return run_in(path, algorithm, name)
