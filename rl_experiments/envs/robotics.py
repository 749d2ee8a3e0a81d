"""What gymnasium-robotics 1.4.2 needs to run with mujoco 3.17, whose enums no longer equal NumPy's integers."""

from __future__ import annotations

import types
from typing import Any

_JOINTS = ("mjJNT_FREE", "mjJNT_BALL", "mjJNT_SLIDE", "mjJNT_HINGE")


def mend() -> None:
    """Let its helpers compare kinds of joints as plain numbers; nothing else that uses mujoco sees a difference."""
    from gymnasium_robotics.utils import mujoco_utils

    mujoco: Any = mujoco_utils.mujoco
    if isinstance(mujoco, types.SimpleNamespace):
        return
    joints = types.SimpleNamespace(**{name: int(getattr(mujoco.mjtJoint, name)) for name in _JOINTS})
    mujoco_utils.mujoco = types.SimpleNamespace(**{**vars(mujoco), "mjtJoint": joints})
