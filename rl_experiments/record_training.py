"""``python -m rl_experiments.record_training``: the agent at every checkpoint, side by side in one video."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_experiments.cli.agents import add_agent_flags, chosen_determinism
from rl_experiments.cli.looks import add_look_flags, chosen_look, refuse_for_pages
from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.parser import Parser, at_least_1, checked_choice
from rl_experiments.cli.recordings import check_folder, check_fps, videos_of
from rl_experiments.core.devices import check_device
from rl_experiments.core.errors import ConfigurationError

if TYPE_CHECKING:
    from rl_experiments.recording.comparing import Comparison
    from rl_experiments.recording.replays.training import TrainingPage

NAME = "training"
FORMATS = ("mp4", "html")
LIMIT_OF_TILES = 64


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("record_training", "Record the agent at every checkpoint of a run, side by side in one video.")
    add_agent_flags(
        parser,
        env="CartPole-v1",
        folder="rl-trained-agents",
        algo="ppo",
        no_render="Accepted for the zoo's sake: no window is opened anyway.",
        one_model=False,
    )
    parser.mark_ours("--num-threads", "--verbose", "--device", "--no-render", "--stochastic", "--env-kwargs")
    add, ours = parser.add_argument, parser.add_ours
    add("-o", "--output-folder", metavar="FOLDER", help="Where to put the videos (default: <run>/videos).")
    add("-n", "--n-timesteps", metavar="N", type=int, default=1000, help="Longest length of each episode, in steps.")
    add("-g", "--gif", action="store_true", help="Accepted for the zoo's sake: there is a GIF anyway.")
    ours("--no-gif", action="store_true", help="Write no GIF.")
    ours(
        "--format",
        metavar="NAME",
        type=checked_choice(FORMATS, "format"),
        default=FORMATS[0],
        help="mp4; or html for a page with a slider over the training, in environments of Brax.",
    )
    ours(
        "--max-tiles",
        metavar="N",
        type=int,
        default=16,
        help="Agents in the video; of more checkpoints some between the first and the last are left out evenly.",
    )
    ours(
        "--models",
        metavar="NAME",
        nargs="+",
        default=[],
        help="The agents to show: steps of checkpoints, best, final (default: all).",
    )
    ours("--fps", metavar="NUMBER", type=float, help="Frames per second (default: real time).")
    ours(
        "--gym-packages", metavar="NAME", nargs="+", default=[], help="Packages to import, that register environments."
    )
    add_look_flags(parser)
    parser.add_check(at_least_1("n_timesteps", "max_tiles"))
    parser.add_check(check_fps)
    parser.add_check(_check_tiles)
    parser.add_check(_check_page)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    if options.output_folder:
        check_folder(Path(options.output_folder), "--output-folder")
    import torch

    from rl_experiments.envs.registry import import_packages
    from rl_experiments.recording.comparing import chosen_models, label_of, record_comparison
    from rl_experiments.runs import find_run

    check_device(options.device)
    torch.set_num_threads(1)  # each agent plays in a process that is forked from this one
    packages = tuple(options.gym_packages)
    import_packages(packages)
    run = find_run(options.folder, options.algo, options.env, options.exp_id, None)
    models, left_out = chosen_models(run, [name.replace(",", "") for name in options.models], options.max_tiles)
    if options.n_envs > 1:
        _tell(f"--n-envs {options.n_envs}: each tile shows one environment")
    if left_out:
        shown = ", ".join(label_of(which) for which in left_out[:6]) + (", ..." if len(left_out) > 6 else "")
        _tell(f"--max-tiles {options.max_tiles}: {len(left_out)} models are left out: {shown}")
    module = options.env.rpartition(":")[0]
    folder = Path(options.output_folder) if options.output_folder else videos_of(run.path)
    wishes: dict[str, Any] = {
        "n_steps": options.n_timesteps,
        "seed": options.seed,
        "deterministic": chosen_determinism(options),
        "loading": {
            "device": "cpu" if options.device == "auto" else options.device,
            "env_kwargs": options.env_kwargs,
            "gym_packages": tuple(dict.fromkeys([*packages, *([module] if module else [])])),
            "trust": options.trust,
        },
        "show_progress": options.verbose > 0,
        "tell": _tell,
    }
    path = folder / f"{NAME}.{options.format}"
    recorded: Comparison | TrainingPage
    if options.format == "html":
        from rl_experiments.recording.replays.training import record_training_page

        recorded = record_training_page(run, models, path, **wishes)
    else:
        recorded = record_comparison(
            run, models, path, fps=options.fps, look=chosen_look(options), with_gif=not options.no_gif, **wishes
        )
    if options.verbose > 0:
        print(summary(recorded))
    return 0


def summary(recorded: Comparison | TrainingPage) -> str:
    """:return: what was recorded"""
    from rl_experiments.recording.comparing import Comparison

    lines = [f"{label}: {'cut off' if total is None else f'reward {total:.2f}'}" for label, total in recorded.shown]
    if not isinstance(recorded, Comparison):
        return "\n".join([*lines, f"Replay: {recorded.path}"])
    seconds = recorded.n_frames / recorded.fps
    lines.append(f"Video: {recorded.path} ({recorded.n_frames} frames, {seconds:.1f} s)")
    if recorded.gif is not None and recorded.gif != recorded.path:
        lines.append(f"GIF:   {recorded.gif}")
    return "\n".join(lines)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _check_tiles(options: argparse.Namespace) -> None:
    if options.max_tiles > LIMIT_OF_TILES:
        raise ConfigurationError(f"--max-tiles must be from 1 to {LIMIT_OF_TILES}, but got {options.max_tiles}")


def _check_page(options: argparse.Namespace) -> None:
    refuse_for_pages(options, fps=options.fps)


if __name__ == "__main__":
    run_and_exit(main)
