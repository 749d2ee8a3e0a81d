"""Playing every agent under a folder, many at once, and writing a table."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.files import check_can_write
from rl_experiments.core.interruption import Interruption
from rl_experiments.core.processes import available_cores
from rl_experiments.core.progress import progress_bar
from rl_experiments.launching import Job, Outcome, Pool
from rl_experiments.reporting.agents import FoundAgent, find_agents
from rl_experiments.reporting.playing import Play
from rl_experiments.reporting.published import PublishedTable, read_published
from rl_experiments.reporting.results import FAILED, NOT_PLAYED, PLAYED, AgentResult, ResultFolder, not_played
from rl_experiments.reporting.settings import Benchmark
from rl_experiments.reporting.tables import write_tables

SILENCE = 600.0
"""Seconds without a step after which an agent is given up."""
_BETWEEN_DRAWINGS = 0.5
_MOST_SHOWN = 3


@dataclass(frozen=True)
class BenchmarkResult:
    """
    :param agents: what was found out about each, sorted by algorithm and environment
    :param files: the table, by format: ``md``, ``csv`` and ``json``
    :param signal: what stopped it, None where it came to its end
    """

    agents: tuple[AgentResult, ...]
    files: dict[str, Path]
    signal: int | None = None

    @property
    def n_failed(self) -> int:
        """How many agents have no score although it was their turn."""
        return sum(agent.status == FAILED for agent in self.agents)


def benchmark_agents(
    log_dir: str | Path, *, say: Callable[[str], None] | None = None, show_progress: bool = False, **settings: Any
) -> BenchmarkResult:
    """
    Play every agent under a folder, many at once, and write a table. What was played before with the same settings, and
    has not changed since, is not played again.

    :param log_dir: the folder, ``<log_dir>/<algo>/<env>_<n>``
    :param say: takes a line for each agent
    :param show_progress: draw a bar, if the output is a terminal
    :param settings: fields of :class:`rl_experiments.reporting.settings.Benchmark`
    :raises RLExperimentsError: if there is no agent, or a setting cannot work
    """
    return run_benchmark(Benchmark(log_dir=os.fspath(log_dir), **settings), say=say, show_progress=show_progress)


def run_benchmark(
    benchmark: Benchmark, *, say: Callable[[str], None] | None = None, show_progress: bool = False
) -> BenchmarkResult:
    """See :func:`benchmark_agents`."""
    published = read_published(benchmark.published) if benchmark.published else None
    if published is not None and published.n_unread and say is not None:
        say(f"{published.n_unread} of the rows of {benchmark.published} could not be read")
    folder = Path(benchmark.benchmark_dir)
    agents = find_agents(benchmark.log_dir)
    check_can_write(folder / "benchmark.md", "--benchmark-dir")
    if benchmark.test_mode:
        del agents[1:]
    interruption = Interruption()
    with interruption.listening(), _alone_in(folder):
        session = _Session(benchmark, agents, published, interruption, say or (lambda _: None))
        session.play(show_progress)
        return session.result()


class _Session:
    """The agents of one benchmark, and what is known of them so far."""

    def __init__(
        self,
        benchmark: Benchmark,
        agents: list[FoundAgent],
        published: PublishedTable | None,
        interruption: Interruption,
        say: Callable[[str], None],
    ) -> None:
        self._benchmark, self._interruption, self._say = benchmark, interruption, say
        self._agents = {agent.name: agent for agent in agents}
        self._published = published
        self._folder = ResultFolder(Path(benchmark.benchmark_dir), benchmark.what_counts())
        self._results = {agent.name: self._folder.known(agent) or not_played(agent) for agent in agents}

    def play(self, show_progress: bool) -> None:
        """Play those that have no result yet, until all are done or a signal comes."""
        self._folder.clear_unfinished()
        waiting = [name for name, result in self._results.items() if result.status == NOT_PLAYED]
        n_known = len(self._agents) - len(waiting)
        if n_known:
            self._say(f"{n_known} of {len(self._agents)} agents were played before")
        if not waiting:
            return
        _import_what_all_need(self._benchmark.gym_packages)
        threads = max(self._benchmark.num_threads, 1)
        n_workers = min(self._benchmark.jobs or max(available_cores() // threads, 1), len(waiting))
        pool = Pool(
            n_workers,
            n_threads=threads,
            silence=min(SILENCE, self._benchmark.timeout),
            limit=self._benchmark.timeout,
            interruption=self._interruption,
        )
        with (
            progress_bar(len(self._agents), "playing", "agent", show_progress) as bar,
            contextlib.closing(pool.run((self._job(name) for name in waiting), _Drawing(bar, pool))) as outcomes,
            contextlib.suppress(KeyboardInterrupt),
        ):
            bar.update(n_known)
            for outcome in outcomes:
                self._take(outcome, bar)
        self._folder.clear_unfinished()

    def result(self) -> BenchmarkResult:
        """:return: what is known, which is written to the table too"""
        agents = tuple(result.with_published(self._published) for result in self._results.values())
        shown = {**self._benchmark.what_counts(), "log_dir": self._benchmark.log_dir}
        files = write_tables(Path(self._benchmark.benchmark_dir), agents, shown)
        return BenchmarkResult(agents, files, self._interruption.signal)

    def _job(self, name: str) -> Job:
        agent = self._agents[name]
        folder, log = self._folder.begin(agent)
        return Job(name, Play(agent.run.path, self._benchmark, folder), log)

    def _take(self, outcome: Outcome, bar: Any) -> None:
        name = outcome.job.name
        self._results[name] = self._folder.finish(self._agents[name], outcome.result, outcome.reason)
        self.result()
        bar.update(1)
        n_done = sum(result.status != NOT_PLAYED for result in self._results.values())
        text = f"[{n_done}/{len(self._results)}] {describe(self._results[name].with_published(self._published))}"
        if bar.disable:
            self._say(text)
        else:
            with bar.external_write_mode():
                self._say(text)


class _Drawing:
    """Shows which agents are under way, now and then."""

    def __init__(self, bar: Any, pool: Pool) -> None:
        self._bar, self._pool = bar, pool
        self._last = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if self._bar.disable or now - self._last < _BETWEEN_DRAWINGS:
            return
        self._last = now
        shown = [f"{name} {count:,}" for name, count in self._pool.counts.items()]
        more = f", {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
        self._bar.set_postfix_str(", ".join(shown[:_MOST_SHOWN]) + more)


def describe(result: AgentResult) -> str:
    """:return: a result in one line"""
    what = f"{result.algorithm} {result.environment}: "
    if result.status != PLAYED or result.score is None:
        return f"{what}{result.status}: {result.reason}" if result.reason else f"{what}{result.status}"
    score = result.score
    text = (
        f"{what}{score['mean']:.2f} +/- {score['std']:.2f} over {score['episodes']} episodes ({score['seconds']:.0f} s)"
    )
    if result.published is not None:
        text += f", published {result.published.mean:.2f}"
        if result.difference_in_standard_errors is not None:
            text += f" ({result.difference_in_standard_errors:+.1f} standard errors)"
    return text


def _import_what_all_need(gym_packages: tuple[str, ...]) -> None:
    """Once here, rather than once in each process that is forked from this one."""
    import rl_experiments.evaluation.enjoying
    import rl_experiments.runs.loading  # noqa: F401
    from rl_experiments.envs.registry import import_packages

    import_packages(gym_packages)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """
    Keep other benchmarks out of the folder of results.

    :raises ConfigurationError: if one is there
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigurationError(f"Another benchmark writes to {folder}: choose another --benchmark-dir") from None
    try:
        yield
    finally:
        lock.release()
