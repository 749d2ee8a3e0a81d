"""``-m tests.helpers.light_probe COMMAND HEAVY,... ARGUMENTS``: which of the heavy modules a command has imported."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

command, heavy, *arguments = sys.argv[1:]
assert not set(heavy.split(",")) & set(sys.modules)
try:
    code = importlib.import_module(f"rl_experiments.{command}").main(arguments)
except SystemExit as stop:
    code = stop.code
Path("probe.json").write_text(json.dumps([code or 0, [name for name in heavy.split(",") if name in sys.modules]]))
