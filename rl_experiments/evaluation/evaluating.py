"""Scoring an agent in environments of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

from rl_experiments.algorithms.agent import Agent
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.progress import progress_bar
from rl_experiments.envs import EnvironmentRecipe, make_envs
from rl_experiments.envs.registry import find_spec
from rl_experiments.evaluation.explaining import check_spaces, play_to_the_end
from rl_experiments.evaluation.playing import Game, Step
from rl_experiments.evaluation.seeding import SeededEpisodes, seeds_of
from rl_experiments.evaluation.statistics import Evaluation

LONGEST_EPISODE = 100_000
"""Steps after which an episode is cut off in an environment that has no time limit of its own, or a longer one."""


def evaluate(
    agent: Agent,
    recipe: EnvironmentRecipe | None = None,
    *,
    n_episodes: int = 10,
    n_envs: int = 1,
    seed: int = 0,
    deterministic: bool | None = None,
    show_progress: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """
    Play whole episodes in new environments and count.

    :param agent: what :func:`rl_experiments.load_agent` returns, or any agent together with a recipe
    :param recipe: the environment; the agent's own if None
    :param n_episodes: episodes to play
    :param n_envs: environments at once
    :param seed: seed of the first environment and of the sampled actions; the i-th environment gets ``seed + i``. An
        agent with fixed seeds for its episodes (``eval_seed``) is scored with these while the seed is 0
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides (samples for Atari
        and MiniGrid)
    :param show_progress: draw a bar, if the output is a terminal
    :param on_progress: called after each step with the number of episodes that have ended
    """
    if n_episodes < 1 or n_envs < 1:
        raise ConfigurationError(f"n_episodes and n_envs must be at least 1, but got {n_episodes=} and {n_envs=}")
    recipe = recipe_of(agent, recipe)
    if deterministic is None:
        deterministic = not recipe.acts_stochastically
    seed_everything(seed)
    ended = 0
    seeds = seeds_of(agent, seed, n_envs)
    outermost = functools.partial(SeededEpisodes, seeds=seeds) if seeds else None
    env = make_envs(ending_recipe(without_window(recipe)), n_envs, seed, outermost=outermost)
    try:
        check_spaces(agent, env, recipe.env_id)
        with progress_bar(n_episodes, "evaluating", "episode", show_progress) as bar:

            def advance(step: Step) -> None:
                nonlocal ended
                ended += len(step.finished)
                bar.update(len(step.finished))
                if on_progress is not None:
                    on_progress(ended)

            game = Game(agent, env, n_episodes, None, deterministic, advance)
            return replace(play_to_the_end(game, recipe.env_id), seed=seed)
    finally:
        env.close()


def recipe_of(agent: Agent, recipe: EnvironmentRecipe | None) -> EnvironmentRecipe:
    """:return: the recipe, or the one that the agent carries"""
    if recipe is None:
        recipe = getattr(agent, "recipe", None)
    if recipe is None:
        raise ConfigurationError("This agent carries no recipe of its environment: pass one")
    return recipe


def without_window(recipe: EnvironmentRecipe) -> EnvironmentRecipe:
    """:return: the recipe without rendering: a window would play at real time, or fail where there is no screen"""
    return recipe.without_kwargs("render_mode")


def ending_recipe(recipe: EnvironmentRecipe) -> EnvironmentRecipe:
    """:return: the recipe with a time limit, where the environment has none or one that never comes"""
    spec = find_spec(recipe.env_id, recipe.gym_packages)
    limit = recipe.max_episode_steps or spec.max_episode_steps
    has_limit = recipe.is_atari or (limit is not None and limit <= LONGEST_EPISODE)
    return recipe if has_limit else replace(recipe, max_episode_steps=LONGEST_EPISODE)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    from stable_baselines3.common.utils import set_random_seed

    set_random_seed(seed % 2**32)
