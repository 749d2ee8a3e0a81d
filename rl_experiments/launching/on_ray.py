"""
Jobs as Ray tasks, on this machine or a cluster; a node that dies costs no job but its own, which count as lost.

A task talks to the process that started it through an actor on the node of that process. What a job writes goes to the
folders that it names: on several machines, these must be shared.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import threading
import time
import traceback
from collections import deque
from typing import Any

from rl_experiments.core.errors import ConfigurationError, MissingPackageError
from rl_experiments.core.isolation import describe_error
from rl_experiments.launching.jobs import Job, Outcome, Question
from rl_experiments.launching.processes import print_to

_BETWEEN_QUESTIONS = 0.05
"""Seconds between two looks of a task for its answer."""
_BETWEEN_BEATS = 1.0


class Desk:
    """Where tasks leave what they say, and find the answers; an actor."""

    def __init__(self) -> None:
        self._said: deque[tuple[str, str, Any]] = deque()
        self._answers: dict[str, Any] = {}
        self._stopping: set[str] = set()

    def say(self, name: str, kind: str, value: Any) -> bool:
        """Leave a beat or a question; :return: whether the task shall end."""
        self._said.append((name, kind, value))
        return name in self._stopping

    def take(self) -> list[tuple[str, str, Any]]:
        """:return: what was said since the last time"""
        said = list(self._said)
        self._said.clear()
        return said

    def answer(self, name: str, value: Any) -> None:
        """Leave an answer."""
        self._answers[name] = value

    def find_answer(self, name: str) -> tuple[bool, Any]:
        """:return: whether there is an answer, and which"""
        return name in self._answers, self._answers.pop(name, None)

    def stop(self, name: str) -> None:
        """Ask a task to end; it hears of it when it says something."""
        self._stopping.add(name)


class _Parent:
    """What a task has of the process that started it."""

    def __init__(self, ray: Any, desk: Any, name: str) -> None:
        self._ray, self._desk, self._name = ray, desk, name
        self._last = 0.0
        self._stopped = False

    def __call__(self, count: int) -> None:
        now = time.monotonic()
        if now - self._last >= _BETWEEN_BEATS:
            self._last = now
            self._say("beat", count)

    def ask(self, question: Any) -> Any:
        self._say("question", question)
        while True:
            found, answer = self._ray.get(self._desk.find_answer.remote(self._name))
            if found:
                return answer
            time.sleep(_BETWEEN_QUESTIONS)

    def _say(self, kind: str, value: Any) -> None:
        if self._ray.get(self._desk.say.remote(self._name, kind, value)) and not self._stopped:
            self._stopped = True
            signal.raise_signal(signal.SIGTERM)


def _work(job: Job, desk: Any, folder: str) -> tuple[str, str]:
    """
    What runs as a task.

    :return: ``result`` and JSON, or ``error`` and a text
    """
    import ray

    os.chdir(folder)
    threads = max(int(job.needs.cpus), 1)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # Ray sets it too, but not for processes that it has already
    if job.log is not None:
        print_to(job.log)
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        return "result", json.dumps(job.work(_Parent(ray, desk, job.name)), allow_nan=False)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        traceback.print_exc()
        return "error", describe_error(error)


class RayTasks:
    """
    A :class:`~rl_experiments.launching.jobs.Launcher` on Ray.

    :param address: of a cluster; one is started on this machine if None
    :param capacity: jobs at once; as many as the cluster has room for if None
    :raises MissingPackageError: if Ray is not installed
    :raises ConfigurationError: if there is no cluster at that address
    """

    def __init__(self, address: str | None = None, capacity: int | None = None) -> None:
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError:
            raise MissingPackageError("--launcher ray", "ray", "ray") from None
        self._started = not self._ray.is_initialized()
        if self._started:
            self._begin(address)
        self._capacity = capacity
        # With no CPU of its own it never waits for one; it stays where this process is, whose end is its end too.
        self._desk = self._ray.remote(num_cpus=0)(Desk).options(scheduling_strategy=self._here()).remote()
        self._jobs: dict[str, tuple[Job, Any, float]] = {}
        self._counts: dict[str, int] = {}

    @property
    def has_room(self) -> bool:
        """Whether another job would begin at once; one more than that waits in Ray where the cluster is as it was."""
        if self._capacity is not None:
            return len(self._jobs) < self._capacity
        cpus = float(self._ray.cluster_resources().get("CPU", 1))
        return sum(job.needs.cpus for job, _, _ in self._jobs.values()) + 1 <= max(cpus, 1)

    @property
    def counts(self) -> dict[str, int]:
        """The jobs that are under way, and what they last said of how far they are."""
        return {name: self._counts.get(name, 0) for name in self._jobs}

    def submit(self, job: Job) -> None:
        """Begin a job, as soon as a node has what it needs."""
        # A process of its own, as everywhere; what is lost is submitted again by whoever waits for it.
        task = self._ray.remote(max_calls=1, max_retries=0)(_work)
        task = task.options(num_cpus=job.needs.cpus, num_gpus=job.needs.gpus, name=job.name)
        self._counts[job.name] = 0
        self._jobs[job.name] = (job, task.remote(job, self._desk, os.getcwd()), time.monotonic())

    def wait(self, seconds: float) -> list[Outcome | Question]:
        """:return: what happened, at the latest after so many seconds"""
        deadline = time.monotonic() + seconds
        while self._jobs:
            events = self._heard() + self._ended()
            left = deadline - time.monotonic()
            if events or left <= 0:
                return events
            references = [reference for _, reference, _ in self._jobs.values()]
            self._ray.wait(references, num_returns=1, timeout=min(left, _BETWEEN_QUESTIONS))
        return []

    def answer(self, name: str, value: Any) -> None:
        """Answer the question of a job."""
        self._ray.get(self._desk.answer.remote(name, value))

    def ask_to_stop(self, name: str) -> None:
        """Have a job raise SIGTERM in itself, the next time that it says something."""
        self._desk.stop.remote(name)

    def close(self) -> None:
        """End all that is under way at once."""
        for _, reference, _ in self._jobs.values():
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=True)
        self._jobs.clear()
        if self._started:
            self._started = False
            self._ray.shutdown()

    def _begin(self, address: str | None) -> None:
        try:
            self._ray.init(address=address, log_to_driver=False, include_dashboard=False, logging_level="error")
        except Exception as error:  # of many kinds: no such host, another version, no answer
            where = "here" if address is None else f"at {address}"
            reason = " ".join(str(error).split())[:300]
            raise ConfigurationError(f"There is no Ray cluster {where}: {type(error).__name__}: {reason}") from error

    def _here(self) -> Any:
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        node = self._ray.get_runtime_context().get_node_id()
        return strategies.NodeAffinitySchedulingStrategy(node_id=node, soft=False)

    def _heard(self) -> list[Outcome | Question]:
        events: list[Outcome | Question] = []
        for name, kind, value in self._ray.get(self._desk.take.remote()):
            if name not in self._jobs:
                continue
            if kind == "question":
                events.append(Question(self._jobs[name][0], value))
            else:
                self._counts[name] = value
        return events

    def _ended(self) -> list[Outcome | Question]:
        return [self._outcome(name) for name in list(self._jobs) if self._is_ready(self._jobs[name][1])]

    def _is_ready(self, reference: Any) -> bool:
        return bool(self._ray.wait([reference], timeout=0)[0])

    def _outcome(self, name: str) -> Outcome:
        job, reference, began = self._jobs.pop(name)
        seconds = time.monotonic() - began
        try:
            kind, value = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:200]
            return Outcome(job, None, f"its process or its machine is gone ({reason})", seconds, lost=True)
        if kind == "error":
            return Outcome(job, None, value, seconds)
        return Outcome(job, json.loads(value), None, seconds)
