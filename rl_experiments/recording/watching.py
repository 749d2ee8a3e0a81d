"""A camera beside an evaluation: the episodes that are scored become a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import gymnasium as gym
from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.core.files import replacing
from rl_experiments.envs import EnvironmentRecipe
from rl_experiments.evaluation.playing import Step
from rl_experiments.evaluation.statistics import Episode
from rl_experiments.recording.apart import Makers, vector_of
from rl_experiments.recording.film import Film
from rl_experiments.recording.images import Wanted
from rl_experiments.recording.looks import Look
from rl_experiments.recording.pictures import (
    PicturesEndedError,
    frames_per_second,
    picture_recipe,
    prepare_for,
    say_aside,
)
from rl_experiments.recording.recorder import Recording, decoration
from rl_experiments.recording.scene import Moment, Scene, nothing
from rl_experiments.recording.video import RecordingError, fastest, playable_path


class VideoCamera:
    """
    Writes a video of all episodes of an environment; of several environments each has a video of its own.

    A context: at its end the videos are finished, as far as they came. A video that fails takes nothing else with it:
    it is said, and what is played goes on.

    :param path: of the video; with several environments ``-env-0``, ``-env-1``, ... come before the suffix
    :param n_envs: environments at once
    :param n_episodes: episodes that they share, or None if steps are played
    :param overlay: write step, reward, return and action below each picture
    :param look: size and quality of the pictures; if None, those of the environment
    :param say: takes what the user should know
    """

    def __init__(
        self,
        path: Path,
        n_envs: int = 1,
        n_episodes: int | None = None,
        overlay: bool = False,
        look: Look | None = None,
        say: Callable[[str], None] = say_aside,
    ) -> None:
        stems = [path.stem] if n_envs == 1 else [f"{path.stem}-env-{index}" for index in range(n_envs)]
        self._paths = [playable_path(path.with_name(stem + path.suffix)) for stem in stems]
        shares = [None if n_episodes is None else (n_episodes + index) // n_envs for index in range(n_envs)]
        self._wants = Wanted(tuple(shares))
        self._overlay, self._say = overlay, say
        self._scene = Scene(look=look, say=say)
        self._recipe: EnvironmentRecipe | None = None
        self._films: list[Film] = []
        self._places: list[ExitStack] = []
        self._rate = 0.0
        self._has_ended = False
        self._episodes: list[Episode] = []
        self.recordings: list[Recording] = []
        """The videos, when the context has ended."""
        self.failure: RecordingError | None = None
        """Why there are none."""

    def __enter__(self) -> VideoCamera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for index, (film, place) in enumerate(zip(self._films, self._places, strict=True)):
            self._finish(index, film, place)

    def recipe(self, recipe: EnvironmentRecipe) -> EnvironmentRecipe:
        self._recipe = recipe
        prepare_for(recipe)
        return picture_recipe(recipe, self._scene.look)

    def wrap(self, env: gym.Env) -> gym.Env:
        return self._scene.wrap(env)

    def vector(self, makers: Makers) -> VecEnv:
        return vector_of(self._scene)(makers)

    def begin(self, env: VecEnv) -> None:
        assert self._recipe is not None
        self._scene.wants = self._wants
        self._scene.on_end = self._end
        real_time = frames_per_second(self._recipe, env.get_attr("metadata")[0])
        self._rate = fastest(self._paths[0], real_time)
        decorate = decoration(env, self._overlay)
        for path in self._paths:
            self._places.append(ExitStack())
            temporary = self._places[-1].enter_context(replacing(path))
            self._films.append(Film(temporary, self._rate, decorate, across_episodes=True))

    def after(self, step: Step) -> None:
        moments = self._scene.take()
        self._episodes += step.finished
        if self.failure is None:
            try:
                self._film(moments)
            except PicturesEndedError as error:
                self._end(error)
            except RecordingError as error:
                self._fail(error)

    def _film(self, moments: Sequence[Moment]) -> None:
        for moment in moments:
            wanted = not self._has_ended and self._wants(moment.env_index, moment.episode, moment.step)
            if moment.picture.size and wanted:
                self._films[moment.env_index].add([moment])

    def _end(self, error: PicturesEndedError) -> None:
        if not self._has_ended:
            self._say(f"It cannot be drawn any more ({error}): the video ends there")
        self._has_ended = True
        self._scene.wants = nothing

    def _finish(self, index: int, film: Film, place: ExitStack) -> None:
        if self.failure is None and film.n_frames:
            try:
                film.close()
            except RecordingError as error:
                self._fail(error)
        if self.failure is None and film.n_frames:
            place.close()
            path, shown = self._paths[index], tuple(one for one in self._episodes if one.env_index == index)
            self.recordings.append(
                Recording(path, film.n_frames, self._rate, film.width, film.height, film.complete, shown)
            )
        else:
            film.abandon()
            place.__exit__(RecordingError, RecordingError(), None)

    def _fail(self, error: RecordingError) -> None:
        self.failure = error
        self._scene.wants = nothing
        self._say(f"There will be no video: {error}")
