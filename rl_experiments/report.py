"""``python -m rl_experiments.report``: what a set of runs shows, with intervals, in one HTML file or in others."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rl_experiments.cli.main import run_and_exit
from rl_experiments.cli.parser import Parser, add_settings, settings_from
from rl_experiments.reporting.report.settings import ReportSettings


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("report", "Say what a set of runs shows, with intervals, in one HTML file or in others.")
    parser.add_argument(
        "folders",
        nargs="*",
        default=[],
        metavar="FOLDER",
        help="Folders of runs (default: logs, or those of --compare).",
    )
    parser.add_argument("-f", "--folder", "--log-folder", nargs="+", metavar="FOLDER", help="The same.")
    add_settings(parser, ReportSettings)
    parser.add_argument("--quiet", action="store_true", help="Print nothing but errors.")
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    parser.add_check(lambda options: settings_from(ReportSettings, options))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    settings = settings_from(ReportSettings, options)
    folders = [*options.folders, *(options.folder or [])]
    from rl_experiments.reporting.report.reporting import make_report

    def complain(text: str) -> None:
        print(text, file=sys.stderr)

    result = make_report(folders, settings, None if options.quiet else complain, show_progress=not options.quiet)
    if not options.quiet:
        report = result.report
        print(f"{len(report.runs)} runs, {len(report.labels)} groups, {len(report.environments)} environments")
        for trouble in report.trouble:
            print(f"{trouble.kind}: {trouble.run.listed.path} ({trouble.run.name}): {trouble.reason}")
        print(f"Written: {', '.join(str(file) for file in _few(result.files))}")
    return 0


def _few(files: Sequence[object]) -> list[object]:
    most = 4
    return [*files[:most], f"and {len(files) - most} more"] if len(files) > most else list(files)


if __name__ == "__main__":
    run_and_exit(main)
