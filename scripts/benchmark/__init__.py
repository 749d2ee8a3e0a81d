"""How fast we are beside RL Baselines3 Zoo; ``python scripts/benchmark.py`` runs it."""

from .common import BenchmarkError, Headline, Plan, Row
from .main import BENCHMARKS, main
from .processes import busy_process, child_environment
from .report import markdown
from .results import Results
from .tables import tables
from .training import CASES, Case, Measurement, sides, speed_row, start_row, train, write_configuration

__all__ = [
    "BENCHMARKS",
    "CASES",
    "BenchmarkError",
    "Case",
    "Headline",
    "Measurement",
    "Plan",
    "Results",
    "Row",
    "busy_process",
    "child_environment",
    "main",
    "markdown",
    "sides",
    "speed_row",
    "start_row",
    "tables",
    "train",
    "write_configuration",
]
