"""A table of values as a picture, on the map where the environment has one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from rl_experiments.algorithms.tabular.table import Table
from rl_experiments.core.files import replacing
from rl_experiments.envs import EnvironmentRecipe, make_one

_ARROWS = {(0, -1): "←", (1, 0): "↓", (0, 1): "→", (-1, 0): "↑"}
_FROZEN_LAKE = ((0, -1), (1, 0), (0, 1), (-1, 0))
_CLIFF = ((-1, 0), (0, 1), (1, 0), (0, -1))
_TAXI = ((1, 0), (-1, 0), (0, 1), (0, -1))
_PLACES = ("red", "green", "yellow", "blue", "in the taxi")
_MOST_ROWS = 4000
_MARKED = "SGH"


def draw_table(table: Table, recipe: EnvironmentRecipe, target: Path) -> bool:
    """
    Draw the value of the best action, and which it is.

    :param recipe: the environment of the table
    :param target: a .png file
    :return: whether there was anything to draw
    """
    env = make_one(recipe.without_kwargs("render_mode"), checked=False)
    env.close()
    name = recipe.env_id.rpartition(":")[2].partition("-v")[0]
    if name == "Taxi" and table.n_observations == 500:
        figure = _taxi(table)
    elif (shape := _shape_of(name, env.unwrapped, table)) is not None:
        figure = _map(table, shape, env.unwrapped, _CLIFF if name.startswith("Cliff") else _FROZEN_LAKE)
    elif table.n_observations <= _MOST_ROWS:
        figure = _plain(table)
    else:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with replacing(target) as temporary:
        # Without the version in the file, the same table gives the same bytes.
        FigureCanvasAgg(figure).print_png(temporary, metadata={"Software": None})
    return True


def _shape_of(name: str, env: gym.Env, table: Table) -> tuple[int, int] | None:
    inner: Any = env
    if name == "FrozenLake":
        shape = (int(inner.nrow), int(inner.ncol))
    elif name in ("CliffWalking", "CliffWalkingSlippery"):
        shape = (int(inner.shape[0]), int(inner.shape[1]))
    else:
        return None
    return shape if shape[0] * shape[1] == table.n_observations and table.n_actions == 4 else None


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def _map(table: Table, shape: tuple[int, int], env: gym.Env, moves: Sequence[tuple[int, int]]) -> Any:
    figure = _figure(1.5 + 0.75 * shape[1], 1.0 + 0.75 * shape[0])
    axes = figure.add_subplot()
    values = table.q.max(axis=1).reshape(shape)
    letters = getattr(env, "desc", None)
    ends = np.zeros(shape, dtype=bool) if letters is None else np.isin(letters, (b"H", b"G"))
    _draw_cells(axes, np.where(ends, np.nan, values), table.q.reshape(*shape, -1), moves, ends, numbers=True)
    for row, column in np.ndindex(*shape):
        letter = "" if letters is None else letters[row, column].decode()
        if letter in _MARKED:
            axes.text(column - 0.42, row - 0.3, letter, fontsize=9, fontweight="bold", color="#444444")
    figure.colorbar(axes.images[0], ax=axes, label="value of the best action")
    axes.set_title("Best action and its value")
    return figure


def _taxi(table: Table) -> Any:
    """One small map for each place of the passenger (rows) and each destination (columns)."""
    figure = _figure(9, 11)
    panels = figure.subplots(5, 4)
    q = table.q.reshape(5, 5, 5, 4, -1)
    best = q.max(axis=-1)
    for passenger, destination in np.ndindex(5, 4):
        axes = panels[passenger, destination]
        if passenger == destination:
            axes.axis("off")  # such states are only the ends of episodes
            continue
        _draw_cells(
            axes,
            best[:, :, passenger, destination],
            q[:, :, passenger, destination],
            (*_TAXI, "P", "D"),
            np.zeros((5, 5), dtype=bool),
            limits=(float(best.min()), float(best.max())),
        )
        axes.set_title(f"passenger {_PLACES[passenger]}, to {_PLACES[destination]}", fontsize=8)
    figure.colorbar(panels[4, 3].images[0], ax=panels, label="value of the best action", shrink=0.5)
    figure.suptitle("Best action for each cell (P: pick up, D: drop off)")
    return figure


def _draw_cells(
    axes: Any,
    values: np.ndarray,
    q: np.ndarray,
    moves: Sequence[Any],
    ends: np.ndarray,
    numbers: bool = False,
    limits: tuple[float, float] | None = None,
) -> None:
    """Colours are values; a state whose actions are all equal has learned nothing, and gets no arrow."""
    low, high = limits or (float(np.nanmin(values)), float(np.nanmax(values)))
    axes.imshow(values, cmap="viridis", vmin=low, vmax=max(high, low + 1e-9))
    axes.set(xticks=[], yticks=[])
    for row, column in np.ndindex(*values.shape):
        if ends[row, column]:
            continue
        # Dark text on the bright half of the colours.
        colour = "black" if values[row, column] > (low + high) / 2 else "white"
        if np.ptp(q[row, column]) > 0:
            move = moves[int(np.argmax(q[row, column]))]
            axes.text(column, row, _ARROWS.get(move, move), ha="center", va="center", fontsize=12, color=colour)
        if numbers:
            text = f"{values[row, column]:.2f}"
            axes.text(column, row + 0.36, text, ha="center", va="center", fontsize=7, color=colour)


def _plain(table: Table) -> Any:
    figure = _figure(6.4, 6.4)
    axes = figure.add_subplot()
    axes.imshow(table.q, aspect="auto", cmap="viridis", interpolation="nearest")
    axes.set(xlabel="action", ylabel="observation", title="Values")
    axes.set_xticks(range(table.n_actions) if table.n_actions <= 20 else [0, table.n_actions - 1])
    figure.colorbar(axes.images[0], ax=axes)
    return figure
