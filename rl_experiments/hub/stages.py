"""The stages before the card: build, evaluate, record. What is done and unchanged is not done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rl_experiments.core.isolation import Beat
from rl_experiments.envs.rendering import forbid_rendering
from rl_experiments.evaluation import Evaluation, evaluate
from rl_experiments.hub import manifest
from rl_experiments.hub.bundle import REPLAY, Bundle
from rl_experiments.hub.contents import Contents, read_results, write_results
from rl_experiments.hub.guarding import INTERRUPTION, Guard
from rl_experiments.hub.manifest import DONE, SKIPPED, Manifest, fingerprint
from rl_experiments.hub.publication import Wishes
from rl_experiments.hub.scrubbing import without_render_mode
from rl_experiments.recording import RecordingError, record, try_frame
from rl_experiments.recording.video import playable_path


class Stages:
    """
    :param bundle: what is built
    :param record: what was done before, and is done now
    :param contents: what is published of a run
    :param wishes: how it is scored and shown
    :param guard: runs what may fail
    :param deadline: seconds for the first picture
    :param force: do everything again
    :param say: takes what the user should know
    """

    def __init__(
        self,
        bundle: Bundle,
        record: Manifest,
        contents: Contents,
        wishes: Wishes,
        guard: Guard,
        deadline: float,
        force: bool,
        say: Callable[[str], None],
    ) -> None:
        self._bundle = bundle
        self._manifest = record
        self._contents = contents
        self._agent = contents.agent
        self._wishes = wishes
        self._guard = guard
        self._deadline = deadline
        self._force = force
        self._say = say

    def build(self) -> str:
        """:return: a fingerprint of the agent and its configuration"""
        key = self._contents.key()
        if not self._force and self._manifest.is_done(manifest.BUILD, key):
            return key
        self._manifest.outdate(manifest.CARD, manifest.BUILD)
        earlier = self._manifest.stages.get(manifest.BUILD)
        if earlier is None or earlier.key != key:  # what was made of another agent does not belong here
            self._take_away(manifest.EVALUATE, manifest.RECORD, manifest.PAGE)
        written = self._contents.write(self._bundle)
        self.finish(manifest.BUILD, DONE, key=key, files=written)
        return key

    def evaluate(self, key: str) -> tuple[Evaluation | None, str | None]:
        """:return: the evaluation, and why there is none"""
        if not self._force and self._manifest.is_done(manifest.EVALUATE, key):
            self._say("The evaluation is done already (--force does it again)")
            return read_results(self._bundle), None
        self._manifest.outdate(manifest.CARD)
        wishes = self._wishes
        self._say(f"Evaluating {wishes.n_eval_episodes} episodes")

        def work(beat: Beat) -> Evaluation:
            if self._guard.isolates:
                forbid_rendering()
            return evaluate(
                self._agent,
                n_episodes=wishes.n_eval_episodes,
                n_envs=wishes.n_envs,
                seed=wishes.seed,
                deterministic=wishes.deterministic,
                on_progress=beat,
            )

        evaluation, reason = self._guard.isolated(work, wishes.n_eval_episodes, "evaluating", "episode")
        if evaluation is None:
            self._say(f"There is no score: {reason}")
            self._take_away(manifest.EVALUATE)
            self.finish(manifest.EVALUATE, self._guard.failure(), key=key, reason=reason)
            return None, reason
        self.finish(manifest.EVALUATE, DONE, key=key, files=[self._results(evaluation)])
        return evaluation, None

    def _results(self, evaluation: Evaluation) -> Path:
        return write_results(self._bundle, evaluation, self._contents.result_facts())

    def why_no_replay(self, key: str) -> str | None:
        """Try one frame and the encoder before time is spent on anything else."""
        if not self._wishes.render:
            return "it was not asked for (--no-render)"
        asked = self._agent.recipe.kwargs.get("render_mode", "rgb_array")
        if asked != "rgb_array":
            self._say(
                f"render_mode is '{asked}' in the arguments: the replay uses 'rgb_array',"
                " and the evaluation draws nothing"
            )
        if not self._force and self._manifest.is_done(manifest.RECORD, key):
            return None
        reason = self._guard.unless_interrupted(lambda: try_frame(self._agent.recipe, self._deadline), INTERRUPTION)
        if reason == INTERRUPTION:
            return reason
        if reason is not None:
            self._say(f"There will be no replay, because no picture can be drawn: {reason}")
            return f"no picture could be drawn: {reason}"
        if playable_path(Path(REPLAY)).suffix != ".mp4":
            self._say("There is no video encoder that works: the replay will be a GIF")
        return None

    def record(self, key: str, no_replay: str | None) -> tuple[Path | None, str | None]:
        """:return: the video, and why there is none"""
        if no_replay is None and not self._force and self._manifest.is_done(manifest.RECORD, key):
            self._say("The replay is recorded already (--force does it again)")
            name = next(entry.path for entry in self._manifest.files.values() if entry.stage == manifest.RECORD)
            return self._bundle.folder / name, None
        own = self._replay_of_the_user(key)
        if own is not None:
            self._say(f"{own.name} was replaced by hand, and stays (--force records it again)")
            self.finish(manifest.RECORD, DONE, key=key, files=[own])
            return own, None
        self._manifest.outdate(manifest.CARD)
        self._take_away(manifest.RECORD)
        if no_replay is not None:
            status = self._guard.failure() if self._wishes.render else SKIPPED
            self.finish(manifest.RECORD, status, key=key, reason=no_replay)
            return None, no_replay
        wishes = self._wishes
        self._say(f"Recording at most {wishes.video_length} steps")

        def work(beat: Beat) -> Path:
            recording = record(
                self._agent,
                self._bundle.folder / REPLAY,
                n_steps=wishes.video_length,
                fps=self._contents.fps,
                seed=wishes.seed,
                deterministic=wishes.deterministic,
                on_progress=beat,
            )
            if recording.failure:  # half a video would look like all that the agent can do
                recording.path.unlink()
                raise RecordingError(recording.failure)
            return recording.path

        replay, reason = self._guard.isolated(work, wishes.video_length, "recording", "step")
        self._bundle.remove_leftovers()
        if replay is None:
            self._say(f"There is no replay: {reason}")
            self.finish(manifest.RECORD, self._guard.failure(), key=key, reason=reason)
            return None, reason
        self.finish(manifest.RECORD, DONE, key=key, files=[replay])
        return replay, None

    def show(self, key: str) -> None:
        """Write the replay for browsers, where the environment tells where its bodies are; it needs no renderer."""
        if not self._contents.has_page or not self._wishes.render:
            return
        if not self._force and self._manifest.is_done(manifest.PAGE, key):
            return
        self._manifest.outdate(manifest.CARD)
        wishes, contents, folder = self._wishes, self._contents, self._bundle.folder
        self._say("Writing the replay for browsers")
        page, reason = self._guard.isolated(
            lambda beat: contents.write_page(folder, wishes, beat), wishes.video_length, "playing", "step"
        )
        self._bundle.remove_leftovers()
        if page is None:
            self._say(f"There is no replay for browsers: {reason}")
            self.finish(manifest.PAGE, self._guard.failure(), key=key, reason=reason)
        else:
            self.finish(manifest.PAGE, DONE, key=key, files=[page])

    def _replay_of_the_user(self, key: str) -> Path | None:
        """:return: a replay of this very agent that somebody has put in the place of ours"""
        record = self._manifest.stages.get(manifest.RECORD)
        ours = [entry for entry in self._manifest.files.values() if entry.stage == manifest.RECORD]
        if self._force or not ours or record is None or record.status != DONE or record.key != key:
            return None
        path = self._bundle.folder / ours[0].path
        return path if path.is_file() and path.stat().st_size else None

    def key(self, *parts: Any) -> str:
        """:return: a fingerprint of the parts and of how the agent plays"""
        wishes, recipe = self._wishes, self._agent.recipe
        return fingerprint(*parts, without_render_mode(recipe.kwargs), wishes.n_envs, wishes.seed, wishes.deterministic)

    def finish(self, stage: str, status: str, *, files: Sequence[Path] = (), **more: Any) -> None:
        """Record a stage, and take away what it had written before and has not written now."""
        names = {path.relative_to(self._bundle.folder).as_posix() for path in files}
        for entry in [entry for entry in self._manifest.files.values() if entry.stage == stage]:
            if entry.path not in names:
                self._bundle.remove(entry.path)
        self._manifest.finish(stage, status, files=files, **more)

    def _take_away(self, *stages: str) -> None:
        for entry in [entry for entry in self._manifest.files.values() if entry.stage in stages]:
            self._bundle.remove(entry.path)
        self._manifest.forget(*stages)
