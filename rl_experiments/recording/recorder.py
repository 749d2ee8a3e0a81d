"""One recorder: a single environment of its own that gives pictures, from the recipe that the agent was trained in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rl_experiments.algorithms.agent import Agent
from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.files import replacing
from rl_experiments.core.progress import progress_bar
from rl_experiments.envs import EnvironmentRecipe, make_envs
from rl_experiments.evaluation.evaluating import recipe_of, seed_everything
from rl_experiments.evaluation.explaining import check_spaces
from rl_experiments.evaluation.playing import Step, play
from rl_experiments.evaluation.statistics import Episode
from rl_experiments.recording.film import Film
from rl_experiments.recording.looks import Look
from rl_experiments.recording.pictures import Grabber, frames_per_second, picture_recipe, prepare_for, say_aside
from rl_experiments.recording.video import RecordingError, playable_path


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
    """

    path: Path
    n_frames: int
    fps: float
    width: int
    height: int
    complete: bool
    episodes: tuple[Episode, ...] = ()


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
    show_progress: bool = False,
    on_progress: Callable[[int], bool | None] | None = None,
    look: Look | None = None,
    say: Callable[[str], None] = say_aside,
) -> Recording:
    """
    Record one episode, or some steps, as a video, with ``render_mode="rgb_array"`` whatever the recipe says.

    :param agent: what :func:`rl_experiments.load_agent` returns, or any agent together with a recipe
    :param path: the file, ``.mp4`` or ``.gif``; it appears whole or not at all
    :param n_steps: longest length, in steps of the agent
    :param across_episodes: go on with further episodes until there are ``n_steps`` steps
    :param fps: frames per second; if None, real time
    :param seed: seed of the environment and of sampled actions
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides
    :param on_progress: called after each step with the number of steps; returning False ends the video there
    :param look: size and quality of the pictures; if None, those of the environment
    :param say: takes what the user should know, such as what is missing to draw; printed to stderr if not given
    :raises RecordingError: if the environment gives no pictures, or no encoder works
    :raises ConfigurationError: if the environment is none for this agent
    """
    recipe = recipe_of(agent, recipe)
    if deterministic is None:
        deterministic = not recipe.acts_stochastically
    prepare_for(recipe)
    seed_everything(seed)
    grabber = Grabber(look, say)
    env = make_envs(picture_recipe(recipe), 1, seed, outermost=grabber.wrap)
    try:
        check_spaces(agent, env, recipe.env_id)
        rate = fps if fps is not None else frames_per_second(recipe, env.get_attr("metadata")[0])
        final = playable_path(Path(path))
        with replacing(final) as temporary:
            film = Film(temporary, rate, grabber, across_episodes)
            try:
                with progress_bar(n_steps, "recording", "step", show_progress) as bar:

                    def write(step: Step) -> bool:
                        bar.update(1)
                        goes_on = film.add(step)
                        wanted = on_progress is None or on_progress(step.number) is not False
                        return goes_on and wanted

                    played = play(agent, env, n_steps=n_steps, deterministic=deterministic, on_step=write)
            finally:
                film.close()
    except (RLExperimentsError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:  # renderers raise anything, assertions included
        raise RecordingError(f"{recipe.env_id} could not be recorded: {type(error).__name__}: {error}") from error
    finally:
        env.close()
    return Recording(final, film.n_frames, rate, film.width, film.height, film.complete, played.episodes)
