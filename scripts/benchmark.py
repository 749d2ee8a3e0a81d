#!/usr/bin/env python3
"""``python scripts/benchmark.py``: how fast we are beside RL Baselines3 Zoo; the package beside this file measures."""

import sys

from benchmark.main import main

if __name__ == "__main__":
    sys.exit(main())
