"""The script that shows that the learner learns what SB3's does, in its short version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_short_version_finds_no_difference(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "scripts/learning_check.py",
        "--quick",
        "--updates",
        "10",
        "--json",
        str(tmp_path / "all"),
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=1800)
    assert result.returncode == 0, result.stdout + result.stderr
    results = json.loads((tmp_path / "all").read_text())["results"]
    assert set(results) == {"dqn-atari", "ppo-atari", "ppo-cartpole", "sac-hopper"}
    assert all(row["weights"] < 1e-5 for row in results["dqn-atari"] if row["updates"] == 1)
    assert all(row["ours"] is not None for row in results["ppo-cartpole"])
