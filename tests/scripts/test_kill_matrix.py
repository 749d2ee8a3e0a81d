"""The matrix of trainings that are killed: its cells, its table, and one cell."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from rl_experiments.algorithms.registry import algorithm_names, get_algorithm
from tests.helpers.scripts import load_script


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    return load_script("kill_matrix")


def test_every_algorithm_has_cells_of_its_own(matrix: ModuleType) -> None:
    cells = matrix.read_cells(matrix.CELLS)
    assert len({cell.name for cell in cells}) == len(cells)
    assert {cell.algo for cell in cells} == {name for name in algorithm_names() if get_algorithm(name).backend == "sb3"}
    assert all("steps" in cell.options and "steps" not in cell.hyperparameters for cell in cells)


def test_the_table_adds_the_kills_of_an_algorithm(matrix: ModuleType) -> None:
    results = {
        "one": matrix.Result("ppo", "Atari", 3, 3, 3),
        "two": matrix.Result("ppo", "Atari", 2, 2, 0, [], ["/policy.pth"]),
        "three": matrix.Result("sac", "MuJoCo", 1, 1, 1),
    }
    rows = matrix.table(results).splitlines()[4:]
    assert rows == [
        "| ppo | 5 / 3 / 5 (2) |  | 5 / 3 / 5 (2) |",
        "| sac |  | 1 / 1 / 1 (1) | 1 / 1 / 1 (1) |",
        "| all | 5 / 3 / 5 (2) | 1 / 1 / 1 (1) | 6 / 4 / 6 (3) |",
    ]


@pytest.mark.slow
def test_a_cell_is_killed_and_equal(matrix: ModuleType, tmp_path: Path) -> None:
    cell = next(cell for cell in matrix.read_cells(matrix.CELLS) if cell.algo == "sac")
    result = matrix.Trial(cell, tmp_path, kills=2, seed=1).run()
    assert (result.differences, result.survived, result.equal) == ([], result.tried, result.tried)
    assert result.tried > 0
