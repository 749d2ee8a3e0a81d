"""
Publishing an agent: always ends in a Hub repository, or in a complete folder and the commands that upload it.

The stages are build, evaluate, record, card, upload. Each is recorded when it is done, and what is done and unchanged
is not done again. What an environment does happens in processes of their own, so that it cannot end the publishing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rl_experiments.core.errors import ConfigurationError, RLExperimentsError
from rl_experiments.core.files import write_text
from rl_experiments.core.interruption import Interruption
from rl_experiments.core.isolation import Beat, IsolatedError, can_isolate, run_isolated
from rl_experiments.core.names import model_name
from rl_experiments.core.progress import progress_bar
from rl_experiments.envs import make_envs
from rl_experiments.envs.rendering import forbid_rendering
from rl_experiments.evaluation import Evaluation, evaluate
from rl_experiments.evaluation.explaining import check_spaces
from rl_experiments.hub import card_text, manifest
from rl_experiments.hub.bundle import CARD, REPLAY, Bundle
from rl_experiments.hub.card import CardFacts, model_card
from rl_experiments.hub.cards import Cards
from rl_experiments.hub.contents import Contents, read_results, write_results
from rl_experiments.hub.manifest import DONE, FAILED, INTERRUPTED, SKIPPED, fingerprint
from rl_experiments.hub.scrubbing import without_render_mode
from rl_experiments.hub.upload import (
    DEADLINE,
    MAIN,
    Destination,
    Preflight,
    UploadResult,
    hf_command,
    own_command,
    preflight,
    upload_bundle,
)
from rl_experiments.recording import record, try_frame
from rl_experiments.recording.video import playable_path
from rl_experiments.runs import LoadedAgent

T = TypeVar("T")
U = TypeVar("U")
_INTERRUPTED = "it was interrupted"


@dataclass(frozen=True)
class Publication:
    """
    :param bundle: the folder
    :param evaluation: how the agent scored, or None
    :param not_evaluated_because: why there is no score
    :param replay: the video in the folder, or None
    :param no_replay_because: why there is none
    :param url: where the repository is, None where nothing was uploaded
    :param not_uploaded_because: why not
    :param commands: what uploads the folder by hand: the Hub's own command, and ours
    :param interrupted: the signal that cut it short, or None
    """

    bundle: Bundle
    evaluation: Evaluation | None
    not_evaluated_because: str | None
    replay: Path | None
    no_replay_because: str | None
    url: str | None
    not_uploaded_because: str | None
    commands: tuple[str, str]
    interrupted: str | None = None


class PublishingError(RLExperimentsError):
    """A folder that could not be built."""


@dataclass(frozen=True)
class Wishes:
    """
    How the agent is to be scored and shown.

    :param n_eval_episodes: episodes of the evaluation
    :param n_envs: environments of the evaluation
    :param video_length: longest length of the replay, in steps
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides
    :param seed: seed of the evaluation and the replay
    :param render: make a replay
    :param n_threads: torch's number of threads
    :param license: a licence's identifier on the Hub
    :param tags: further tags of the card
    """

    n_eval_episodes: int = 10
    n_envs: int = 1
    video_length: int = 1000
    deterministic: bool | None = None
    seed: int = 0
    render: bool = True
    n_threads: int = 1
    license: str | None = None
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("n_eval_episodes", "n_envs", "video_length"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, but got {getattr(self, name)}")


def publish(
    agent: LoadedAgent,
    *,
    organization: str | None = None,
    repo_name: str | None = None,
    hub_folder: str | Path = "hub",
    commit_message: str = "Initial commit",
    n_eval_episodes: int = 10,
    n_envs: int = 1,
    video_length: int = 1000,
    deterministic: bool | None = None,
    seed: int = 0,
    render: bool = True,
    upload: bool = True,
    force: bool = False,
    all_checkpoints: bool = False,
    token: str | None = None,
    private: bool = False,
    revision: str | None = None,
    license: str | None = None,
    tags: Sequence[str] = (),
    deadline: float = DEADLINE,
    n_threads: int = 1,
    say: Callable[[str], None] = print,
    show_progress: bool = False,
) -> Publication:
    """
    Build the bundle, score the agent, record it, write the card, upload.

    Pictures are always drawn with ``render_mode="rgb_array"``. Whatever fails, the rest goes on, and the card says why.

    :param agent: what :func:`rl_experiments.load_agent` returns
    :param organization: user or organisation on the Hub; if None, the token's owner
    :param repo_name: the repository's name; if None, ``<algo>-<env>``
    :param hub_folder: where bundles are built
    :param n_eval_episodes: episodes of the evaluation
    :param n_envs: environments of the evaluation
    :param video_length: longest length of the replay, in steps
    :param deterministic: the most probable actions instead of samples; if None, as the zoo decides
    :param seed: seed of the evaluation and the replay
    :param render: make a replay
    :param upload: upload; if False, only build
    :param force: do every stage again, whatever was done before
    :param all_checkpoints: publish each checkpoint too, in a folder of its own
    :param token: a write token; if None, the one that is saved on this machine
    :param private: whether a new repository is private
    :param revision: a branch, made if it does not exist; the main one if None
    :param license: a licence's identifier on the Hub, such as ``mit``
    :param tags: further tags of the card
    :param deadline: seconds without progress after which an evaluation, a recording or an upload is given up
    :param n_threads: torch's number of threads; more than one only if this process has not used torch before
    :param say: takes what the user should know
    :param show_progress: draw bars, if the output is a terminal
    :raises ConfigurationError: if a name, a number or an argument of the environment cannot be; nothing is built then
    """
    wishes = Wishes(n_eval_episodes, n_envs, video_length, deterministic, seed, render, n_threads, license, tuple(tags))
    name = repo_name or model_name(agent.algorithm, agent.run.env_id)
    Bundle.at(hub_folder, organization, name)
    destination = Destination(token, private, revision, commit_message, deadline)
    contents = Contents(agent, all_checkpoints)
    publisher = _Publisher(contents, wishes, destination, force, say, show_progress)
    with publisher.interruption.listening():
        publisher.check_given_arguments()
        return publisher.run(hub_folder, organization, name, upload)


class _Publisher:
    """One publishing under way."""

    def __init__(
        self,
        contents: Contents,
        wishes: Wishes,
        destination: Destination,
        force: bool,
        say: Callable[[str], None],
        show_progress: bool,
    ) -> None:
        self.contents = contents
        self.agent = contents.agent
        self.wishes = wishes
        self.destination = destination
        self.force = force
        self.say = _never_raising(say)
        self.show_progress = show_progress
        self.interruption = Interruption()

    def run(self, hub_folder: str | Path, organization: str | None, name: str, upload: bool) -> Publication:
        asked = Preflight()
        if upload:
            asked = self._unless_interrupted(lambda: preflight(organization, name, self.destination), asked)
            self._say_obstacle(asked)
        self.bundle = Bundle.at(hub_folder, organization or asked.owner, name)
        with self.bundle.locked():
            try:
                return self._run_stages(hub_folder, asked, upload)
            except OSError as error:
                raise PublishingError(
                    f"{self.bundle.folder} could not be written: {error.strerror or error}. Make room, or build it"
                    f" elsewhere with --hub-folder. The trained agent in {self.agent.run.path} is as it was"
                ) from error

    def _run_stages(self, hub_folder: str | Path, asked: Preflight, upload: bool) -> Publication:
        self.bundle.take_over(hub_folder)
        self.bundle.open()
        self.manifest = self.bundle.manifest()
        self.cards = Cards(self.bundle, self.manifest, self.destination.revision or MAIN, self.say)
        earlier_card = self.cards.earlier(asked.card)
        agent_key = self._build()
        record_key = self._key(agent_key, "record", self.wishes.video_length, self.wishes.render)
        no_replay = self._why_no_replay(record_key)
        evaluation, not_evaluated = self._evaluate(self._key(agent_key, "evaluate", self.wishes.n_eval_episodes))
        replay, no_replay = self._record(record_key, no_replay)
        facts = CardFacts(
            evaluation,
            not_evaluated,
            replay.name if replay else None,
            no_replay,
            self.wishes.license,
            self.wishes.tags,
            self._given_arguments(),
        )
        self._write_card(facts, earlier_card)
        result = self._upload(asked) if upload else UploadResult(None, "it was not asked for")
        run = self.agent.run
        commands = (
            hf_command(self.bundle, self.destination),
            own_command(self.bundle, self.destination, self.agent.algorithm, run.env_id, run.path.parent.parent),
        )
        return Publication(
            self.bundle,
            evaluation,
            not_evaluated,
            replay,
            no_replay,
            result.url,
            result.reason,
            commands,
            self.interruption.name,
        )

    def check_given_arguments(self) -> None:
        """
        Arguments of the environment that the run was not trained with are a wish of this moment: one that is wrong is
        an error, and no reason for a card without a score.
        """
        if not self._given_arguments():
            return
        recipe = self.agent.recipe.without_kwargs("render_mode")

        def check(_: Beat) -> None:
            env = make_envs(recipe, 1, 0)
            try:
                check_spaces(self.agent, env, recipe.env_id)
            finally:
                env.close()

        try:
            run_isolated(check, self.destination.deadline)
        except IsolatedError as error:
            raise ConfigurationError(str(error)) from None

    def _given_arguments(self) -> dict[str, Any]:
        """:return: arguments of the environment that differ from those of the training"""
        trained_with = self.agent.run.env_kwargs
        return {
            key: value
            for key, value in without_render_mode(self.agent.recipe.kwargs).items()
            if key not in trained_with or trained_with[key] != value
        }

    def _build(self) -> str:
        """:return: a fingerprint of the agent and its configuration"""
        key = self.contents.key()
        if not self.force and self.manifest.is_done(manifest.BUILD, key):
            return key
        self.manifest.outdate(manifest.CARD, manifest.BUILD)
        earlier = self.manifest.stages.get(manifest.BUILD)
        if earlier is None or earlier.key != key:  # what was made of another agent does not belong here
            self._take_away(manifest.EVALUATE, manifest.RECORD)
        written = self.contents.write(self.bundle)
        self._finish(manifest.BUILD, DONE, key=key, files=written)
        return key

    def _evaluate(self, key: str) -> tuple[Evaluation | None, str | None]:
        """:return: the evaluation, and why there is none"""
        if not self.force and self.manifest.is_done(manifest.EVALUATE, key):
            self.say("The evaluation is done already (--force does it again)")
            return read_results(self.bundle), None
        self.manifest.outdate(manifest.CARD)
        wishes = self.wishes
        self.say(f"Evaluating {wishes.n_eval_episodes} episodes")

        def work(beat: Beat) -> Evaluation:
            if self._isolates:
                forbid_rendering()
            return evaluate(
                self.agent,
                n_episodes=wishes.n_eval_episodes,
                n_envs=wishes.n_envs,
                seed=wishes.seed,
                deterministic=wishes.deterministic,
                on_progress=beat,
            )

        evaluation, reason = self._isolated(work, wishes.n_eval_episodes, "evaluating", "episode")
        if evaluation is None:
            self.say(f"There is no score: {reason}")
            self._take_away(manifest.EVALUATE)
            self._finish(manifest.EVALUATE, self._failure(), key=key, reason=reason)
            return None, reason
        self._finish(manifest.EVALUATE, DONE, key=key, files=[write_results(self.bundle, evaluation)])
        return evaluation, None

    def _why_no_replay(self, key: str) -> str | None:
        """Try one frame and the encoder before time is spent on anything else."""
        if not self.wishes.render:
            return "it was not asked for (--no-render)"
        asked = self.agent.recipe.kwargs.get("render_mode", "rgb_array")
        if asked != "rgb_array":
            self.say(
                f"render_mode is '{asked}' in the arguments: the replay uses 'rgb_array',"
                " and the evaluation draws nothing"
            )
        if not self.force and self.manifest.is_done(manifest.RECORD, key):
            return None
        reason = self._unless_interrupted(lambda: try_frame(self.agent.recipe, self.destination.deadline), _INTERRUPTED)
        if reason == _INTERRUPTED:
            return reason
        if reason is not None:
            self.say(f"There will be no replay, because no picture can be drawn: {reason}")
            return f"no picture could be drawn: {reason}"
        if playable_path(Path(REPLAY)).suffix != ".mp4":
            self.say("There is no video encoder that works: the replay will be a GIF")
        return None

    def _record(self, key: str, no_replay: str | None) -> tuple[Path | None, str | None]:
        """:return: the video, and why there is none"""
        if no_replay is None and not self.force and self.manifest.is_done(manifest.RECORD, key):
            self.say("The replay is recorded already (--force does it again)")
            name = next(entry.path for entry in self.manifest.files.values() if entry.stage == manifest.RECORD)
            return self.bundle.folder / name, None
        own = self._replay_of_the_user(key)
        if own is not None:
            self.say(f"{own.name} was replaced by hand, and stays (--force records it again)")
            self._finish(manifest.RECORD, DONE, key=key, files=[own])
            return own, None
        self.manifest.outdate(manifest.CARD)
        self._take_away(manifest.RECORD)
        if no_replay is not None:
            status = FAILED if self.wishes.render else SKIPPED
            self._finish(manifest.RECORD, status, key=key, reason=no_replay)
            return None, no_replay
        wishes = self.wishes
        self.say(f"Recording at most {wishes.video_length} steps")

        def work(beat: Beat) -> Path:
            return record(
                self.agent,
                self.bundle.folder / REPLAY,
                n_steps=wishes.video_length,
                seed=wishes.seed,
                deterministic=wishes.deterministic,
                on_progress=beat,
            ).path

        replay, reason = self._isolated(work, wishes.video_length, "recording", "step")
        if replay is None:
            self.say(f"There is no replay: {reason}")
            self._finish(manifest.RECORD, self._failure(), key=key, reason=reason)
            return None, reason
        self._finish(manifest.RECORD, DONE, key=key, files=[replay])
        return replay, None

    def _replay_of_the_user(self, key: str) -> Path | None:
        """:return: a replay of this very agent that somebody has put in the place of ours"""
        record = self.manifest.stages.get(manifest.RECORD)
        ours = [entry for entry in self.manifest.files.values() if entry.stage == manifest.RECORD]
        if self.force or not ours or record is None or record.status != DONE or record.key != key:
            return None
        path = self.bundle.folder / ours[0].path
        return path if path.is_file() and path.stat().st_size else None

    def _write_card(self, facts: CardFacts, earlier: str | None) -> None:
        files = sorted({*self.manifest.files, CARD})
        text = card_text.merge(model_card(self.contents, self.bundle, facts, files), earlier)
        write_text(self.bundle.card, text)
        self._finish(manifest.CARD, DONE, files=[self.bundle.card])

    def _upload(self, asked: Preflight) -> UploadResult:
        if self.interruption.signal is not None:
            result = UploadResult(None, self._interrupted())
        elif asked.final:
            result = UploadResult(None, asked.problem)
        else:
            self.say(f"Uploading to {self.bundle.repo_id}")
            known = card_text.listed_files((asked.card or b"").decode("utf-8", "replace"))
            sent = self._unless_interrupted(
                lambda: upload_bundle(self.bundle, self.manifest, self.destination, self.cards, self.say, known), None
            )
            result = sent or UploadResult(None, self._interrupted())
        status = DONE if result.url else (INTERRUPTED if self.interruption.signal is not None else FAILED)
        self.manifest.finish(manifest.UPLOAD, status, reason=result.reason, details={"url": result.url})
        return result

    def _isolated(
        self, work: Callable[[Beat], T], total: int, description: str, unit: str
    ) -> tuple[T | None, str | None]:
        """:return: what the work returned, or None and why it did not"""
        with progress_bar(total, description, unit, self.show_progress) as bar:

            def advance(count: int) -> None:
                bar.update(count - bar.n)

            try:
                with self.interruption.may_interrupt():
                    return run_isolated(
                        work,
                        self.destination.deadline,
                        advance,
                        n_threads=self.wishes.n_threads,
                        here=not self._isolates,
                    ), None
            except KeyboardInterrupt:
                return None, self._interrupted()
            except IsolatedError as error:
                return None, str(error)
            finally:
                self.bundle.remove_leftovers()

    @property
    def _isolates(self) -> bool:
        """Whether environments run in processes of their own."""
        return can_isolate() and _computes_on_cpu(self.agent)

    def _unless_interrupted(self, function: Callable[[], T], otherwise: U) -> T | U:
        try:
            with self.interruption.may_interrupt():
                return function()
        except KeyboardInterrupt:
            return otherwise

    def _interrupted(self) -> str:
        return f"{_INTERRUPTED} ({self.interruption.name or 'SIGINT'})"

    def _failure(self) -> str:
        return FAILED if self.interruption.signal is None else INTERRUPTED

    def _key(self, *parts: Any) -> str:
        wishes, recipe = self.wishes, self.agent.recipe
        return fingerprint(*parts, without_render_mode(recipe.kwargs), wishes.n_envs, wishes.seed, wishes.deterministic)

    def _finish(self, stage: str, status: str, *, files: Sequence[Path] = (), **more: Any) -> None:
        """Record a stage, and take away what it had written before and has not written now."""
        names = {path.relative_to(self.bundle.folder).as_posix() for path in files}
        for entry in [entry for entry in self.manifest.files.values() if entry.stage == stage]:
            if entry.path not in names:
                self.bundle.remove(entry.path)
        self.manifest.finish(stage, status, files=files, **more)

    def _take_away(self, *stages: str) -> None:
        for entry in [entry for entry in self.manifest.files.values() if entry.stage in stages]:
            self.bundle.remove(entry.path)
        self.manifest.forget(*stages)

    def _say_obstacle(self, asked: Preflight) -> None:
        if asked.problem is None:
            return
        consequence = "it will not be uploaded" if asked.final else "the upload is tried at the end all the same"
        self.say(f"{asked.problem[:1].upper()}{asked.problem[1:]}. The folder is built, and {consequence}")


def _computes_on_cpu(agent: LoadedAgent) -> bool:
    device = getattr(getattr(agent.agent, "model", None), "device", None)
    return device is None or getattr(device, "type", "cpu") == "cpu"


def _never_raising(say: Callable[[str], None]) -> Callable[[str], None]:
    """A terminal that was closed, or a reader that has gone, is no reason to stop."""

    def tell(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            say(text)

    return tell
