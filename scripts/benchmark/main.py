"""
How fast we are beside RL Baselines3 Zoo: both sides in turn, on this machine, with the same hyperparameters.

    .venv/bin/python scripts/benchmark.py                     everything, about 25 minutes on two cores
    .venv/bin/python scripts/benchmark.py --quick             one short round, to see that it works
    .venv/bin/python scripts/benchmark.py --only dqn-atari publish --rounds 5 --results speed.json
    .venv/bin/python scripts/benchmark.py --show --results speed.json

It prints tables in Markdown on stdout, and what it is doing on stderr. A speed is environment steps per second of the
learning itself: a callback, the same for both sides, takes the time between the beginnings of two rollouts, after the
warm-up. A ratio is one of ours over the better of the zoo's in the same round; the table has its median over the
rounds, and the same for steps per second of processor time, which other processes disturb less. A row for
something new is one more function in ``BENCHMARKS``.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from .checkpoints import checkpoints
from .common import BenchmarkError, Plan, Row, say
from .evaluation import evaluation
from .publishing import publishing
from .recording import FILMED, recording
from .report import machine, markdown, summary_table
from .results import Results
from .sbx import sbx
from .startup import start_up
from .tables import tables
from .training import CASES, first_step, training
from .tuning import tuning
from .vectors import vectors

BENCHMARKS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "startup": start_up,
    "first-step": first_step,
    **{name: partial(training, case) for name, case in CASES.items()},
    "sbx": sbx,
    "checkpoints": checkpoints,
    "evaluation": evaluation,
    "tables": tables,
    "publish": publishing,
    "tuning": tuning,
    "vec-env": vectors,
    **{name: partial(recording, name) for name in FILMED},
}


def build_parser() -> argparse.ArgumentParser:
    """:return: the parser"""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(BENCHMARKS), nargs="+", help="Only these.")
    parser.add_argument("--rounds", type=int, help="Rounds, in each of which each side trains once. (default: 3)")
    parser.add_argument("--quick", action="store_true", help="Short measurements, and one round if not told otherwise.")
    parser.add_argument(
        "--patience",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="How long to wait for a quiet machine before each training on an idle one. (default: %(default)s)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="Keep everything that was measured in this file, and print the tables of all groups in it: groups may be"
        " measured one at a time.",
    )
    parser.add_argument("--show", action="store_true", help="Measure nothing: print the tables of --results.")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    options = build_parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that nothing is left running
    names = [] if options.show else options.only or list(BENCHMARKS)
    rounds = max(1, options.rounds or (1 if options.quick else 3))
    seconds, start_ups = (2.0, 2) if options.quick else (5.0, 5)
    code = 0
    try:
        results = Results(options.results)
    except BenchmarkError as error:
        say(f"benchmark.py: {error}")
        return 2
    with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
        plan = Plan(Path(folder), rounds, seconds, start_ups, options.patience)
        for name in names:
            about, rows = machine(), []
            try:
                rows.extend(BENCHMARKS[name](plan))
            except (BenchmarkError, subprocess.TimeoutExpired) as error:
                say(f"benchmark.py: {name}: {error}")
                code = 1
            else:
                results.put(name, about, rounds, rows)
    if results.groups:
        print("\n".join(f"- {name}: {'; '.join(values)}" for name, values in results.machines().items()))
        rows = results.rows(list(BENCHMARKS))
        print(f"\n{summary_table(rows)}\n{markdown(rows)}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
