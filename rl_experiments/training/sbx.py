"""JAX, made ready for a training with SBX: its threads, its device, and what it keeps on disk."""

from __future__ import annotations

import os

from rl_experiments.core.accelerated import choose_device, is_jax_running, prepare_jax
from rl_experiments.training.settings import Experiment
from rl_experiments.training.stopping import to_stderr

_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def threads_of_jax(experiment: Experiment) -> int:
    """:return: how many JAX computes with on the processor: one, unless the user says more"""
    given = experiment.num_threads
    return given if isinstance(given, int) and given > 0 else 1


def prepare_sbx(experiment: Experiment) -> None:
    """
    To be called before anything is computed: XLA reads how many threads it may have when it starts.

    :raises MissingPackageError: if SBX is not installed
    :raises ConfigurationError: if JAX has no such device
    """
    jax = prepare_jax("--backend sbx", "sbx")
    if experiment.verbose > 0 and not is_jax_running():
        to_stderr("Loading JAX and SBX")
    _limit_threads(threads_of_jax(experiment))
    jax.config.update("jax_default_device", choose_device(experiment.device))


def _limit_threads(count: int) -> None:
    """What the user has set in the environment stays."""
    if is_jax_running():
        return
    os.environ.setdefault("NPROC", str(count))
    flags = os.environ.get("XLA_FLAGS", "")
    if count == 1 and "xla_cpu_multi_thread_eigen" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_ONE_THREAD}".strip()
