"""Pictures of what MuJoCo simulates, drawn in a process of its own (see :mod:`rl_experiments.envs.painter_process`)."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from rl_experiments.core.processes import end_with_parent, widen_pipe
from rl_experiments.envs.painter_process import packed_view, shared_arrays

_PROGRAM = Path(__file__).with_name("painter_process.py")
FIRST_PATIENCE, PATIENCE = 25.0, 60.0
"""Seconds until it draws, and for each picture; then it hangs."""
_LONGEST_REASON = 200


class PainterError(Exception):
    """No picture comes any more; the text says why."""


class Painter:
    """
    :param model: an ``mujoco.MjModel``
    :param backend: ``egl``, ``osmesa`` or ``glfw``; None is what MuJoCo takes by itself
    :param width: of the pictures, in pixels
    :param height: of the pictures, in pixels
    :param fast: without antialiasing, shadows and reflections; if None, where the CPU draws
    :param visual_options: flags of an ``MjvOption``
    :param max_geom: most bodies in a picture
    :raises PainterError: if this backend does not work here
    """

    def __init__(
        self,
        model: Any,
        backend: str | None,
        width: int,
        height: int,
        *,
        fast: bool | None = None,
        visual_options: dict[int, bool] | None = None,
        max_geom: int = 1000,
    ) -> None:
        self.backend, self._shape = backend, (height, width, 3)
        self.works = True
        self._whole = bool(visual_options)  # contacts, say, of which a picture has none otherwise
        # Its words are asked for when it has ended; a pipe that nobody empties would block it.
        self._words = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=environment_for(backend),
            bufsize=0,
            process_group=0 if os.name == "posix" else None,
            preexec_fn=end_with_parent if os.name == "posix" else None,
        )
        widen_pipe(self._process.stdout)
        setup = {
            "model": pickle.dumps(model),
            "width": width,
            "height": height,
            "fast": fast,
            "visual_options": visual_options or {},
            "max_geom": max_geom,
            "whole": self._whole,
        }
        try:
            self._send(pickle.dumps(setup))
            facts: dict[str, Any] = json.loads(self._receive(FIRST_PATIENCE))
        except BaseException:
            self.close()
            raise
        self.renderer, self.on_cpu, self.fast = facts["renderer"], facts["on_cpu"], facts["fast"]

    def draw(self, model: Any, data: Any, camera: Any) -> np.ndarray:
        """
        :param model: the model, or another one that was made alike
        :param data: its ``mujoco.MjData``
        :param camera: an ``MjvCamera``
        :return: shape (height, width, 3), uint8
        """
        parts = [pickle.dumps(data)] if self._whole else [a.tobytes() for a in shared_arrays(model, data)]
        state = b"".join([packed_view(camera), *parts])
        try:
            self._send(len(state).to_bytes(8, "little") + state)
            return np.frombuffer(self._receive(PATIENCE), np.uint8).reshape(self._shape)[::-1]
        except BaseException:  # the rest of an answer would be taken for the next picture
            self.works = False
            raise

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._words):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _send(self, content: bytes) -> None:
        assert self._process.stdin is not None
        view = memoryview(content)
        try:
            while view:
                view = view[self._process.stdin.write(view) :]
        except OSError:
            raise PainterError(self._why()) from None

    def _receive(self, patience: float) -> bytearray:
        deadline = time.monotonic() + patience
        head = self._read(9, deadline)
        content = self._read(int.from_bytes(head[1:], "little"), deadline)
        if head[:1] == b"E":
            raise PainterError(_short(content.decode("utf-8", "replace")))
        return content

    def _read(self, size: int, deadline: float) -> bytearray:
        assert self._process.stdout is not None
        content = bytearray(size)
        view = memoryview(content)
        while view:
            if os.name == "posix":
                readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
                if not readable:
                    raise PainterError("it hangs")
            count = self._process.stdout.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise PainterError(self._why())
            view = view[count:]
        return content

    def _why(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._words.seek(0)
        lines = self._words.read().decode("utf-8", "replace").strip().splitlines()
        return _short(f"its process ended ({self._process.returncode}{': ' + lines[-1] if lines else ''})")


class SharedPainters:
    """Painters, each for all environments that would be drawn alike: several in one picture need one process."""

    def __init__(self) -> None:
        self._painters: dict[bytes, tuple[Painter, int]] = {}

    def borrow(self, model: Any, backend: str | None, width: int, height: int, **look: Any) -> Painter:
        """
        The parameters are those of :class:`Painter`.

        :raises PainterError: if this backend does not work here
        """
        key = pickle.dumps((model, backend, width, height, os.getpid(), sorted(look.items())))
        painter, users = self._painters.get(key, (None, 0))
        if painter is None or not painter.works:
            painter, users = Painter(model, backend, width, height, **look), 0
        self._painters[key] = (painter, users + 1)
        return painter

    def give_back(self, painter: Painter) -> None:
        """End it, if nobody else needs it."""
        for key, (known, users) in list(self._painters.items()):
            if known is painter:
                if users > 1:
                    self._painters[key] = (painter, users - 1)
                    return
                del self._painters[key]
        painter.close()


def environment_for(backend: str | None) -> dict[str, str]:
    """:return: the variables of a process that draws with this backend, whatever those of this one say"""
    variables = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    if backend is not None:
        variables["MUJOCO_GL"] = backend
    if backend in ("egl", "osmesa"):
        variables["PYOPENGL_PLATFORM"] = backend
    return variables


def _short(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_REASON]
