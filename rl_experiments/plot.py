"""``python -m rl_experiments.plot train|evaluations|compare``: a quick look, with the flags of the zoo's plots."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rl_experiments.algorithms.registry import names_of_runs
from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.parser import Parser, at_least_1, checked_choice
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint

KINDS = {
    "train": "rolling means over training episodes",
    "evaluations": "evaluations of algorithms in environments, as curves and as a table",
    "compare": "results that 'plot evaluations -o FILE' has stored, compared",
}
_FORMATS = ("png", "svg", "pdf")
_LEGENDS = (
    "best",
    "upper right",
    "upper left",
    "lower left",
    "lower right",
    "right",
    "center left",
    "center right",
    "lower center",
    "upper center",
    "center",
)


def usage() -> str:
    """:return: the kinds of plots"""
    width = max(map(len, KINDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in KINDS.items()]
    return "\n".join([f"usage: python -m rl_experiments.plot {{{','.join(KINDS)}}} [--help] ...", "", *lines])


def train_parser() -> Parser:
    """:return: the parser of ``plot train``"""
    parser = Parser("plot train", "Show rolling means over training episodes.")
    add = parser.add_argument
    add("-a", "--algo", metavar="NAME", required=True, type=_algorithm(), help="The algorithm.")
    add("-e", "--env", metavar="NAME", nargs="+", required=True, help="Environments, by a part of their names.")
    add("-f", "--exp-folder", metavar="FOLDER", required=True, help="Folder of all runs.")
    _add_size(parser)
    add("-max", "--max-timesteps", metavar="N", type=int, help="Only so many steps.")
    add("-x", "--x-axis", choices=["steps", "episodes", "time"], default="steps", help="Over what.")
    add("-y", "--y-axis", choices=["success", "reward", "length"], default="reward", help="What.")
    add("-w", "--episode-window", metavar="N", type=int, default=100, help="Episodes of one mean.")
    _add_ours(parser)
    parser.add_check(at_least_1("episode_window"))
    return parser


def evaluations_parser() -> Parser:
    """:return: the parser of ``plot evaluations``"""
    parser = Parser("plot evaluations", "Show evaluations of algorithms in environments, as curves and as a table.")
    add = parser.add_argument
    add("-a", "--algos", metavar="NAME", nargs="+", required=True, type=_algorithm(), help="Algorithms.")
    add("-e", "--env", metavar="NAME", nargs="+", required=True, help="Environments, by a part of their names.")
    add("-f", "--exp-folders", metavar="FOLDER", nargs="+", required=True, help="Folders of all runs.")
    add("-l", "--labels", metavar="TEXT", nargs="+", help="What to call each folder.")
    add(
        "-k",
        "--key",
        metavar="NAME",
        default="results",
        help="What of evaluations.npz: results, ep_lengths, successes.",
    )
    add("-max", "--max-timesteps", metavar="N", type=int, default=2_000_000, help="Only so many steps.")
    add("-min", "--min-timesteps", metavar="N", type=int, default=-1, help="Leave shorter runs out.")
    add("-o", "--output", metavar="FILE", help="Store the results in FILE.pkl, for 'plot compare' and the zoo.")
    add("-median", "--median", action="store_true", help="The median in the table, in place of the mean.")
    add("--no-million", action="store_true", help="Steps, not millions of them.")
    add("--no-display", action="store_true", help="Show no figure.")
    add("-print", "--print-n-trials", action="store_true", help="Print the number of runs of each result.")
    _add_ours(parser)
    parser.add_check(_check_labels)
    return parser


def compare_parser() -> Parser:
    """:return: the parser of ``plot compare``"""
    parser = Parser("plot compare", "Compare results that 'plot evaluations -o FILE', or the zoo, has stored.")
    add = parser.add_argument
    add("-i", "--input", metavar="FILE", required=True, help="The results.")
    add("-skip", "--skip-envs", metavar="NAME", nargs="+", default=[], help="Environments to leave out.")
    add("--keep-envs", metavar="NAME", nargs="+", default=[], help="Environments to keep.")
    add("--skip-keys", metavar="KEY", nargs="+", default=[], help="Results to leave out.")
    add("--keep-keys", metavar="KEY", nargs="+", default=[], help="Results to keep.")
    add("--no-million", action="store_true", help="Steps, not millions of them.")
    add("--skip-timesteps", action="store_true", help="No learning curves.")
    add("-o", "--output", metavar="FILE", help="Where the figure of all scores goes.")
    add("--format", metavar="NAME", default="svg", type=checked_choice(_FORMATS, "format"), help="Its format.")
    add(
        "-loc",
        "--legend-loc",
        default="best",
        metavar="PLACE",
        type=checked_choice(_LEGENDS, "place"),
        help="Of the legend.",
    )
    _add_size(parser)
    add("-l", "--labels", metavar="TEXT", nargs="+", default=[], help="What to call the results.")
    add("-b", "--boxplot", action="store_true", help="Also boxes.")
    add("-r", "--rliable", action="store_true", help="Also aggregates and performance profiles, with intervals.")
    add("-vs", "--versus", action="store_true", help="With -r: the probability of improvement.")
    add("-iqm", "--iqm", action="store_true", help="With -r: the interquartile mean over the training.")
    add("-ci", "--ci-size", metavar="NUMBER", type=float, default=0.95, help="Confidence of the intervals.")
    add("-latex", "--latex", action="store_true", help="Set texts with LaTeX, which must be installed.")
    add("--merge", metavar="FILE", nargs="+", default=[], help="Further results.")
    _add_ours(parser)
    parser.add_check(_check_confidence)
    return parser


def _add_size(parser: Parser) -> None:
    add = parser.add_argument
    add("--figsize", metavar=("W", "H"), nargs=2, type=float, default=[6.4, 4.8], help="Size in inches.")
    add("--fontsize", metavar="N", type=int, default=14, help="Size of the font.")


def _add_ours(parser: Parser) -> None:
    text = "Write the figures there (default: show them; without a screen: plots)."
    parser.add_ours("--save", metavar="FOLDER", help=text)
    parser.add_ours("--save-format", nargs="+", choices=_FORMATS, default=["png"], help="Formats of these files.")
    parser.add_ours("--debug", action="store_true", help="Show the traceback of an error.")


def _algorithm() -> Any:
    known = checked_choice(names_of_runs(), "algorithm")
    return lambda text: known(text.lower())


def _check_labels(options: argparse.Namespace) -> None:
    if options.labels and len(options.labels) != len(options.exp_folders):
        raise ConfigurationError(f"--labels: expected {len(options.exp_folders)}, one for each folder")


def _check_confidence(options: argparse.Namespace) -> None:
    if not 0 < options.ci_size < 1:
        raise ConfigurationError(f"--ci-size must be between 0 and 1, but got {options.ci_size:g}")


def _look(options: argparse.Namespace) -> Any:
    from rl_experiments.reporting.plots.showing import Look

    return Look(
        figsize=tuple(getattr(options, "figsize", (6.4, 4.8))),
        fontsize=getattr(options, "fontsize", 14),
        folder=Path(options.save) if options.save else None,
        formats=tuple(options.save_format),
        display=not getattr(options, "no_display", False),
    )


def _train(options: argparse.Namespace) -> None:
    from rl_experiments.reporting.plots.training import TrainingPlot, plot_training

    plot = TrainingPlot(
        options.algo,
        options.env,
        options.exp_folder,
        options.x_axis,
        options.y_axis,
        options.episode_window,
        options.max_timesteps,
    )
    plot_training(plot, _look(options))


def _evaluations(options: argparse.Namespace) -> None:
    from rl_experiments.reporting.plots.evaluations import EvaluationPlot, plot_evaluations

    plot = EvaluationPlot(
        options.algos,
        options.env,
        options.exp_folders,
        options.labels or (),
        options.key,
        options.max_timesteps,
        options.min_timesteps,
        options.median,
        not options.no_million,
        options.print_n_trials,
        Path(options.output) if options.output else None,
    )
    plot_evaluations(plot, _look(options))


def _compare(options: argparse.Namespace) -> None:
    from rl_experiments.reporting.plots.comparing import ComparisonPlot, plot_comparison

    if options.latex:
        if shutil.which("latex") is None:
            raise ConfigurationError("--latex needs LaTeX, and there is no program 'latex' here. Leave it out")
        import matplotlib

        matplotlib.rcParams["text.usetex"] = True
    plot = ComparisonPlot(
        options.input,
        options.merge,
        options.skip_envs,
        options.keep_envs,
        options.skip_keys,
        options.keep_keys,
        options.labels,
        not options.no_million,
        options.skip_timesteps,
        options.boxplot,
        options.rliable,
        options.versus,
        options.iqm,
        options.ci_size,
        options.legend_loc,
        options.output,
        options.format,
    )
    plot_comparison(plot, _look(options))


PARSERS: dict[str, tuple[Callable[[], Parser], Callable[[argparse.Namespace], None]]] = {
    "train": (train_parser, _train),
    "evaluations": (evaluations_parser, _evaluations),
    "compare": (compare_parser, _compare),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in ("-h", "--help"):
        print(usage())
        return 0
    if not words or words[0] not in PARSERS:
        what = f"there is no plot '{words[0]}'.{hint(words[0], KINDS)}" if words else "say which plot"
        print(f"Error: {what}", file=sys.stderr)
        print("See python -m rl_experiments.plot --help", file=sys.stderr)
        return 2
    make_parser, run = PARSERS[words[0]]
    run(make_parser().parse(words[1:]))
    return 0


if __name__ == "__main__":
    run_and_exit(main)
