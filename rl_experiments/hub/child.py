"""A child process that answers one request, and that nothing leaves behind: no deadline, no error, no signal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from rl_experiments.core.errors import RLExperimentsError


class DownloadEnded(RLExperimentsError):  # noqa: N818
    """
    A signal ended the download.

    :param number: of the signal
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"the download was ended by {signal.Signals(number).name}; nothing was written")
        self.exit_code = 128 + number


def ask_child(
    script: str, request: Mapping[str, Any], environment: Mapping[str, str], show_output: bool = False
) -> dict[str, Any]:
    """
    Run a script, give it one line of JSON, and take the last line that it prints as the answer.

    Its input stays open as long as this process lives and waits: the script ends where it ends.

    :param script: a file, not a module: the package would import torch first
    :param request: with ``seconds``, after which it is ended
    :param environment: its environment variables
    :param show_output: let it write to this process' error output
    :return: the answer; ``failure`` in it says what went wrong, if something did
    :raises TimeoutError: if it took too long
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", script],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=None if show_output else subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is for this process, which then ends the child
        )
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it has ended before it was asked; its exit code says how
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
            process.wait(timeout=request["seconds"])
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        finally:
            _end(process)
        output.seek(0)
        return _read_answer(output.read(), process.returncode)


def _read_answer(text: str, code: int | None) -> dict[str, Any]:
    try:
        return dict(json.loads(text.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        return {"failure": "other", "detail": f"the process that downloads ended with exit code {code}"}


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """
    Turn SIGTERM and SIGHUP into an exception, so that what was begun is taken back.

    :raises DownloadEnded: when one comes
    """

    def end(number: int, _: FrameType | None) -> None:
        for caught in previous:
            signal.signal(caught, signal.SIG_IGN)
        raise DownloadEnded(number)

    previous: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks for
                    previous[number] = signal.signal(number, end)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
