"""``python -m rl_experiments.doctor``: what this machine has, what is wrong, and what would make training faster."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rl_experiments.cli.main import on_one_line, run_and_exit
from rl_experiments.cli.parser import Parser

_SIGNS = {"ok": "ok", "note": "!", "missing": "-", "broken": "BROKEN"}


def build_parser() -> Parser:
    """:return: the parser of this command"""
    parser = Parser("doctor", "Say what this machine has, what is wrong with it, and what would make training faster.")
    parser.add_argument("-f", "--log-folder", metavar="FOLDER", default="logs", help="Where runs are to go.")
    parser.add_argument("--json", action="store_true", help="Print everything that was found as JSON.")
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse(arguments)
    from rl_experiments.reporting.doctor import examine

    diagnosis = examine(options.log_folder)
    if options.json:
        print(json.dumps(diagnosis.as_dict(), indent=2, allow_nan=False))
        return 0
    for title, findings in diagnosis.sections.items():
        print(f"{title.capitalize()}")
        for one in findings:
            print(f"  {_SIGNS[one.state]:<7} {one.name}: {on_one_line(one.text)}")
            if one.cure:
                print(f"          {on_one_line(one.cure)}")
    print("What would make training faster here")
    for advice in diagnosis.advice:
        print(f"  * {on_one_line(advice.text)}\n    because {on_one_line(advice.because)}")
    if not diagnosis.advice:
        print("  nothing that is known")
    broken = [one.name for one in diagnosis.broken]
    print(f"{len(broken)} to mend: {', '.join(broken)}" if broken else "Nothing is broken")
    return 0


if __name__ == "__main__":
    run_and_exit(main)
