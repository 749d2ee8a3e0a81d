"""
Publishing an agent: always ends in a Hub repository, or in a complete folder and the commands that upload it.

The stages are build, evaluate, record, card, upload. Each is recorded when it is done, and what is done and unchanged
is not done again. What an environment does happens in processes of their own, so that it cannot end the publishing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import write_text
from rl_experiments.core.isolation import Beat, IsolatedError, run_isolated
from rl_experiments.core.names import model_name
from rl_experiments.envs import make_envs
from rl_experiments.evaluation.explaining import check_spaces
from rl_experiments.hub import card_text, manifest
from rl_experiments.hub.backends import contents_of
from rl_experiments.hub.bundle import CARD, Bundle
from rl_experiments.hub.card import CardFacts, model_card
from rl_experiments.hub.cards import Cards
from rl_experiments.hub.contents import Contents
from rl_experiments.hub.guarding import Guard, never_raising
from rl_experiments.hub.manifest import DONE, FAILED, INTERRUPTED
from rl_experiments.hub.publication import Publication, PublishingError, Wishes
from rl_experiments.hub.scrubbing import without_render_mode
from rl_experiments.hub.stages import Stages
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
from rl_experiments.runs import LoadedAgent


def publish(
    agent: LoadedAgent,
    *,
    organization: str | None = None,
    repo_name: str | None = None,
    hub_folder: str | Path = "hub",
    commit_message: str = "Initial commit",
    n_eval_episodes: int | None = None,
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
    :param n_eval_episodes: episodes of the evaluation; if None, 10, or what the hyperparameters of a table say
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
    n_eval_episodes = agent.n_evaluation_episodes if n_eval_episodes is None else n_eval_episodes
    wishes = Wishes(n_eval_episodes, n_envs, video_length, deterministic, seed, render, n_threads, license, tuple(tags))
    name = repo_name or model_name(agent.algorithm, agent.run.env_id)
    Bundle.at(hub_folder, organization, name)
    destination = Destination(token, private, revision, commit_message, deadline)
    contents = contents_of(agent, all_checkpoints, n_eval_episodes)
    publisher = _Publisher(contents, wishes, destination, force, say, show_progress)
    with publisher.guard.interruption.listening():
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
        self.say = never_raising(say)
        self.guard = Guard(contents.agent, destination.deadline, wishes.n_threads, show_progress)

    def run(self, hub_folder: str | Path, organization: str | None, name: str, upload: bool) -> Publication:
        asked = Preflight()
        if upload:
            asked = self.guard.unless_interrupted(lambda: preflight(organization, name, self.destination), asked)
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
        stages = Stages(
            self.bundle,
            self.manifest,
            self.contents,
            self.wishes,
            self.guard,
            self.destination.deadline,
            self.force,
            self.say,
        )
        agent_key = stages.build()
        record_key = stages.key(agent_key, "record", self.wishes.video_length, self.wishes.render)
        no_replay = stages.why_no_replay(record_key)
        evaluation, not_evaluated = stages.evaluate(stages.key(agent_key, "evaluate", self.wishes.n_eval_episodes))
        replay, no_replay = stages.record(record_key, no_replay)
        stages.show(stages.key(agent_key, "page", self.wishes.video_length, self.wishes.render))
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
            self.guard.interruption.name,
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

    def _write_card(self, facts: CardFacts, earlier: str | None) -> None:
        files = sorted({*self.manifest.files, CARD})
        text = card_text.merge(model_card(self.contents, self.bundle, facts, files), earlier)
        write_text(self.bundle.card, text)
        self.manifest.finish(manifest.CARD, DONE, files=[self.bundle.card])

    def _upload(self, asked: Preflight) -> UploadResult:
        if self.guard.interruption.signal is not None:
            result = UploadResult(None, self.guard.reason())
        elif asked.final:
            result = UploadResult(None, asked.problem)
        else:
            self.say(f"Uploading to {self.bundle.repo_id}")
            known = card_text.listed_files((asked.card or b"").decode("utf-8", "replace"))
            sent = self.guard.unless_interrupted(
                lambda: upload_bundle(self.bundle, self.manifest, self.destination, self.cards, self.say, known), None
            )
            result = sent or UploadResult(None, self.guard.reason())
        status = DONE if result.url else (INTERRUPTED if self.guard.interruption.signal is not None else FAILED)
        self.manifest.finish(manifest.UPLOAD, status, reason=result.reason, details={"url": result.url})
        return result

    def _say_obstacle(self, asked: Preflight) -> None:
        if asked.problem is None:
            return
        consequence = "it will not be uploaded" if asked.final else "the upload is tried at the end all the same"
        self.say(f"{asked.problem[:1].upper()}{asked.problem[1:]}. The folder is built, and {consequence}")
