"""JAX, made ready before it is used: quiet, and with what it compiles kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rl_experiments.core.errors import ConfigurationError, MissingPackageError
from rl_experiments.core.files import cache_folder


def has_brax() -> bool:
    """Whether Brax is installed; it is not imported."""
    return importlib.util.find_spec("brax") is not None and importlib.util.find_spec("jax") is not None


def has_sbx() -> bool:
    """Whether SBX is installed; it is not imported."""
    return importlib.util.find_spec("sbx") is not None and importlib.util.find_spec("jax") is not None


def prepare_jax(what: str, package: str = "brax") -> Any:
    """
    Import JAX, and let it keep what it compiles in this machine's cache folder, so that a second run starts at once.

    A folder that the user named (``JAX_COMPILATION_CACHE_DIR``) stays.

    :param what: what needs it, as the subject of a sentence
    :param package: what computes with it, ``brax`` or ``sbx``: our extra has the same name
    :return: the module ``jax``
    :raises MissingPackageError: if that is not installed
    """
    if not (has_sbx() if package == "sbx" else has_brax()):
        raise MissingPackageError(what, package, package)
    # What it took from the cache, it would compare aloud with names of the processor that it has made up itself.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax

    config: Any = jax.config
    if not config.jax_compilation_cache_dir:
        config.update("jax_compilation_cache_dir", str(cache_folder() / "jax" / _processor()))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # What starts a program in the place of a copy of this process is safe, and what does not is not done (can_isolate).
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called")
    warnings.filterwarnings("ignore", message="Brax System, piplines")
    return jax


def _processor() -> str:
    """:return: what this machine's processor can do: code for another, found in a shared home, would end the process"""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = [platform.machine(), platform.processor()]
    flags = sorted({line for line in lines if line.startswith(("flags", "Features", "model name")) or len(lines) == 2})
    return hashlib.sha256("\n".join(flags).encode()).hexdigest()[:12]


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Brax and MuJoCo print, while they are imported, what optional packages they have not found."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_jax_running() -> bool:
    """Whether JAX has started its threads in this process: they do not survive a fork."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bool(getattr(bridge, "_backends", None))


def choose_device(name: str) -> Any:
    """
    :param name: ``auto``, ``cpu``, or ``cuda``, ``gpu`` or ``tpu`` with or without a number (``cuda:1``)
    :return: the device of JAX
    :raises ConfigurationError: if there is none
    """
    import jax

    kind, _, number = name.partition(":")
    try:
        devices = jax.devices() if kind == "auto" else jax.devices({"cuda": "gpu"}.get(kind, kind))
        return devices[int(number or 0)]
    except (RuntimeError, ValueError, IndexError):
        there = ", ".join(str(device) for device in jax.devices())
        raise ConfigurationError(f"JAX has no device '{name}'. It has: {there}") from None


def cpu_device() -> Any:
    """:return: where single environments and their agents compute, whatever there is: they gain nothing on a GPU"""
    import jax

    return jax.local_devices(backend="cpu")[0]
