"""``python -m rl_experiments.enjoy``: watch a trained agent, and score it."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_experiments.cli.agents import add_agent_flags, chosen_determinism, load_chosen_agent
from rl_experiments.cli.looks import add_look_flags, chosen_look
from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.parser import Parser, at_least_1
from rl_experiments.cli.recordings import check_folder, name_prefix, videos_of
from rl_experiments.cli.recordings import summary as describe
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import check_can_write, write_text
from rl_experiments.core.interruption import ended_by_signals

if TYPE_CHECKING:
    from rl_experiments.evaluation import Evaluation, Step
    from rl_experiments.recording.watching import VideoCamera
    from rl_experiments.runs import LoadedAgent

FORMATS = (".mp4", ".webm", ".gif")


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("enjoy", "Let a trained agent act, draw it where there is a screen, and score it.")
    add_agent_flags(parser, env="CartPole-v1", folder="rl-trained-agents", algo="ppo")
    parser.add_check(at_least_1("n_timesteps", "n_episodes"))
    add = parser.add_argument
    add(
        "-n",
        "--n-timesteps",
        metavar="N",
        type=int,
        default=None,
        help="Steps to act (default: 1000, or no limit with --n-episodes).",
    )
    add("--norm-reward", action="store_true", help="Show rewards as normalised in training, where they were.")
    add("--reward-log", metavar="FOLDER", default="", help="Folder for monitor files of the episodes.")
    add("--gym-packages", metavar="NAME", nargs="+", default=[], help="Packages to import, that register environments.")
    add("--custom-objects", action="store_true", help="Accepted for the zoo's sake: old files are always adapted.")
    add("-P", "--progress", action="store_true", help="Show a progress bar.")
    parser.add_ours("--n-episodes", metavar="N", type=int, help="Episodes to play, in place of a number of steps.")
    parser.add_ours(
        "--record",
        metavar="TARGET",
        nargs="?",
        const="",
        help="Make a video of what is played, in place of a window: into this folder (default: <run>/videos), or this"
        " .mp4, .webm or .gif file.",
    )
    parser.add_ours(
        "--overlay", action="store_true", help="In the video: step, reward, return and action below each picture."
    )
    add_look_flags(parser)
    parser.add_check(_check_pictures)
    parser.add_ours(
        "--json", metavar="FILE", help="Write returns and lengths of all episodes to this file; - is the output."
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    _check_targets(options)
    from rl_experiments.evaluation import PlayingError, PlayStopped
    from rl_experiments.evaluation.enjoying import watch

    _fetch_published(options)
    agent = load_chosen_agent(options, options.env_kwargs)
    if options.verbose > 0:
        print(f"Loading {agent.saved.path}")
    camera = _camera(options, agent) if options.record is not None else None
    try:
        with ended_by_signals(), camera or contextlib.nullcontext():
            result = watch(
                agent,
                n_episodes=options.n_episodes,
                n_steps=_n_steps(options),
                n_envs=options.n_envs,
                seed=options.seed,
                deterministic=chosen_determinism(options),
                render=not options.no_render,
                norm_reward=options.norm_reward,
                monitor_folder=Path(options.reward_log) if options.reward_log else None,
                camera=camera,
                show_progress=options.progress,
                announce=_announcer(options),
                say=lambda text: print(text, file=sys.stderr),
            )
    except PlayingError as error:
        if options.verbose > 0:
            print(summary(error.so_far))
        _report_videos(options, camera)
        raise
    except PlayStopped as stop:
        _report(options, agent, stop.so_far)
        _report_videos(options, camera)
        raise
    _report(options, agent, result)
    _report_videos(options, camera)
    return 1 if camera is not None and camera.failure is not None else 0


def _camera(options: argparse.Namespace, agent: LoadedAgent) -> VideoCamera:
    from rl_experiments.recording.filming import check_drawing
    from rl_experiments.recording.watching import VideoCamera

    look = chosen_look(options)
    check_drawing(agent, look)
    path = Path(options.record)
    if path.suffix not in FORMATS:
        played = f"episodes-1-to-{options.n_episodes}" if options.n_episodes else f"step-0-to-step-{_n_steps(options)}"
        folder = path if options.record else videos_of(agent.run.path)
        path = folder / f"{name_prefix(options, agent)}-{played}.mp4"
    return VideoCamera(path, options.n_envs, options.n_episodes, options.overlay, look)


def _n_steps(options: argparse.Namespace) -> int | None:
    return options.n_timesteps if options.n_timesteps is not None or options.n_episodes else 1000


def _check_pictures(options: argparse.Namespace) -> None:
    looks = (options.size, options.width, options.height, options.quality)
    if options.record is None and (options.overlay or looks != (1, None, None, None)):
        raise ConfigurationError("--overlay, --size, --width, --height and --quality are of a video: give --record")


def _check_targets(options: argparse.Namespace) -> None:
    """Hours of playing must not end in a folder that cannot be written."""
    if options.json and options.json != "-":
        check_can_write(Path(options.json), "--json")
    if options.record:
        is_file = Path(options.record).suffix in FORMATS
        check_folder(Path(options.record).parent if is_file else Path(options.record), "--record")
    if options.reward_log:
        check_can_write(Path(options.reward_log) / "0.monitor.csv", "--reward-log")


def _report(options: argparse.Namespace, agent: LoadedAgent, result: Evaluation) -> None:
    if options.verbose > 0:
        print(summary(result))
    if options.json:
        content = {
            "algorithm": agent.algorithm,
            "environment": agent.run.env_id,
            "played_in": agent.recipe.env_id,
            "model": str(agent.saved.path),
            **result.as_dict(),
        }
        _write_json(options.json, content)


def _report_videos(options: argparse.Namespace, camera: VideoCamera | None) -> None:
    for recording in camera.recordings if camera is not None and options.verbose > 0 else ():
        print(describe(recording))


def _fetch_published(options: argparse.Namespace) -> None:
    """As the zoo: an agent that is not in ``rl-trained-agents`` is downloaded from the Hub's organisation sb3."""
    if "rl-trained-agents" not in options.folder or options.exp_id > 0:
        return
    from rl_experiments.core.errors import NotFoundError, RLExperimentsError
    from rl_experiments.runs import find_run

    try:
        find_run(options.folder, options.algo, options.env, options.exp_id)
    except NotFoundError as missing:
        if "There is one " in str(missing):  # elsewhere on this machine, and the message says where
            raise
        from rl_experiments.hub import download_run

        print(f"{missing} Downloading it from the Hub (sb3)", file=sys.stderr)
        try:
            download_run(options.algo, options.env, options.folder, exp_id=options.exp_id)
        except RLExperimentsError as error:
            raise NotFoundError(f"{missing} {error}") from None


def summary(result: Evaluation) -> str:
    """:return: the statistics, for people"""
    lines = []
    if result.success_rate is not None:
        lines.append(f"Success rate: {100 * result.success_rate:.2f}%")
    if result.episodes:
        lines.append(f"{len(result.episodes)} Episodes")
        lines.append(f"Mean reward: {result.mean_reward:.2f} +/- {result.std_reward:.2f}")
        lines.append(f"Mean episode length: {result.lengths.mean():.2f} +/- {result.lengths.std():.2f}")
    if result.n_not_finite:
        lines.append(f"{result.n_not_finite} of these returns are NaN or infinite (null in JSON)")
    for episode in result.unfinished:
        lines.append(
            f"Unfinished episode (not counted): reward {episode.total_reward:.2f} after {episode.length} steps"
        )
    return "\n".join(lines) if lines else "No step was made"


def _announcer(options: argparse.Namespace) -> Any:
    def announce(step: Step) -> None:
        for episode in step.finished if options.verbose > 0 else ():
            print(f"Episode Reward: {episode.total_reward:.2f}")
            print("Episode Length", episode.length)
            if options.verbose > 1 and episode.success is not None:
                print("Success?", episode.success)

    return announce


def _write_json(target: str, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    path = Path(target)
    if target == "-":
        print(text, end="")
    elif path.exists() and not path.is_file():  # a device or a pipe, which must not be replaced by a file
        path.write_text(text, encoding="utf-8")
    else:
        write_text(path, text)


if __name__ == "__main__":
    run_and_exit(main)
