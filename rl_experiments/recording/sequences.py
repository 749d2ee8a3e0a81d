"""Recording episodes as images, of one environment or of several at once."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rl_experiments.algorithms.agent import Agent
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.envs import EnvironmentRecipe
from rl_experiments.envs.registry import find_spec
from rl_experiments.evaluation.evaluating import LONGEST_EPISODE, ending_recipe, recipe_of
from rl_experiments.evaluation.statistics import Episode
from rl_experiments.recording.images import ImageFolder, Selection
from rl_experiments.recording.looks import Look
from rl_experiments.recording.pictures import ATARI_HZ, PicturesEndedError, frames_per_second, say_aside
from rl_experiments.recording.recorder import Ending, OnMoments, OnProgress, act, decoration, staged
from rl_experiments.recording.scene import Scene
from rl_experiments.recording.video import RecordingError

N_STEPS = 1000
_ATARI_FRAMES = 108_000


@dataclass(frozen=True)
class ImageSequence:
    """
    Images of episodes.

    :param folder: holds ``<episode>/<step>.png``, ``index.csv`` and ``contact_sheet.png``; of several environments each
        has such a folder in it, ``env-0``, ``env-1``, ...
    :param n_images: how many
    :param complete: whether the last episode ended, and was not cut off at the longest length
    :param is_whole: whether all was recorded that was asked for; if not, the folder's name ends in ``.partial``
    :param episodes: the episodes that ended
    :param note: what it was chosen for, if it was
    :param failure: why it ends before its episode does: the environment could not be drawn any more, or its process
        crashed or hung
    """

    folder: Path
    n_images: int
    complete: bool
    is_whole: bool
    episodes: tuple[Episode, ...] = ()
    note: str = ""
    failure: str = ""


def record_frames(
    agent: Agent,
    folder: str | Path,
    recipe: EnvironmentRecipe | None = None,
    *,
    n_steps: int | None = None,
    n_episodes: int | None = 1,
    n_envs: int = 1,
    every: int = 1,
    first: int = 0,
    last: int | None = None,
    overlay: bool = False,
    seed: int = 0,
    deterministic: bool | None = None,
    show_progress: bool = False,
    look: Look | None = None,
    say: Callable[[str], None] = say_aside,
    on_progress: OnProgress | None = None,
    on_moments: OnMoments | None = None,
) -> ImageSequence:
    """
    Record episodes as PNG images, without a loss: ``<folder>/frames/<episode>/<step>.png``, both from 1, and step 0 for
    the picture after the reset.

    ``index.csv`` beside them has a row for each image: episode, step, reward (before any wrapper changed it), done (1
    with the last step of an episode), action (JSON, as the environment got it; empty after a reset). Where ``frames``
    is taken, it is ``frames_2``, and so on; until all is there the name ends in ``.partial``.

    :param agent: what :func:`rl_experiments.load_agent` returns, or any agent together with a recipe
    :param n_steps: longest length of an episode, in steps of the agent (100,000 if None); with ``n_episodes=None`` how
        many steps to record over several episodes (1000 if None); of several environments how many each is stepped
    :param n_episodes: how many episodes; of one environment the i-th, from 0, has the seed ``seed + i``
    :param n_envs: environments at once, which share the episodes; the i-th has the seed ``seed + i``
    :param every: keep each so manieth step, counted from ``first``
    :param first: first step of each episode that is kept
    :param last: last step of each episode that is kept; if None, to the end
    :param overlay: write step, reward, return and action below each picture
    :param seed: seed of the environment and of sampled actions
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides
    :param look: size and quality of the pictures; if None, those of the environment
    :param say: takes what the user should know, such as what is missing to draw; printed to stderr if not given
    :param on_progress: called after each step with the number of steps; returning False ends the recording there
    :param on_moments: called with what happened in each step, before it is written
    :raises ConfigurationError: if the images would not fit on the disk, or the environment is none for this agent
    :raises RecordingError: if the environment gives no pictures, or an image cannot be written
    """
    for name, value in (("n_steps", n_steps), ("n_episodes", n_episodes), ("n_envs", n_envs)):
        if value is not None and value < 1:
            raise ConfigurationError(f"{name} must be at least 1, but got {value}")
    plan = _Plan(recipe_of(agent, recipe), n_steps, n_episodes, n_envs, Selection(every, first, last), seed)
    images: ImageFolder | None = None
    stopped = False
    episodes: list[Episode] = []

    def goes_on(number: int) -> bool:
        nonlocal stopped
        stopped = on_progress is not None and on_progress(number) is False
        return not stopped

    failure = ""
    try:
        for index, part_seed in plan.parts():
            scene = Scene(look=look, say=say)
            with staged(agent, plan.recipe, scene, n_envs, part_seed) as env:
                if images is None:
                    images = ImageFolder(
                        Path(folder), decoration(env, overlay), plan.selection, plan.shares, plan.across
                    )
                    scene.on_first = functools.partial(images.require_space, n_images=plan.most_images)
                scene.wants = images.wants
                images.first_episode = index + 1
                with _ending_with_pictures(images, plan.recipe, say) as ending:
                    played = act(
                        agent,
                        env,
                        scene,
                        images,
                        plan.recipe,
                        plan.n_steps,
                        n_episodes if n_envs > 1 else None,
                        deterministic,
                        show_progress,
                        goes_on,
                        on_moments,
                    )
                    episodes += played.episodes
            if stopped or (failure := ending.reason):
                break
    except BaseException:
        if images is not None:
            with contextlib.suppress(Exception):  # what went wrong first is what counts
                images.finish(is_whole=False)
        raise
    assert images is not None
    is_whole = not (stopped or failure)
    kept = images.finish(is_whole)
    if kept is None:
        raise RecordingError(f"There is no image: no episode came to step {first}")
    return ImageSequence(kept, images.n_frames, images.complete, is_whole, tuple(episodes), failure=failure)


@contextlib.contextmanager
def _ending_with_pictures(
    images: ImageFolder, recipe: EnvironmentRecipe, say: Callable[[str], None]
) -> Iterator[Ending]:
    """Keep the images that there are when an environment cannot be drawn any more."""
    ending = Ending()
    try:
        yield ending
    except PicturesEndedError as error:
        if not images.n_frames:
            raise
        ending.reason = str(error)
        say(f"{recipe.env_id} cannot be drawn any more ({error}): the images end there")


class _Plan:
    """How the episodes come about: one after another, each with its seed, or in several environments together."""

    def __init__(
        self,
        recipe: EnvironmentRecipe,
        n_steps: int | None,
        n_episodes: int | None,
        n_envs: int,
        selection: Selection,
        seed: int,
    ) -> None:
        self._n_episodes, self._seed = n_episodes, seed
        self.selection = selection
        self._together = n_envs > 1 or n_episodes is None
        self.across = self._together
        self.recipe = ending_recipe(recipe) if n_envs > 1 and n_episodes else recipe
        self.shares = [None if n_episodes is None else (n_episodes + index) // n_envs for index in range(n_envs)]
        if n_episodes is None:
            self.n_steps: int | None = n_steps or N_STEPS
            self.most_images = n_envs * Selection(selection.every).count(self.n_steps)
        else:
            self.n_steps = n_steps if n_envs > 1 else n_steps or LONGEST_EPISODE
            self.most_images = n_episodes * selection.count(min(self.n_steps or LONGEST_EPISODE, _longest(recipe)))
            if n_envs == 1:
                self.shares = [1]

    def parts(self) -> Iterator[tuple[int, int]]:
        """:return: number, from 0, and seed of what is played in environments of its own"""
        for index in range(1 if self._together else self._n_episodes or 1):
            yield index, (self._seed + index) % 2**32


def _longest(recipe: EnvironmentRecipe) -> int:
    """:return: steps of the agent after which an episode of this environment has ended"""
    spec = find_spec(recipe.env_id, recipe.gym_packages)
    limit = recipe.max_episode_steps or spec.max_episode_steps or LONGEST_EPISODE
    if recipe.is_atari:
        frames = {**spec.kwargs, **recipe.kwargs}.get("max_num_frames_per_episode") or _ATARI_FRAMES
        limit = min(limit, round(frames * frames_per_second(recipe, {}) / ATARI_HZ))
    return limit
