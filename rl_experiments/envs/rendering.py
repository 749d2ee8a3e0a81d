"""Screens, and pictures without one."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from pathlib import Path

_X_PORT = 6000
_X_PATIENCE = 1.0


def has_screen() -> bool:
    """Whether a window could be opened."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def prepare_offscreen_rendering(entry_point: object = None) -> None:
    """
    Choose how SDL and MuJoCo draw into arrays; call before the first picture, and best before the environment is made.

    Gymnasium and MuJoCo read ``MUJOCO_GL`` when they first draw, and try a window where it is unset. What the user set
    stays if it works here.

    :param entry_point: of the environment. Those of Gymnasium's that do not use MuJoCo need no graphics library, and
        of those that do, recordings are drawn elsewhere (:mod:`rl_experiments.envs.painter`)
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if not _display_answers():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    if sys.platform == "linux" and may_use_mujoco(entry_point):
        from rl_experiments.envs.graphics import choose_graphics, is_installed

        if is_installed():
            found = choose_graphics()
            if found.unusable_setting and found.backend:
                named, reason = found.unusable_setting
                print(f"MUJOCO_GL={named} does not draw here ({reason}): {found.backend} does", file=sys.stderr)
            _set_backend(found.backend)


def may_use_mujoco(entry_point: object) -> bool:
    """
    :param entry_point: of an environment's spec, or None
    :return: False for the environments of libraries that are known to do without
    """
    return not str(entry_point).startswith(_WITHOUT_MUJOCO)


_WITHOUT_MUJOCO = (
    "gymnasium.envs.classic_control",
    "gymnasium.envs.box2d",
    "gymnasium.envs.toy_text",
    "gymnasium.envs.tabular",
    "ale_py",
    "minigrid",
    "highway_env",
    "panda_gym",
    "pybullet",
    "<rl_experiments",
)


def forbid_rendering() -> None:
    """
    Keep MuJoCo from loading what it would draw with: a wrong ``MUJOCO_GL`` breaks environments that draw nothing.

    For a process that only plays; to be called before MuJoCo is imported.
    """
    os.environ["MUJOCO_GL"] = "disable"


def _set_backend(backend: str | None) -> None:
    before = os.environ.pop("MUJOCO_GL", None)
    if backend is None:
        return
    os.environ["MUJOCO_GL"] = backend
    if backend != "glfw":
        os.environ["PYOPENGL_PLATFORM"] = backend
    chooser = sys.modules.get("mujoco.rendering.classic.gl_context") or sys.modules.get("mujoco.gl_context")
    if chooser is not None and before != backend:  # MuJoCo chose when it was imported
        importlib.reload(chooser)


def _display_answers() -> bool:
    """Whether there is a screen at the place that ``DISPLAY`` names: a forwarded one may have gone."""
    if sys.platform in ("win32", "darwin") or os.environ.get("WAYLAND_DISPLAY"):
        return True
    host, colon, number = os.environ.get("DISPLAY", "").rpartition(":")
    number = number.partition(".")[0]
    if not colon or not number.isdigit():
        return False
    try:
        if host in ("", "unix"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_X_PATIENCE)
                connection.connect(str(Path("/tmp/.X11-unix") / f"X{number}"))
        else:
            socket.create_connection((host, _X_PORT + int(number)), _X_PATIENCE).close()
    except OSError:
        return False
    return True
