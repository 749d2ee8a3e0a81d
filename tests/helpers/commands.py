"""Running commands, in this process and in others."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers import zygote


def unmeasured() -> dict[str, str]:
    """:return: the environment of a process whose coverage is not measured: a signal in its lock would hang there"""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


@dataclass(frozen=True)
class CommandResult:
    """
    :param code: exit code
    :param out: standard output
    :param err: error output
    """

    code: int
    out: str
    err: str

    def assert_refused(self, *parts: str) -> None:
        """Check that it ended with one line of explanation that holds all parts, and no traceback."""
        shown = f"exit code {self.code}\n{self.out}\n{self.err}"
        assert self.code == 2, shown
        assert "Traceback" not in self.err, shown
        lines = [line for line in self.err.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1, shown
        others = [line for line in self.err.splitlines() if line not in lines and not line.startswith("See python -m")]
        assert not others, shown
        for part in parts:
            assert part in lines[0], f"{part!r} is not in {lines[0]!r}"


def run_python(*arguments: str, cwd: Path, timeout: float = 120, **environment: str) -> CommandResult:
    """Run ``python ARGUMENTS`` in another process."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


def start_module(module: str, *arguments: str, cwd: Path, light: bool = False, **options: Any) -> subprocess.Popen[str]:
    """
    Start ``python -m MODULE ARGUMENTS``: as a fork of a process that has imported torch, which saves two seconds.

    :param light: of a process that has imported nothing, for what must not import torch either
    :param options: ``env`` and ``start_new_session`` as :class:`subprocess.Popen` has them, and streams, no terminals;
        output and errors are pipes of text where nothing else is said
    """
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    if zygote.can_fork(options.get("env") or os.environ):
        return zygote.ForkedModule([module, *arguments], light=light, cwd=cwd, text=True, **options)
    return subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=cwd, text=True, **options)


def run_module(
    module: str, *arguments: str, cwd: Path, timeout: float = 120, light: bool = False, **environment: str
) -> CommandResult:
    """Run ``python -m MODULE ARGUMENTS`` in another process, by :func:`start_module`."""
    with start_module(module, *arguments, cwd=cwd, light=light, env={**os.environ, **environment}) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return CommandResult(process.returncode, out, err)
