"""``python -m rl_experiments.record_video``: videos of a trained agent."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rl_experiments.cli.agents import add_agent_flags, chosen_determinism, load_chosen_agent
from rl_experiments.cli.looks import add_look_flags, chosen_look
from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.parser import Parser, at_least_1
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import check_can_write
from rl_experiments.core.names import model_name

if TYPE_CHECKING:
    from rl_experiments.recording import Recording
    from rl_experiments.runs import LoadedAgent

VIDEOS = "videos"
FASTEST = 1000.0
"""Frames per second that no screen shows."""


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("record_video", "Record videos of a trained agent; no screen is needed.")
    add_agent_flags(
        parser,
        env="CartPole-v1",
        folder="rl-trained-agents",
        algo="ppo",
        no_render="Accepted for the zoo's sake: no window is opened anyway.",
    )
    parser.mark_ours("--num-threads", "--verbose", "--device")
    add, ours = parser.add_argument, parser.add_ours
    add("-o", "--output-folder", metavar="FOLDER", help="Where to put the videos (default: <run>/videos).")
    add(
        "-n",
        "--n-timesteps",
        metavar="N",
        type=int,
        default=None,
        help="Steps to record, over several episodes if they are short (default: 1000);"
        " with --n-episodes the longest length of each (default: to its end).",
    )
    add("--custom-objects", action="store_true", help="Accepted for the zoo's sake: old files are always adapted.")
    ours("--n-episodes", metavar="N", type=int, help="Episodes to record, each in a video of its own.")
    ours("--fps", metavar="NUMBER", type=float, help="Frames per second (default: real time).")
    ours(
        "--gym-packages", metavar="NAME", nargs="+", default=[], help="Packages to import, that register environments."
    )
    add_look_flags(parser)
    parser.add_check(at_least_1("n_timesteps", "n_episodes"))
    parser.add_check(_check_fps)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    if options.output_folder:
        _check_folder(Path(options.output_folder), "--output-folder")
    from rl_experiments.recording import record_videos

    # Playing a single environment gains nothing on a GPU, and drawing is tried in a process of its own.
    options.device = "cpu" if options.device == "auto" else options.device
    agent = load_chosen_agent(options, options.env_kwargs)
    if options.verbose > 0:
        print(f"Loading {agent.saved.path}")
    if options.n_envs > 1:
        print(f"--n-envs {options.n_envs}: a video shows one environment, and one is played", file=sys.stderr)
    folder = _output_folder(options, agent)
    for recording in record_videos(
        agent,
        folder,
        name_prefix(options, agent),
        n_steps=options.n_timesteps,
        n_episodes=options.n_episodes,
        fps=options.fps,
        seed=options.seed,
        deterministic=chosen_determinism(options),
        look=chosen_look(options),
        show_progress=options.verbose > 0,
    ):
        if options.verbose > 0:
            print(summary(recording))
    return 0


def name_prefix(options: argparse.Namespace, agent: LoadedAgent) -> str:
    """:return: how the zoo begins the names of videos of this model"""
    name = model_name(options.algo, options.env)
    if options.load_best:
        return f"best-model-{name}"
    if agent.saved.steps is not None:
        return f"checkpoint-{agent.saved.steps}-{name}"
    return f"final-model-{name}"


def summary(recording: Recording) -> str:
    """:return: what was recorded, in one line"""
    parts = [f"{recording.n_frames} frames, {recording.n_frames / recording.fps:.1f} s"]
    if recording.episodes:
        rewards = ", ".join(f"{episode.total_reward:.2f}" for episode in recording.episodes[:5])
        more = ", ..." if len(recording.episodes) > 5 else ""
        word = "episode" if len(recording.episodes) == 1 else "episodes"
        parts.append(f"{len(recording.episodes)} {word}, reward {rewards}{more}")
    if not recording.complete:
        parts.append("the last episode is cut off" if recording.episodes else "the episode is cut off")
    return f"Video: {recording.path} ({'; '.join(parts)})"


def _output_folder(options: argparse.Namespace, agent: LoadedAgent) -> Path:
    """:return: the folder that was named, or one in the run, or one here if the run cannot be written"""
    if options.output_folder:
        return Path(options.output_folder)
    folder = agent.run.path / VIDEOS
    try:
        _check_folder(folder, "The video")
    except ConfigurationError as error:
        folder = Path(VIDEOS)
        _check_folder(folder, "The video")
        print(f"{error}. It goes to {folder.resolve()}", file=sys.stderr)
    return folder


def _check_folder(folder: Path, what: str) -> None:
    is_new = not folder.exists()
    check_can_write(folder / "video.mp4", what)
    if is_new:  # nothing is left behind, should nothing come of it
        folder.rmdir()


def _check_fps(options: argparse.Namespace) -> None:
    if options.fps is not None and not 0 < options.fps <= FASTEST:
        raise ConfigurationError(f"--fps must be above 0 and at most {FASTEST:g}, but got {options.fps:g}")


if __name__ == "__main__":
    run_and_exit(main)
