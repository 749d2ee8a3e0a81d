"""``python -m rl_experiments.record_video``: videos and images of a trained agent."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rl_experiments.cli.agents import add_agent_flags, chosen_determinism, load_chosen_agent
from rl_experiments.cli.looks import add_look_flags, chosen_look, refuse_for_pages
from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.parser import Parser, at_least_1, checked_choice
from rl_experiments.cli.recordings import check_folder, check_fps, name_prefix, summary, videos_of, writable_folder
from rl_experiments.core.errors import ConfigurationError

if TYPE_CHECKING:
    from rl_experiments.recording.images import Selection
    from rl_experiments.runs import LoadedAgent

FORMATS = ("mp4", "webm", "gif", "png", "html")
_ONE_ENVIRONMENT = "a video shows one environment, and one is played (--grid N shows several, each in a tile)"


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("record_video", "Record videos or images of a trained agent; no screen is needed.")
    add_agent_flags(
        parser,
        env="CartPole-v1",
        folder="rl-trained-agents",
        algo="ppo",
        no_render="Accepted for the zoo's sake: no window is opened anyway.",
    )
    parser.mark_ours("--num-threads", "--verbose", "--device")
    add, ours = parser.add_argument, parser.add_ours
    add(
        "-o",
        "--output-folder",
        metavar="FOLDER",
        help="Where to put the videos, or the folder 'frames' with images (default: <run>/videos, <run>).",
    )
    add(
        "-n",
        "--n-timesteps",
        metavar="N",
        type=int,
        default=None,
        help="Steps to record, over several episodes if they are short (default: 1000);"
        " of single episodes (--n-episodes, --best-of, --worst-of, --grid) the longest length (default: to the end).",
    )
    add("--custom-objects", action="store_true", help="Accepted for the zoo's sake: old files are always adapted.")
    ours(
        "--format",
        metavar="NAME",
        type=checked_choice(FORMATS, "format"),
        default=FORMATS[0],
        help="mp4, webm, gif; png for images: frames/<episode>/<step>.png, an index and a contact sheet; or html for a"
        " replay in a browser, in environments of Brax.",
    )
    ours("--n-episodes", metavar="N", type=int, help="Episodes to record, each in a video of its own.")
    ours("--best-of", metavar="K", type=int, help="Play K episodes and record the one with the largest return.")
    ours("--worst-of", metavar="K", type=int, help="Play K episodes and record the one with the smallest return.")
    ours("--overlay", action="store_true", help="Write step, reward, return and action below each picture.")
    ours("--grid", metavar="N", type=int, help="An episode of each of N environments, side by side in labelled tiles.")
    ours("--every", metavar="K", type=int, default=1, help="Of images: each K-th step, counted from --from.")
    ours("--from", metavar="STEP", type=int, default=0, dest="first", help="Of images: the first step of an episode.")
    ours("--to", metavar="STEP", type=int, dest="last", help="Of images: the last step (default: to its end).")
    ours("--fps", metavar="NUMBER", type=float, help="Frames per second (default: real time).")
    ours(
        "--gym-packages", metavar="NAME", nargs="+", default=[], help="Packages to import, that register environments."
    )
    add_look_flags(parser)
    parser.add_check(at_least_1("n_timesteps", "n_episodes", "best_of", "worst_of", "grid", "every"))
    for check in (check_fps, _check_combination, _check_page, _check_selection):
        parser.add_check(check)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    if options.output_folder:
        check_folder(Path(options.output_folder), "--output-folder")
    from rl_experiments.recording import record_videos

    # Playing a single environment gains nothing on a GPU, and drawing is tried in a process of its own.
    options.device = "cpu" if options.device == "auto" else options.device
    agent = load_chosen_agent(options, options.env_kwargs)
    if options.verbose > 0:
        print(f"Loading {agent.saved.path}")
    if options.n_envs > 1 and not _plays_several(options):
        print(f"--n-envs {options.n_envs}: {_ONE_ENVIRONMENT}", file=sys.stderr)
    failed = False
    for recording in record_videos(
        agent,
        _folder(options, agent),
        name_prefix(options, agent),
        format=options.format,
        n_steps=options.n_timesteps,
        n_episodes=options.n_episodes,
        best_of=options.best_of,
        worst_of=options.worst_of,
        grid=options.grid,
        n_envs=options.n_envs if _plays_several(options) else 1,
        selection=_selection(options),
        fps=options.fps,
        overlay=options.overlay,
        seed=options.seed,
        deterministic=chosen_determinism(options),
        look=chosen_look(options),
        show_progress=options.verbose > 0,
    ):
        if options.verbose > 0:
            print(summary(recording))
        failed = failed or bool(getattr(recording, "failure", ""))
    return 1 if failed else 0


def _folder(options: argparse.Namespace, agent: LoadedAgent) -> Path:
    if options.output_folder:
        return Path(options.output_folder)
    if options.format == "png":
        return writable_folder(agent.run.path, Path(), "The folder of images")
    return videos_of(agent.run.path)


def _check_combination(options: argparse.Namespace) -> None:
    """What is recorded: steps, or episodes, or the best and the worst of some, or tiles."""
    ways = {"--n-episodes": options.n_episodes, "--best-of": options.best_of, "--worst-of": options.worst_of}
    given = [flag for flag, value in {**ways, "--grid": options.grid}.items() if value is not None]
    if len(given) > 1 and given != ["--best-of", "--worst-of"]:
        raise ConfigurationError(f"{given[0]} and {given[-1]} exclude each other: give one")
    if options.format == "png" and (options.grid or options.fps):
        raise ConfigurationError(f"--{'grid' if options.grid else 'fps'} is for videos, and --format png makes images")


def _check_page(options: argparse.Namespace) -> None:
    """A page shows one episode, drawn by the browser."""
    flags = ("best_of", "worst_of", "grid", "fps", "overlay")
    refuse_for_pages(options, **{name: getattr(options, name) for name in flags})


def _check_selection(options: argparse.Namespace) -> None:
    if options.format != "png" and (options.every, options.first, options.last) != (1, 0, None):
        raise ConfigurationError("--every, --from and --to choose images: give --format png")
    if options.first < 0:
        raise ConfigurationError(f"--from must be at least 0, but got {options.first}")
    if options.last is not None and options.last < options.first:
        raise ConfigurationError(f"--to {options.last} lies before --from {options.first}")


def _plays_several(options: argparse.Namespace) -> bool:
    return options.format == "png" and not options.best_of and not options.worst_of


def _selection(options: argparse.Namespace) -> Selection:
    from rl_experiments.recording.images import Selection

    return Selection(options.every, options.first, options.last)


if __name__ == "__main__":
    run_and_exit(main)
