"""Folders of checkpoints: whole or not there, the latest two and the best kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.runs import Run, checkpoints


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, "ppo", "X")


def _write(
    run: Run, steps: int, score: float | None = None, content: bytes = b"content", exact: bool = True
) -> checkpoints.Checkpoint:
    def fill(folder: Path) -> dict[str, Any]:
        (folder / "state.pkl").write_bytes(content)
        return {"score": score, "exact": exact}

    return checkpoints.write(run, steps, fill)


def _steps(run: Run) -> list[int]:
    return [int(path.name) for path in checkpoints.checkpoints_of(run)]


def test_what_was_written_is_read(run: Run) -> None:
    written = _write(run, 1000, 2.5)
    assert written.path == run.path / "checkpoints" / "0000001000"
    found = checkpoints.latest(run, pytest.fail)
    assert found is not None
    assert (found.steps, found.score, found.files) == (1000, 2.5, written.files)
    assert found.file("state.pkl").read_bytes() == b"content"


def test_one_of_the_same_steps_is_replaced(run: Run) -> None:
    _write(run, 10)
    _write(run, 10, content=b"newer")
    assert _steps(run) == [10]
    found = checkpoints.latest(run, pytest.fail)
    assert found is not None
    assert found.file("state.pkl").read_bytes() == b"newer"


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([None, None, None, None], [3, 4]),
        ([1.0, 9.0, 2.0, 3.0], [2, 3, 4]),
        ([1.0, 2.0, 3.0, 9.0], [3, 4]),
        ([9.0, 9.0, 1.0, 1.0], [2, 3, 4]),
    ],
)
def test_the_latest_two_and_the_best_are_kept(scores: list[float | None], kept: list[int], run: Run) -> None:
    for steps, score in enumerate(scores, start=1):
        _write(run, steps, score)
        checkpoints.prune(run)
    assert _steps(run) == kept


@pytest.mark.parametrize(
    ("exact", "kept", "last"),
    [
        ([True, True, True, False, False], [2, 3, 5], 3),
        ([True, True, False, True], [2, 4], 4),
        ([True, False, False], [1, 3], 1),
        ([False, False], [2], 2),
    ],
)
def test_the_newest_lies_beside_exact_ones(exact: list[bool], kept: list[int], last: int, run: Run) -> None:
    for steps, is_exact in enumerate(exact, start=1):
        _write(run, steps, exact=is_exact)
        checkpoints.prune(run)
    assert _steps(run) == kept
    found = checkpoints.latest(run, pytest.fail)
    assert found is not None
    assert found.steps == last
    newer = checkpoints.newer_than(run, found)
    assert (newer.steps if newer else last) == kept[-1]
    checkpoints.begin_from(run, checkpoints.read(checkpoints.checkpoints_of(run)[-1]))
    assert _steps(run) == kept
    assert checkpoints.read(checkpoints.checkpoints_of(run)[-1]).exact


def test_a_run_that_goes_on_from_an_earlier_one_leaves_its_future(run: Run) -> None:
    for steps in (1, 2, 3):
        _write(run, steps)
    checkpoints.begin_from(run, checkpoints.read(checkpoints.checkpoints_of(run)[1]))
    assert _steps(run) == [1, 2]


def test_what_a_killed_process_left_half_written_is_no_checkpoint_and_goes(run: Run) -> None:
    _write(run, 1)
    half = run.path / "checkpoints" / ".0000000002.1234"
    half.mkdir()
    assert _steps(run) == [1]
    checkpoints.prune(run)
    assert not half.exists()


def test_nothing_is_left_of_one_that_cannot_be_written(run: Run) -> None:
    _write(run, 1)

    def fill(folder: Path) -> dict[str, Any]:
        (folder / "state.pkl").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        checkpoints.write(run, 2, fill)
    assert [path.name for path in (run.path / "checkpoints").iterdir()] == ["0000000001"]


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"schema_version": 1}', "damaged"),
        ('{"schema_version": 9, "steps": 2, "files": {}}', "version 9"),
        ('{"schema_version": 1, "steps": 2, "files": {"../x": "0"}}', "damaged"),
        ('{"schema_version": 1, "steps": 2, "files": {"gone": "0"}}', "its file gone cannot be read"),
    ],
)
def test_a_damaged_one_is_skipped_with_its_reason(manifest: str, reason: str, run: Run) -> None:
    _write(run, 1)
    damaged = _write(run, 2)
    (damaged.path / "manifest.json").write_text(manifest)
    told: list[str] = []
    found = checkpoints.latest(run, told.append)
    assert found is not None
    assert found.steps == 1
    assert len(told) == 1
    assert str(damaged.path) in told[0]
    assert reason in told[0]


def test_a_file_that_leads_out_of_the_folder_is_not_read(run: Run, tmp_path: Path) -> None:
    written = _write(run, 1)
    (tmp_path / "outside").write_bytes(b"content")
    written.file("state.pkl").unlink()
    written.file("state.pkl").symlink_to(tmp_path / "outside")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        written.check()
