"""Files that appear whole or not at all, and numbers that are claimed once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rl_experiments.core import files


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    files.write_text(path, "one")
    files.write_text(path, "é two")
    assert path.read_text(encoding="utf-8") == "é two"
    assert [entry.name for entry in path.parent.iterdir()] == ["b.txt"]


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    files.write_text(path, "old")

    def fail() -> None:
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.txt"]


def test_the_temporary_file_keeps_the_suffix(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "model.zip") as temporary:
        assert temporary.suffix == ".zip"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")


def test_numbers_count_up_from_the_largest(tmp_path: Path) -> None:
    for name in ("Env-v1_1", "Env-v1_7", "Env-v1_7_0c3f", "Env-v1_0", "Env-v10_9", "XEnv-v1_8", "Env-v1_x"):
        (tmp_path / name).mkdir()
    (tmp_path / "Env-v1_12").write_text("a file is no folder")
    found = files.numbered_folders(tmp_path, "Env-v1")
    assert {number: path.name for number, path in found.items()} == {1: "Env-v1_1", 7: "Env-v1_7"}
    assert files.claim_numbered_folder(tmp_path, "Env-v1").name == "Env-v1_8"


def test_a_run_with_a_suffix_counts(tmp_path: Path) -> None:
    assert files.claim_numbered_folder(tmp_path, "E", "_uuid").name == "E_1_uuid"
    assert files.claim_numbered_folder(tmp_path, "E").name == "E_2"
    assert files.numbered_folders(tmp_path, "E")[1].name == "E_1_uuid"


def test_numbers_beyond_9_are_numbers(tmp_path: Path) -> None:
    for number in (2, 9, 10):
        (tmp_path / f"E_{number}").mkdir()
    assert files.claim_numbered_folder(tmp_path, "E").name == "E_11"


CLAIM = """
import sys
from pathlib import Path
from rl_experiments.core.files import claim_numbered_folder
for _ in range(100):
    print(claim_numbered_folder(Path(sys.argv[1]), "E").name)
"""


def test_processes_that_start_at_once_claim_different_numbers(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", CLAIM, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    claimed = [name for worker in workers for name in worker.communicate(timeout=60)[0].split()]
    assert len(claimed) == 400
    assert sorted(claimed, key=lambda name: int(name[2:])) == [f"E_{number}" for number in range(1, 401)]


def test_the_cache_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RL_EXPERIMENTS_CACHE", str(tmp_path / "c"))
    assert files.cache_folder() == tmp_path / "c"
    monkeypatch.delenv("RL_EXPERIMENTS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / "rl_experiments"


def test_the_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert files.sha256_of(tmp_path / "x").startswith("ba7816bf8f01cfea414140de5dae2223")
