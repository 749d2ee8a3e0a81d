"""What several seeds of one experiment reached, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl_experiments.reporting.report.bootstrap import Bootstrap
from rl_experiments.reporting.report.statistics import interquartile_mean


def summary(scores: Sequence[float | None]) -> str:
    """
    :param scores: of each finished run the mean return of its last evaluation, None where it had none
    :return: mean, median and interquartile mean, with the interval that the seeds leave
    """
    known = np.array([score for score in scores if score is not None and np.isfinite(score)], dtype=float)
    if not len(known):
        return "No seed has a score: --eval-freq below the number of steps gives one"
    bootstrap = Bootstrap()
    iqm = bootstrap.interval([known], interquartile_mean)
    parts = [f"mean {known.mean():.2f}", f"median {np.median(known):.2f}", f"IQM {iqm.value:.2f}"]
    if iqm.low is not None:
        parts[-1] += f" ({100 * bootstrap.confidence:.0f} % interval {iqm.low:.2f} to {iqm.high:.2f})"
    seeds = "1 seed" if len(known) == 1 else f"{len(known)} seeds"
    return f"Return of the last evaluation over {seeds}: {', '.join(parts)}"
