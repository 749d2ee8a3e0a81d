"""Screens, and pictures without one."""

from __future__ import annotations

import ctypes.util
import os
import sys


def has_screen() -> bool:
    """Whether a window could be opened."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def prepare_offscreen_rendering() -> None:
    """
    Choose how MuJoCo and SDL draw where there is no screen; call before the first picture.

    Gymnasium reads ``MUJOCO_GL`` when it first renders, and tries a window where it is unset. A value that the user set
    stays if it can work here.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if has_screen():
        return
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    if _is_usable(os.environ.get("MUJOCO_GL", "").lower()):
        return
    os.environ.pop("MUJOCO_GL", None)
    for backend in ("egl", "osmesa"):
        if _is_usable(backend):
            os.environ["MUJOCO_GL"] = backend
            return


def forbid_rendering() -> None:
    """
    Keep MuJoCo from loading what it would draw with: a wrong ``MUJOCO_GL`` breaks environments that draw nothing.

    For a process that only plays; to be called before MuJoCo is imported.
    """
    os.environ["MUJOCO_GL"] = "disable"


def _is_usable(backend: str) -> bool:
    if backend == "egl":  # alone it is not enough: PyOpenGL loads libGL for the functions
        return bool(ctypes.util.find_library("EGL") and ctypes.util.find_library("GL"))
    return backend == "osmesa" and bool(ctypes.util.find_library("OSMesa"))
