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
    stays.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if has_screen():
        return
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    if os.environ.get("MUJOCO_GL"):
        return
    # EGL alone is not enough: PyOpenGL loads libGL for the functions.
    if ctypes.util.find_library("EGL") and ctypes.util.find_library("GL"):
        os.environ["MUJOCO_GL"] = "egl"
    elif ctypes.util.find_library("OSMesa"):
        os.environ["MUJOCO_GL"] = "osmesa"
