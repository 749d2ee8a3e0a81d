"""``python -m rl_experiments.push_to_hub``: publish a trained agent."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rl_experiments.cli.agents import add_agent_flags, chosen_determinism, load_chosen_agent
from rl_experiments.cli.main import run_command
from rl_experiments.cli.parser import Parser

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
    ours("--n-eval-episodes", metavar="N", type=int, default=10, help="Episodes of the evaluation.")
    ours("--hub-folder", metavar="FOLDER", default="hub", help="Where the folder to upload is built.")
    ours("--no-upload", action="store_true", help="Build the folder, and do not upload it.")
    ours("--token", metavar="TOKEN", help="A write token (default: the one that 'hf auth login' saved, or HF_TOKEN).")
    ours("--private", action="store_true", help="Make a new repository private.")
    ours("--deadline", metavar="SECONDS", type=float, default=600.0, help="Give an upload up after so many seconds.")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    deterministic = chosen_determinism(options)
    from rl_experiments.hub import publish

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
        token=options.token,
        private=options.private,
        deadline=options.deadline,
        say=(lambda _: None) if quiet else print,
        show_progress=not quiet,
    )
    print(summary(publication))
    return 0 if publication.url is not None or options.no_upload else BUILT_NOT_UPLOADED


def summary(publication: Publication) -> str:
    """:return: what was built, for people"""
    evaluation, bundle = publication.evaluation, publication.bundle
    lines = [
        f"Score: {evaluation.mean_reward:.2f} +/- {evaluation.std_reward:.2f} over {len(evaluation.episodes)} episodes",
        f"Replay: {publication.replay or f'none, because {publication.no_replay_because}'}",
        f"Folder: {bundle.folder}",
    ]
    if publication.url is not None:
        lines.append(f"Published: {publication.url}")
    else:
        lines += [f"Not uploaded: {publication.not_uploaded_because}", f"Upload it with: {publication.command}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_command(main))
