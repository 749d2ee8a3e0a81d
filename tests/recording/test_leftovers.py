"""What a killed recording leaves beside its video."""

from __future__ import annotations

from pathlib import Path

from rl_experiments import EnvironmentRecipe, record
from rl_experiments.core.files import replacing
from rl_experiments.recording.leftovers import held
from tests.evaluation.test_playing import Constant


def test_a_recording_removes_what_a_killed_one_left_and_no_other(tmp_path: Path) -> None:
    killed, other = tmp_path / ".a.0123abcd.tmp.mp4", tmp_path / ".mine.tmp.mp4"
    for path in (killed, other):
        path.write_bytes(b"half a video")
    with replacing(tmp_path / "b.mp4") as under_way, held(under_way):
        under_way.write_bytes(b"some of it")
        record(Constant(), tmp_path / "c.mp4", EnvironmentRecipe("CartPole-v1"), n_steps=5)  # type: ignore[arg-type]
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([other.name, under_way.name, "c.mp4"])
