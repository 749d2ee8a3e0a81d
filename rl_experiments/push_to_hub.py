"""``python -m rl_experiments.push_to_hub``: publish a trained agent."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rl_experiments.cli.agents import add_agent_flags, chosen_determinism, chosen_model, load_chosen_agent
from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.parser import Parser
from rl_experiments.core.errors import ConfigurationError

if TYPE_CHECKING:
    from rl_experiments.hub import Publication

BUILT_NOT_UPLOADED = 3


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("push_to_hub", "Score and record a trained agent, and publish it on the Hugging Face Hub.")
    add_agent_flags(parser, env=None, folder=None, algo=None)
    add, ours = parser.add_argument, parser.add_ours
    add("-n", "--n-timesteps", metavar="N", type=int, default=1000, help="Longest length of the replay, in steps.")
    add("-orga", "--organization", metavar="NAME", help="User or organisation on the Hub (default: the token's owner).")
    add("-name", "--repo-name", metavar="NAME", help="The repository's name (default: <algo>-<env>).")
    add("-m", "--commit-message", metavar="TEXT", default="Initial commit", help="The commit's message.")
    ours(
        "--gym-packages", metavar="NAME", nargs="+", default=[], help="Packages to import, that register environments."
    )
    ours("--n-eval-episodes", metavar="N", type=int, help="Episodes of the evaluation (default: 10; 100 for tables).")
    ours("--all-checkpoints", action="store_true", help="Publish each checkpoint too; the best model is the main one.")
    ours("--hub-folder", metavar="FOLDER", default="hub", help="Where the folder to upload is built.")
    ours("--no-upload", action="store_true", help="Build the folder, and do not upload it.")
    ours("--upload-only", action="store_true", help="Upload the folder that was built before, as it is.")
    ours("--force", action="store_true", help="Do everything again, in place of what is done already.")
    ours("--token", metavar="TOKEN", help="A write token (default: the one that 'hf auth login' saved, or HF_TOKEN).")
    ours("--private", action="store_true", help="Make a new repository private.")
    ours("--revision", metavar="BRANCH", help="Branch to upload to, made if need be (default: main).")
    ours("--license", metavar="ID", help="Licence of the agent, as the Hub calls it: mit, apache-2.0, ...")
    ours("--tags", metavar="TAG", nargs="+", default=[], help="Further tags of the model card.")
    ours(
        "--deadline",
        metavar="SECONDS",
        type=float,
        default=600.0,
        help="Give an evaluation, a recording or an upload up after so many seconds without progress.",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    deterministic = chosen_determinism(options)
    chosen_model(options)
    if options.upload_only:
        return _upload_only(options)
    if options.all_checkpoints and not (options.load_checkpoint is not None or options.load_last_checkpoint):
        options.load_best = _has_best_model(options)
    from rl_experiments.hub import publish

    n_threads, options.num_threads = max(options.num_threads, 1), 1
    # Playing a single environment gains nothing on a GPU, and what uses one cannot run in a process of its own.
    options.device = "cpu" if options.device == "auto" else options.device
    agent = load_chosen_agent(options, options.env_kwargs)
    quiet = options.verbose < 1
    if not quiet:
        print(f"Loading {agent.saved.path}")
    publication = publish(
        agent,
        organization=options.organization,
        repo_name=options.repo_name,
        hub_folder=options.hub_folder,
        commit_message=options.commit_message,
        n_eval_episodes=options.n_eval_episodes,
        n_envs=options.n_envs,
        video_length=options.n_timesteps,
        deterministic=deterministic,
        seed=options.seed,
        render=not options.no_render,
        upload=not options.no_upload,
        force=options.force,
        all_checkpoints=options.all_checkpoints,
        token=options.token,
        private=options.private,
        revision=options.revision,
        license=options.license,
        tags=options.tags,
        deadline=options.deadline,
        n_threads=n_threads,
        say=(lambda _: None) if quiet else print,
        show_progress=not quiet,
    )
    print(summary(publication))
    asked_for = options.no_upload and publication.interrupted is None
    return 0 if publication.url is not None or asked_for else BUILT_NOT_UPLOADED


def _has_best_model(options: argparse.Namespace) -> bool:
    from rl_experiments.runs import BEST, find_run

    return find_run(options.folder, options.algo, options.env, options.exp_id, BEST).has_model(BEST)


def _upload_only(options: argparse.Namespace) -> int:
    if options.no_upload or options.force:
        raise ConfigurationError("--upload-only goes neither with --no-upload nor with --force")
    from rl_experiments.core.names import model_name
    from rl_experiments.hub.reuploading import upload_built
    from rl_experiments.hub.upload import Destination, own_command

    destination = Destination(
        options.token, options.private, options.revision, options.commit_message, options.deadline
    )
    name = options.repo_name or model_name(*_names_in_run(options))
    say = print if options.verbose > 0 else (lambda _: None)
    done = upload_built(options.hub_folder, options.organization, name, destination, say)
    print(f"Folder: {done.bundle.folder}")
    if done.url is not None:
        print(f"Published: {done.url}")
        return 0
    print(f"Not uploaded: {done.reason}\nUpload it with: {done.command}")
    print(f"       or with: {own_command(done.bundle, destination, options.algo, options.env, options.folder)}")
    return BUILT_NOT_UPLOADED


def _names_in_run(options: argparse.Namespace) -> tuple[str, str]:
    """:return: what the bundle was named after: the run may go by other names on the command line"""
    from rl_experiments.core.errors import RLExperimentsError
    from rl_experiments.runs import find_run

    try:
        run = find_run(options.folder, options.algo, options.env, options.exp_id)
        return run.algorithm, run.env_id
    except RLExperimentsError:  # the run may be gone, and the bundle is still to be uploaded
        return options.algo, options.env


def summary(publication: Publication) -> str:
    """:return: what was built, for people"""
    evaluation, bundle = publication.evaluation, publication.bundle
    score = f"none, because {publication.not_evaluated_because}"
    if evaluation is not None:
        score = f"{evaluation.mean_reward:.2f} +/- {evaluation.std_reward:.2f} over {len(evaluation.episodes)} episodes"
    lines = [
        f"Score: {score}",
        f"Replay: {publication.replay or f'none, because {publication.no_replay_because}'}",
        f"Folder: {bundle.folder}",
    ]
    if publication.url is not None:
        lines.append(f"Published: {publication.url}")
        return "\n".join(lines)
    by_hand, by_us = publication.commands
    lines += [
        f"Not uploaded: {publication.not_uploaded_because}",
        f"Upload it with: {by_hand}",
        f"       or with: {by_us}",
    ]
    if publication.interrupted is not None:
        lines.append("What is missing is done by the same command once more")
    return "\n".join(lines)


if __name__ == "__main__":
    run_and_exit(main)
