"""The process that draws: shared by what is drawn alike, and neither its end nor its silence is one for us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from rl_experiments.envs import painter
from rl_experiments.envs.graphics import choose_graphics
from rl_experiments.envs.painter import Painter, PainterError, SharedPainters

mujoco = pytest.importorskip("mujoco")


def _model(env_id: str) -> Any:
    return gym.make(env_id).unwrapped.model  # type: ignore[attr-defined]


def test_what_is_drawn_alike_is_drawn_by_one_process_until_nobody_needs_it() -> None:
    painters, backend = SharedPainters(), choose_graphics().backend
    first, second = (painters.borrow(_model("Reacher-v5"), backend, 32, 32, fast=True) for _ in range(2))
    other = painters.borrow(_model("Hopper-v5"), backend, 32, 32, fast=True)
    assert first is second
    assert first is not other
    painters.give_back(first)
    painters.give_back(other)
    assert second._process.poll() is None
    assert other._process.poll() is not None
    second._process.kill()
    with pytest.raises(PainterError, match="ended"):
        second.draw(_model("Reacher-v5"), mujoco.MjData(_model("Reacher-v5")), mujoco.MjvCamera())
    third = painters.borrow(_model("Reacher-v5"), backend, 32, 32, fast=True)
    assert third is not first
    painters.give_back(third)
    painters.give_back(second)


def test_one_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "hangs.py"
    program.write_text("import sys, time; sys.stdin.buffer.read(10); time.sleep(60)")
    monkeypatch.setattr(painter, "_PROGRAM", program)
    monkeypatch.setattr(painter, "FIRST_PATIENCE", 0.5)
    with pytest.raises(PainterError, match="hangs"):
        Painter(mujoco.MjModel.from_xml_string("<mujoco/>"), "egl", 32, 32)


def test_why_a_backend_does_not_work_is_said() -> None:
    with pytest.raises(PainterError, match="nonsense"):
        Painter(mujoco.MjModel.from_xml_string("<mujoco/>"), "nonsense", 32, 32)
