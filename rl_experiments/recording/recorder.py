"""One recorder: environments of its own that give pictures, from the recipe that the agent was trained in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.algorithms.agent import Agent
from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.files import replacing
from rl_experiments.core.progress import progress_bar
from rl_experiments.envs import EnvironmentRecipe, make_envs
from rl_experiments.evaluation.evaluating import recipe_of, seed_everything, without_window
from rl_experiments.evaluation.explaining import check_spaces
from rl_experiments.evaluation.playing import Step, play
from rl_experiments.evaluation.statistics import Episode, Evaluation
from rl_experiments.recording.apart import vector_of
from rl_experiments.recording.film import Decorate, Film, Sink, TiledFilm
from rl_experiments.recording.leftovers import held
from rl_experiments.recording.looks import Look
from rl_experiments.recording.overlay import overlay_of
from rl_experiments.recording.pictures import (
    PicturesEndedError,
    frames_per_second,
    picture_recipe,
    prepare_for,
    say_aside,
)
from rl_experiments.recording.scene import Moment, Scene, first_episodes
from rl_experiments.recording.video import RecordingError, fastest, playable_path

MOST_TILES = 64
OnProgress = Callable[[int], bool | None]
OnMoments = Callable[[Sequence[Moment]], object]


@dataclass(frozen=True)
class Recording:
    """
    A video.

    :param path: the file
    :param n_frames: frames in it; an episode of T steps has T + 1
    :param fps: frames per second
    :param width: in pixels
    :param height: in pixels
    :param complete: whether the last episode ended, and was not cut off at the longest length
    :param episodes: the episodes that ended in it
    :param note: what it was chosen for, if it was
    :param failure: why it ends before its episode does: the environment could not be drawn any more, or its process
        crashed or hung
    """

    path: Path
    n_frames: int
    fps: float
    width: int
    height: int
    complete: bool
    episodes: tuple[Episode, ...] = ()
    note: str = ""
    failure: str = ""


def record(
    agent: Agent,
    path: str | Path,
    recipe: EnvironmentRecipe | None = None,
    *,
    n_steps: int = 1000,
    across_episodes: bool = False,
    fps: float | None = None,
    seed: int = 0,
    deterministic: bool | None = None,
    overlay: bool = False,
    grid: int | None = None,
    show_progress: bool = False,
    look: Look | None = None,
    say: Callable[[str], None] = say_aside,
    on_progress: OnProgress | None = None,
    on_moments: OnMoments | None = None,
) -> Recording:
    """
    Record one episode, or some steps, as a video, with ``render_mode="rgb_array"`` whatever the recipe says.

    :param agent: what :func:`rl_experiments.load_agent` returns, or any agent together with a recipe
    :param path: the file; its suffix is the format: ``.mp4``, ``.webm`` or ``.gif``. It appears whole or not at all
    :param n_steps: longest length, in steps of the agent
    :param across_episodes: go on with further episodes until there are ``n_steps`` steps
    :param fps: frames per second; if None, real time (a GIF has at most 50)
    :param seed: seed of the environment and of sampled actions
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides
    :param overlay: write step, reward, return and action below each picture
    :param grid: show so many environments side by side, each in a labelled tile with one episode; the i-th, from 0, has
        the seed ``seed + i``. If None, there is one environment in the picture
    :param look: size and quality of the pictures; if None, those of the environment
    :param say: takes what the user should know, such as what is missing to draw; printed to stderr if not given
    :param on_progress: called after each step with the number of steps; returning False ends the video there
    :param on_moments: called with what happened in each step, before it is written
    :raises RecordingError: if the environment gives no pictures, or no encoder works
    :raises ConfigurationError: if the environment is none for this agent, or there is no such format
    """
    recipe = recipe_of(agent, recipe)
    if grid is not None and not 1 <= grid <= MOST_TILES:
        raise ConfigurationError(f"grid must be from 1 to {MOST_TILES}, but got {grid}")
    if grid is not None and across_episodes:
        raise ConfigurationError("grid shows one episode of each environment: it does not go across episodes")
    final = playable_path(Path(path))
    scene = Scene(look=look, say=say)
    played: Evaluation | None = None
    with staged(agent, recipe, scene, grid or 1, seed) as env:
        rate = fastest(final, fps if fps is not None else frames_per_second(recipe, env.get_attr("metadata")[0]))
        with replacing(final) as temporary, held(temporary):
            decorate = decoration(env, overlay)
            if grid is None:
                film = Film(temporary, rate, decorate, across_episodes)
            else:
                scene.wants = first_episodes
                film = TiledFilm(temporary, rate, decorate, [f"seed {(seed + index) % 2**32}" for index in range(grid)])
            with closing(film), ending_with_pictures(film, recipe, say) as ending:
                played = act(
                    agent,
                    env,
                    scene,
                    film,
                    recipe,
                    n_steps,
                    None,
                    deterministic,
                    show_progress,
                    on_progress,
                    on_moments,
                )
    ended = played.episodes if played is not None else ()
    episodes = _first_of_each(ended) if grid is not None else ended
    return Recording(
        final, film.n_frames, rate, film.width, film.height, film.complete, episodes, failure=ending.reason
    )


@dataclass
class Ending:
    """Why a film ends early, once that is known."""

    reason: str = ""


@contextmanager
def staged(
    agent: Agent, recipe: EnvironmentRecipe, scene: Scene, n_envs: int, seed: int, drawn: bool = True
) -> Iterator[VecEnv]:
    """
    Environments that a scene watches, in a process of their own, for as long as the block runs; random generators are
    seeded.

    :raises ConfigurationError: if they are none for this agent
    :raises RecordingError: for whatever renderers and environments raise
    """
    if drawn:
        prepare_for(recipe)
    seed_everything(seed)
    recipe_here = picture_recipe(recipe, scene.look) if drawn else without_window(recipe)
    env = make_envs(recipe_here, n_envs, seed, vec_env=vector_of(scene), outermost=scene.wrap)
    try:
        check_spaces(agent, env, recipe.env_id)
        yield env
    except PicturesEndedError as error:
        raise RecordingError(f"{recipe.env_id} could not be recorded: {error}") from error
    except (RLExperimentsError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:  # renderers raise anything, assertions included
        raise RecordingError(f"{recipe.env_id} could not be recorded: {type(error).__name__}: {error}") from error
    finally:
        env.close()


def act(
    agent: Agent,
    env: VecEnv,
    scene: Scene,
    sink: Sink,
    recipe: EnvironmentRecipe,
    n_steps: int | None,
    n_episodes: int | None,
    deterministic: bool | None,
    show_progress: bool = False,
    on_progress: OnProgress | None = None,
    on_moments: OnMoments | None = None,
) -> Evaluation:
    """
    Let the agent act, and hand what happens to the sink; the parameters are those of :func:`record`.

    :param n_episodes: episodes, shared between the environments, or None
    """
    if deterministic is None:
        deterministic = not recipe.acts_stochastically
    counts_steps = n_episodes is None
    total = n_steps if counts_steps else n_episodes
    with progress_bar(total or 0, "recording", "step" if counts_steps else "episode", show_progress) as bar:

        def after(step: Step) -> bool:
            bar.update(1 if counts_steps else len(step.finished))
            moments = scene.take()
            if on_moments is not None:
                on_moments(moments)
            goes_on = sink.add(moments)
            wanted = on_progress is None or on_progress(step.number) is not False
            return goes_on and wanted

        return play(agent, env, n_steps=n_steps, n_episodes=n_episodes, deterministic=deterministic, on_step=after)


def decoration(env: VecEnv, overlay: bool) -> Decorate:
    """:return: what is shown of a moment"""
    return overlay_of(env) if overlay else lambda moment: moment.picture


@contextmanager
def closing(film: Film) -> Iterator[None]:
    """Finish a film, or let it go if the block fails."""
    try:
        yield
    except BaseException:
        film.abandon()
        raise
    film.close()


@contextmanager
def ending_with_pictures(film: Film, recipe: EnvironmentRecipe, say: Callable[[str], None]) -> Iterator[Ending]:
    """Let a film end, and not fail, when its environment cannot be drawn any more."""
    ending = Ending()
    try:
        yield ending
    except PicturesEndedError as error:
        if not film.n_frames:
            raise
        ending.reason = str(error)
        say(f"{recipe.env_id} cannot be drawn any more ({error}): the video ends there")


def _first_of_each(episodes: tuple[Episode, ...]) -> tuple[Episode, ...]:
    first: dict[int, Episode] = {}
    for episode in episodes:
        first.setdefault(episode.env_index, episode)
    return tuple(first[index] for index in sorted(first))
