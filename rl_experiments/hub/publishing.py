"""Publishing an agent: always ends in a Hub repository, or in a complete folder and the command that uploads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rl_experiments.core.names import model_name
from rl_experiments.evaluation import Evaluation, evaluate
from rl_experiments.hub.bundle import REPLAY, Bundle
from rl_experiments.hub.card import model_card
from rl_experiments.hub.transfer import DEADLINE
from rl_experiments.hub.upload import token_owner, upload_bundle, upload_command, why_no_upload
from rl_experiments.recording import RecordingError, record, try_frame
from rl_experiments.runs import LoadedAgent


@dataclass(frozen=True)
class Publication:
    """
    :param bundle: the folder
    :param evaluation: how the agent scored
    :param replay: the video in the folder, or None
    :param no_replay_because: why there is none
    :param url: where the repository is, None where nothing was uploaded
    :param not_uploaded_because: why not
    :param command: what uploads the folder by hand
    """

    bundle: Bundle
    evaluation: Evaluation
    replay: Path | None
    no_replay_because: str | None
    url: str | None
    not_uploaded_because: str | None
    command: str


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
    token: str | None = None,
    private: bool = False,
    deadline: float = DEADLINE,
    say: Callable[[str], None] = print,
    show_progress: bool = False,
) -> Publication:
    """
    Build the bundle, score the agent, record it, write the card, upload.

    Pictures are always drawn with ``render_mode="rgb_array"``. Whatever fails about the video, the rest goes on, and
    the card says why.

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
    :param token: a write token; if None, the one that is saved on this machine
    :param private: whether a new repository is private
    :param deadline: seconds after which an upload is given up
    :param say: takes what the user should know
    """
    name = repo_name or model_name(agent.algorithm, agent.run.env_id)
    Bundle.at(hub_folder, organization, name)
    obstacle = why_no_upload(token) if upload else None
    if obstacle:
        say(f"It will not be uploaded, because {obstacle}. The folder is built all the same")
    elif upload:
        organization = _ask_the_hub(organization, token, say)
    bundle = Bundle.at(hub_folder, organization, name)
    no_replay = _why_no_replay(agent, render, say)
    bundle.write_agent(agent)
    say(f"Evaluating {n_eval_episodes} episodes")
    evaluation = evaluate(
        agent,
        n_episodes=n_eval_episodes,
        n_envs=n_envs,
        seed=seed,
        deterministic=deterministic,
        show_progress=show_progress,
    )
    bundle.write_results(evaluation)
    replay = None
    # The folder is complete from here on, whatever a renderer does to this process.
    bundle.write_card(model_card(agent, bundle, evaluation, None, no_replay or "the recording was cut off"), None)
    if no_replay is None:
        say(f"Recording at most {video_length} steps")
        try:
            recording = record(
                agent,
                bundle.folder / REPLAY,
                n_steps=video_length,
                seed=seed,
                deterministic=deterministic,
                show_progress=show_progress,
            )
            replay = recording.path
        except RecordingError as error:
            no_replay = str(error)
            say(f"There is no replay: {no_replay}")
    bundle.write_card(model_card(agent, bundle, evaluation, replay.name if replay else None, no_replay), replay)
    url, reason = None, obstacle or "it was not asked for"
    if upload and not obstacle:
        say(f"Uploading to {bundle.repo_id}")
        answer = upload_bundle(bundle, message=commit_message, token=token, private=private, deadline=deadline)
        url, reason = answer.url, answer.reason or ""
    return Publication(
        bundle, evaluation, replay, no_replay, url, reason if url is None else None, upload_command(bundle, private)
    )


def _ask_the_hub(organization: str | None, token: str | None, say: Callable[[str], None]) -> str | None:
    """:return: the organisation, or the token's owner; what the Hub does not like is said before time is spent"""
    owner, reason = token_owner(token)
    if reason is not None:
        say(f"The Hub does not answer as it should ({reason}). The folder is built, and the upload is tried at the end")
    return organization or owner


def _why_no_replay(agent: LoadedAgent, render: bool, say: Callable[[str], None]) -> str | None:
    """Try one frame before time is spent on anything else."""
    if not render:
        return "it was not asked for (--no-render)"
    asked = agent.recipe.kwargs.get("render_mode", "rgb_array")
    if asked != "rgb_array":
        say(f"render_mode is '{asked}' in the arguments: the replay uses 'rgb_array', and the evaluation draws nothing")
    reason = try_frame(agent.recipe)
    if reason is not None:
        say(f"There will be no replay, because no picture can be drawn: {reason}")
        return f"no picture could be drawn: {reason}"
    return None
