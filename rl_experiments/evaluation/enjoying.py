"""Watching an agent: the episodes of an evaluation, on a screen where there is one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import gymnasium as gym
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from rl_experiments.algorithms.agent import Agent
from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.progress import progress_bar
from rl_experiments.envs import EnvironmentRecipe, make_envs
from rl_experiments.envs.rendering import has_screen
from rl_experiments.evaluation.evaluating import ending_recipe, recipe_of, seed_everything, without_window
from rl_experiments.evaluation.explaining import check_spaces, play_to_the_end
from rl_experiments.evaluation.playing import Game, Step
from rl_experiments.evaluation.seeding import SeededEpisodes, seeds_of
from rl_experiments.evaluation.statistics import Evaluation


class Camera(Protocol):
    """Records what is played."""

    def recipe(self, recipe: EnvironmentRecipe) -> EnvironmentRecipe:
        """:return: the recipe with what pictures need"""
        ...

    def wrap(self, env: gym.Env) -> gym.Env:
        """:param env: the next environment, with all of its wrappers"""
        ...

    def vector(self, makers: list[Callable[[], gym.Env]]) -> VecEnv:
        """:return: all environments together"""
        ...

    def begin(self, env: VecEnv) -> None:
        """:param env: all environments, before they are played"""
        ...

    def after(self, step: Step) -> None:
        """Called after each step."""
        ...


def watch(
    agent: Agent,
    *,
    n_episodes: int | None = None,
    n_steps: int | None = 1000,
    n_envs: int = 1,
    seed: int = 0,
    deterministic: bool | None = None,
    render: bool = True,
    norm_reward: bool = False,
    monitor_folder: Path | None = None,
    camera: Camera | None = None,
    show_progress: bool = False,
    announce: Callable[[Step], None] | None = None,
    say: Callable[[str], None] = print,
) -> Evaluation:
    """
    Let an agent act, in a window if there is a screen.

    :param agent: what :func:`rl_experiments.load_agent` returns
    :param n_episodes: episodes to play; no limit if None
    :param n_steps: steps of all environments; if None, an episode that never ends is cut off as in an evaluation
    :param n_envs: environments at once, each in a process of its own if there are several
    :param render: open a window; where that is not possible it is said once, and the agent acts all the same
    :param norm_reward: leave rewards normalised, where the run normalised them
    :param monitor_folder: where to write an episode log for each environment
    :param camera: records, in place of the window; all environments are then in one process
    :param announce: called after each step
    :param say: takes what the user should know
    """
    for name, value in (("n_episodes", n_episodes), ("n_steps", n_steps), ("n_envs", n_envs)):
        if value is not None and value < 1:
            raise ConfigurationError(f"{name} must be at least 1, but got {value}")
    recipe = recipe_of(agent, None)
    if n_steps is None:
        recipe = ending_recipe(recipe)
    if deterministic is None:
        deterministic = not recipe.acts_stochastically
    seed_everything(seed)
    seeds = seeds_of(agent, seed, n_envs) if n_episodes is not None else ()
    begin = functools.partial(SeededEpisodes, seeds=seeds) if seeds else None
    if camera is None:
        env, drawn = _open(recipe, n_envs, seed, render, monitor_folder, say, begin)
    else:
        env, drawn = _open_before(camera, recipe, n_envs, seed, monitor_folder, begin), False
    try:
        check_spaces(agent, env, recipe.env_id)
        if camera is not None:
            camera.begin(env)
        if norm_reward:
            _normalize_rewards(env)
        with progress_bar(
            n_steps or n_episodes or 0, "playing", "step" if n_steps else "episode", show_progress
        ) as bar:

            def after(step: Step) -> None:
                bar.update(1 if n_steps else len(step.finished))
                nonlocal drawn
                if drawn:
                    drawn = _draws(env, say)
                if camera is not None:
                    camera.after(step)
                if announce:
                    announce(step)

            game = Game(agent, env, n_episodes, n_steps, deterministic, after)
            return replace(play_to_the_end(game, recipe.env_id), seed=seed)
    finally:
        env.close()


def _open(
    recipe: EnvironmentRecipe,
    n_envs: int,
    seed: int,
    render: bool,
    monitor_folder: Path | None,
    say: Callable[[str], None],
    begin: Callable[[gym.Env], gym.Env] | None,
) -> tuple[VecEnv, bool]:
    """:return: the environments, and whether they draw in a window"""
    make = functools.partial(
        make_envs,
        n_envs=n_envs,
        seed=seed,
        vec_env="subproc" if n_envs > 1 else "dummy",
        monitor_folder=monitor_folder,
        outermost=begin,
    )
    mode = recipe.kwargs.get("render_mode", "human")
    plain = without_window(recipe)
    wanted = render and mode is not None
    if wanted and mode == "human" and not has_screen():
        say("There is no screen: the agent acts without being drawn (--record makes a video)")
        wanted = False
    if wanted:
        try:
            return make(plain.with_kwargs(render_mode=mode)), mode == "human"
        except (RLExperimentsError, OSError, RuntimeError) as error:
            say(f"The environment cannot be drawn here ({error}): the agent acts without it")
    return make(plain), False


def _open_before(
    camera: Camera,
    recipe: EnvironmentRecipe,
    n_envs: int,
    seed: int,
    monitor_folder: Path | None,
    begin: Callable[[gym.Env], gym.Env] | None,
) -> VecEnv:
    return make_envs(
        camera.recipe(without_window(recipe)),
        n_envs,
        seed,
        vec_env=camera.vector,
        monitor_folder=monitor_folder,
        outermost=lambda env: camera.wrap(begin(env) if begin else env),
    )


def _draws(env: VecEnv, say: Callable[[str], None]) -> bool:
    """Draw, and say once that it does not work."""
    try:
        env.render("human")
    except Exception as error:  # renderers raise anything
        say(f"The environment cannot be drawn any more ({type(error).__name__}: {error}): the agent acts on without it")
        return False
    return True


def _normalize_rewards(env: VecEnv) -> None:
    """Rewards as training saw them; the episode returns of Monitor stay raw."""
    layer = env
    while layer is not None:
        if isinstance(layer, VecNormalize):
            layer.norm_reward = True
        layer = getattr(layer, "venv", None)  # type: ignore[assignment]
