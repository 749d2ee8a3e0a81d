"""What MuJoCo draws with on this machine: found by trying, remembered, and tried again when that has changed."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rl_experiments.core.files import cache_folder, write_text
from rl_experiments.envs.painter import Painter, PainterError, environment_for

BACKENDS = ("egl", "osmesa", "glfw")
"""Tried in this order; the last one needs a display, which may be a virtual one."""
OFF = ("", "disable", "disabled", "off", "false", "0")
"""Values of MUJOCO_GL with which nothing is drawn and nothing can go wrong."""
_MEMORY_SIZE = 20
_IMPORT_PATIENCE = 30.0
_VARIABLES = (
    "MUJOCO_GL",
    "PYOPENGL_PLATFORM",
    "MUJOCO_EGL_DEVICE_ID",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LIBGL_ALWAYS_SOFTWARE",
    "GALLIUM_DRIVER",
    "__EGL_VENDOR_LIBRARY_FILENAMES",
    "CUDA_VISIBLE_DEVICES",
)
_TINY = '<mujoco><worldbody><light pos="0 0 3"/><geom size="1" rgba="1 0 0 1"/></worldbody></mujoco>'
_INSTALLERS = (
    ("apt-get", "apt-get install -y libegl1 libgl1"),
    ("dnf", "dnf install -y mesa-libEGL mesa-libGL mesa-dri-drivers"),
    ("yum", "yum install -y mesa-libEGL mesa-libGL mesa-dri-drivers"),
    ("pacman", "pacman -S --noconfirm mesa libglvnd"),
    ("apk", "apk add mesa-egl mesa-gl mesa-dri-gallium"),
    ("zypper", "zypper install -y Mesa-libEGL1 Mesa-libGL1 Mesa-dri"),
)


@dataclass(frozen=True)
class Graphics:
    """
    :param backend: what MuJoCo draws with, or None: outside Linux what it takes by itself, on Linux nothing
    :param failed: the backends that were tried before, and why they do not work
    """

    backend: str | None
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def works(self) -> bool:
        """Whether anything may be drawn."""
        return self.backend is not None or sys.platform != "linux"

    @property
    def unusable_setting(self) -> tuple[str, str] | None:
        """The value of ``MUJOCO_GL`` and why it is not used, if the user set one with which nothing is drawn."""
        named = os.environ.get("MUJOCO_GL", "").lower().strip()
        if named in self.failed:
            return named, self.failed[named]
        if named == "glfw" and self.backend != named:
            return named, "there is no display"
        return None


def candidates() -> list[str | None]:
    """:return: what is worth a try, the user's ``MUJOCO_GL`` first"""
    if sys.platform != "linux":
        return [None]
    named = os.environ.get("MUJOCO_GL", "").lower().strip()
    has_display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    found = [name for name in BACKENDS if name != "glfw" or has_display]
    first = [named] if named in found else []
    return [*first, *(name for name in found if name not in first)]


def choose_graphics() -> Graphics:
    """
    Find what draws, with one small picture, in a process of its own: a crash costs only this backend.

    :return: the first that works; it is remembered until the system's libraries, or a variable, change
    """
    return _choose(_memory_key(), str(cache_folder()))


@functools.cache
def _choose(key: str, folder: str) -> Graphics:
    memory = _read(Path(folder) / "graphics.json").get(key)
    if isinstance(memory, dict) and memory.get("backend") in BACKENDS:
        return Graphics(memory["backend"], dict(memory.get("failed") or {}))
    failed: dict[str, str] = {}
    for backend in candidates():
        reason = why_not(backend)
        if reason is None:
            _remember(key, {"backend": backend, "failed": failed})
            return Graphics(backend, failed)
        failed[str(backend)] = reason
    return Graphics(None, failed)


def why_not(backend: str | None) -> str | None:
    """:return: None if a red ball can be drawn with it, or the reason"""
    import mujoco

    model = mujoco.MjModel.from_xml_string(_TINY)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    try:
        painter = Painter(model, backend, 32, 32, fast=True)
        try:
            red, green, _ = painter.draw(model, data, mujoco.MjvCamera())[16, 16].tolist()
        finally:
            painter.close()
    except (PainterError, OSError) as error:
        return in_words(str(error))
    return None if red > 50 and red > 2 * green else "its pictures are black"


def in_words(reason: str) -> str:
    """:return: what a failed backend said, for people: PyOpenGL says it about functions of libraries that are None"""
    missing = ("'NoneType' object has no attribute", "Unable to load", "cannot open shared object")
    return "its library is missing" if any(sign in reason for sign in missing) else reason


def forget_graphics() -> None:
    """What was remembered has turned out wrong: the next time it is tried."""
    _choose.cache_clear()
    _remember(_memory_key(), None)


def disarm_settings() -> None:
    """
    Take a ``MUJOCO_GL`` away with which MuJoCo cannot even be imported, for which nothing would be trained.

    To be called before anything that may import MuJoCo; what draws is found later, when something is drawn.
    """
    named = os.environ.get("MUJOCO_GL", "").lower().strip()
    if named in OFF or "mujoco" in sys.modules or not is_installed():
        return
    reason = _why_no_import(_memory_key(), str(cache_folder()))
    if reason:
        print(f"MUJOCO_GL={os.environ.pop('MUJOCO_GL')} does not work here ({reason}), and is ignored", file=sys.stderr)


@functools.cache
def is_installed() -> bool:
    """Whether MuJoCo is there."""
    return importlib.util.find_spec("mujoco") is not None


@functools.cache
def _why_no_import(key: str, folder: str) -> str:
    """:return: why MuJoCo cannot be imported with the environment's variables, or nothing"""
    path = Path(folder) / "graphics.json"
    memory = _read(path).get(f"import {key}")
    if memory == {"works": True}:
        return ""
    named = os.environ["MUJOCO_GL"].lower().strip()
    known = (*BACKENDS, "glx", "enable", "enabled", "on", "true", "1", *_OF_THE_SYSTEM.get(platform.system(), ()))
    if named not in known:
        return f"the values that MuJoCo knows are {', '.join(BACKENDS)}"
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import mujoco"], capture_output=True, text=True, timeout=_IMPORT_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return "importing mujoco hangs"
    except OSError:
        return ""
    if done.returncode == 0:
        _remember(f"import {key}", {"works": True})
        return ""
    if _imports_without():
        lines = done.stderr.strip().splitlines()
        return in_words(" ".join(lines[-1].split())[:150]) if lines else f"its import ended with {done.returncode}"
    return ""  # it is not the variable


_OF_THE_SYSTEM = {"Windows": ("wgl",), "Darwin": ("cgl",)}


def _imports_without() -> bool:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [sys.executable, "-c", "import mujoco"],
            capture_output=True,
            env=environment_for(None),
            timeout=_IMPORT_PATIENCE,
        )
        return done.returncode == 0
    return False


def how_to_install() -> str:
    """:return: what gives this system something to draw with, in a sentence"""
    if sys.platform != "linux":
        return "MuJoCo draws with the graphics driver of this system, which does not answer."
    for program, command in _INSTALLERS:
        if shutil.which(program):
            return f"This gives it what to draw with: {'' if os.geteuid() == 0 else 'sudo '}{command}"
    return "It needs the libraries EGL and GL, or OSMesa (packages named like libegl1 and libgl1, or libosmesa6)."


def _memory_key() -> str:
    """What changes the answer: variables, versions, and the system's list of libraries, which installing rewrites."""
    parts: list[Any] = [os.environ.get(name) for name in _VARIABLES]
    parts += [sys.executable, platform.node(), platform.machine()]
    for package in ("mujoco", "PyOpenGL", "glfw"):
        with contextlib.suppress(PackageNotFoundError):
            parts.append(version(package))
    for path in ("/etc/ld.so.cache", "/usr/share/glvnd/egl_vendor.d", "/dev/dri", "/dev/nvidia0"):
        with contextlib.suppress(OSError):
            parts.append((path, os.stat(path).st_mtime_ns))
    return json.dumps(parts)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _remember(key: str, value: dict[str, Any] | None) -> None:
    path = cache_folder() / "graphics.json"
    content = {name: entry for name, entry in _read(path).items() if name != key}
    if value is not None:
        content[key] = value
    kept = dict(list(content.items())[-_MEMORY_SIZE:])
    with contextlib.suppress(OSError):
        write_text(path, json.dumps(kept, indent=1))
