"""Several seeds of one experiment: a grid of one algorithm and one environment, checked before any run begins."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from rl_experiments.core.isolation import IsolatedError
from rl_experiments.core.options import options_of
from rl_experiments.launching.grid.checking import Resolved, check_cell
from rl_experiments.launching.grid.running import GridResult, run_grid
from rl_experiments.launching.grid.settings import AUTO, OF_THE_GRID, Seeds, parse_seeds
from rl_experiments.training.settings import Experiment


class SeedsRun:
    """
    :param experiment: what all seeds share
    :param seeds: which, as :func:`~rl_experiments.launching.grid.settings.parse_seeds` reads them
    :param jobs: runs at once; None is as many as cores and memory have room for
    :param given: names of the fields that the user said
    :param resolve: finds the tuned trial that the experiment names
    :raises ConfigurationError: if a setting makes no sense for several seeds
    """

    def __init__(
        self,
        experiment: Experiment,
        seeds: str,
        jobs: int | str | None,
        given: Mapping[str, object],
        resolve: Callable[[Experiment], Resolved],
    ) -> None:
        self._resolve = resolve
        # One thread each: more only wait for one another when all cores train.
        n_threads = experiment.num_threads if isinstance(experiment.num_threads, int) else 1
        named = experiment if experiment.from_study is None else resolve(experiment)[0]
        said = {declared.name for declared in options_of(Experiment)} & set(given) - set(OF_THE_GRID)
        self.grid = Seeds(
            algos=(named.algo,),
            envs=(named.env,),
            seeds=parse_seeds(seeds),
            jobs=AUTO if jobs is None else jobs,
            num_threads=n_threads,
            experiment={name: getattr(experiment, name) for name in sorted(said)},
        )
        self._first = self.grid.experiment_of(self.grid.cells[0])

    @property
    def report_command(self) -> str:
        """What shows more of these runs."""
        cell = self.grid.cells[0]
        conditions = [f"algo={cell.algorithm}", f"env={cell.environment}"]
        return shlex.join(["python", "-m", "rl_experiments.report", self.grid.log_folder, "--filter", *conditions])

    def describe(self) -> str:
        """:return: the configuration that all share, and the command of each run"""
        experiment, trial = self._resolve(self._first)
        commands = [
            f"python -m rl_experiments.train {shlex.join(self.grid.words_of(cell))}" for cell in self.grid.cells
        ]
        return "\n".join([experiment.describe(trial), "Runs", *commands])

    def run(self, say: Callable[[str], None] | None) -> GridResult:
        """
        Train what is missing.

        :param say: takes a line for each run that ends; with it, a terminal shows a table too
        :raises RLExperimentsError: if no run could begin
        """
        try:
            needed = check_cell(self._first, self._resolve)
        except IsolatedError:  # what crashes here may not do so in a process that runs nothing else
            needed = None
        return run_grid(self.grid, say, live=say is not None, needed=needed)
