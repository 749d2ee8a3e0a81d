"""
A process that has imported what is slow to import, and becomes commands by forking: a start takes no seconds.

Nothing of the package is imported before the fork: a command still imports its own modules, in its own order.
What is about imports, terminals or the start of Python itself needs a real start (:func:`.commands.run_python`).
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

_ROOT = Path(__file__).resolve().parents[2]
_IMPORTED_FIRST = (
    "torch.utils.tensorboard",
    "torch._dynamo",
    "stable_baselines3",
    "sb3_contrib",
    "pandas",
    "cv2",
    "cloudpickle",
    "optuna",
    "jinja2",
    "rich.progress",
)
_OBEYED_AT_START = ("PYTHON", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "LD_", "LC_", "LANG", "COVERAGE_", "MPL")
_OBEYED_LATER = ("PYTHONFAULTHANDLER", "PYTHONUNBUFFERED")
_LONGEST_REQUEST = 2**17


class ForkedModule(subprocess.Popen):  # type: ignore[type-arg]
    """
    ``python -m MODULE ARGUMENTS`` as a fork of the zygote, with the face of :class:`subprocess.Popen`.

    Its parent is a process that waits for it and tells how it ended. Of the options, it knows the streams (no
    terminals), ``cwd``, ``env``, ``text`` and ``start_new_session``.

    :param light: of a zygote that has imported nothing but the standard library
    """

    def __init__(self, *args: Any, light: bool = False, **options: Any) -> None:
        self._light = light
        super().__init__(*args, **options)

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any,
                       env: Any, startupinfo: Any, creationflags: Any, shell: Any, p2cread: int, p2cwrite: int,
                       c2pread: int, c2pwrite: int, errread: int, errwrite: int, restore_signals: Any, gid: Any,
                       gids: Any, uid: Any, umask: Any, start_new_session: bool, *rest: Any) -> None:  # fmt: skip
        request = {
            "words": [str(word) for word in args],
            "cwd": str(cwd or os.getcwd()),
            "env": dict(os.environ if env is None else env),
            "session": start_new_session,
        }
        streams = [own if given == -1 else given for own, given in enumerate((p2cread, c2pwrite, errwrite))]
        try:
            self.pid, self._news = _zygote(self._light).fork(request, streams)
            self._child_created = True
        finally:
            self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid == self.pid:
                self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode

    def _try_wait(self, flags: int) -> tuple[int, int]:
        self._news.setblocking(not flags & os.WNOHANG)
        try:
            status = self._news.recv(64)
        except BlockingIOError:
            return 0, 0
        self._news.close()
        return self.pid, int(status or signal.SIGKILL)


def can_fork(variables: Mapping[str, str]) -> bool:
    """:return: whether a fork with these variables acts as a new process would"""
    return sys.platform == "linux" and _obeyed(variables) == _obeyed(_unmeasured())


def _unmeasured() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def _obeyed(variables: Mapping[str, str]) -> dict[str, str]:
    chosen = {name: value for name, value in variables.items() if name.startswith(_OBEYED_AT_START)}
    return {name: value for name, value in chosen.items() if name not in _OBEYED_LATER}


class _Zygote:
    """The side of the tests: one for each of their processes, with which it ends."""

    def __init__(self, light: bool) -> None:
        self.variables = _obeyed(_unmeasured())
        self._line, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with there:
            words = [str(there.fileno()), *([] if light else _IMPORTED_FIRST)]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.helpers.zygote", *words],
                cwd=_ROOT,
                env=_unmeasured(),
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # as of most commands: Python's streams remember what they were opened on
                stderr=subprocess.PIPE,
            )

    def fork(self, request: Mapping[str, Any], streams: list[int]) -> tuple[int, socket.socket]:
        """:return: the number of the new process, and where the end of it will be told"""
        news, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there, self._lock:
            socket.send_fds(self._line, [json.dumps(request).encode()], [*streams, there.fileno()])
        return int(news.recv(64)), news


_zygotes: dict[tuple[int, bool], _Zygote] = {}


def _zygote(light: bool) -> _Zygote:
    """:return: this process's own, started with the variables of now where those of then were others"""
    key = os.getpid(), light
    if key not in _zygotes or _zygotes[key].variables != _obeyed(_unmeasured()):
        _zygotes[key] = _Zygote(light)
    return _zygotes[key]


def _serve(line: socket.socket) -> dict[str, Any]:
    """:return: in the fork that is to become a command, what was asked"""
    while True:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        content, descriptors, _, _ = socket.recv_fds(line, _LONGEST_REQUEST, 4)
        if not content:
            os._exit(0)
        if os.fork() == 0:
            line.close()
            return _become_child(json.loads(content), descriptors)
        for number in descriptors:
            os.close(number)


def _become_child(request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
    """Fork once more: the parent stays to tell of the end, the child returns with its streams in place."""
    *streams, there = descriptors
    news = socket.socket(fileno=there)
    pid = os.fork()
    if pid:
        for number in (0, 1, 2, *streams):
            os.close(number)
        _tell_the_end(pid, news)
    for own, number in enumerate(streams):
        os.dup2(number, own)
        os.close(number)
    if request["session"]:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    news.send(str(os.getpid()).encode())
    news.close()
    return request


def _tell_the_end(pid: int, news: socket.socket) -> NoReturn:
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        news.send(str(status).encode())
    os._exit(0)


def _main() -> None:
    line = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the commands hear it themselves
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.freeze()
    request = _serve(line)
    os.environ.clear()
    os.environ.update(request["env"])
    if request["env"].get("PYTHONFAULTHANDLER"):
        faulthandler.enable()
    if request["env"].get("PYTHONUNBUFFERED"):
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    os.chdir(request["cwd"])
    module, *arguments = request["words"]
    sys.path[0] = os.getcwd()
    sys.argv = [module, *arguments]
    sys.orig_argv = [sys.executable, "-m", module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
