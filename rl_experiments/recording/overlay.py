"""Step, reward, return and action as a bar below a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.core.names import folder_name
from rl_experiments.recording.apart import DistantVecEnv
from rl_experiments.recording.composing import NARROWEST, characters_in, with_rows
from rl_experiments.recording.scene import Moment

_NAMES: dict[str, Sequence[str]] = {
    "Acrobot": ("torque -1", "none", "torque +1"),
    "Blackjack": ("stick", "hit"),
    "CarRacing": ("none", "right", "left", "gas", "brake"),
    "CartPole": ("left", "right"),
    "CliffWalking": ("up", "right", "down", "left"),
    "FrozenLake": ("left", "down", "right", "up"),
    "LunarLander": ("none", "left engine", "main engine", "right engine"),
    "MountainCar": ("left", "none", "right"),
    "Taxi": ("south", "north", "east", "west", "pickup", "dropoff"),
}
"""Names of the actions that Gymnasium has only in its documentation."""
_LONGEST_FIELD, _LONGEST_NUMBER, _MOST_ROWS = 16, 6, 2


def overlay_of(env: VecEnv) -> Callable[[Moment], np.ndarray]:
    """:return: what draws the bar for the moments of these environments"""
    vector = env.unwrapped
    names = vector.inside(action_names) if isinstance(vector, DistantVecEnv) else action_names(env)

    def draw(moment: Moment) -> np.ndarray:
        return with_rows(moment.picture, rows_of(moment, env.action_space.shape or (), names))

    return draw


def rows_of(moment: Moment, shape: tuple[int, ...], names: Sequence[str] = ()) -> list[str]:
    """
    :param shape: of an action, which decides on the number of rows
    :param names: of discrete actions
    :return: lines for :func:`rl_experiments.recording.composing.with_rows`, as many for each moment
    """
    room = characters_in(max(moment.picture.shape[1], NARROWEST))
    fields = [f"step {moment.step}", f"reward {_number(moment.reward)}", f"return {_number(moment.total)}"]
    if room >= 3 * _LONGEST_FIELD:
        rows = ["\t".join(fields)]
    elif room >= 28:
        rows = ["\t".join(fields[:2]), fields[2]]
    else:
        rows = fields
    return rows + _action_rows(moment.action, int(np.prod(shape)), names, room - len("action "))


def action_names(env: VecEnv) -> Sequence[str]:
    """:return: what the discrete actions of an environment are called, as far as that is known"""
    if not isinstance(env.action_space, spaces.Discrete):
        return ()
    for attribute in ("get_action_meanings", "actions", "action_type"):
        try:
            value = env.get_attr(attribute)[0]
            names = _names_in(value() if attribute == "get_action_meanings" else value)
        except Exception:  # another environment may mean anything by it
            continue
        if len(names) == env.action_space.n:
            return names
    spec = env.get_attr("spec")[0]
    return _NAMES.get(folder_name(spec.id).rpartition("-v")[0], ()) if spec is not None else ()


def _names_in(value: Any) -> Sequence[str]:
    if isinstance(value, type) and hasattr(value, "__members__"):  # an enumeration, as in MiniGrid
        return [name for name, _ in sorted(value.__members__.items(), key=lambda item: int(item[1]))]
    if hasattr(value, "actions"):  # highway-env
        value = [value.actions[index] for index in range(len(value.actions))]
    return list(value) if isinstance(value, list) and all(isinstance(name, str) for name in value) else ()


def _action_rows(action: Any, size: int, names: Sequence[str], room: int) -> list[str]:
    if size == 1:
        return [f"action {'-' if action is None else _action(action.reshape(-1)[0], names)}"]
    in_a_row = max(1, room // (_LONGEST_NUMBER + 1))
    n_rows = min(_MOST_ROWS, -(-size // in_a_row))
    if action is None:
        return ["action -", *[""] * (n_rows - 1)]
    numbers = [_component(value) for value in action.reshape(-1)]
    if size > n_rows * in_a_row:
        numbers = [*numbers[: n_rows * in_a_row - 1], f"... ({size})"]
    rows = [" ".join(numbers[index : index + in_a_row]) for index in range(0, n_rows * in_a_row, in_a_row)]
    return [f"action {rows[0]}", *(f"    {row}" for row in rows[1:])]


def _action(value: Any, names: Sequence[str]) -> str:
    if np.issubdtype(type(value), np.integer):
        return f"{value} {names[int(value)]}" if 0 <= int(value) < len(names) else str(value)
    return _component(value)


def _component(value: Any) -> str:
    return str(value) if np.issubdtype(type(value), np.integer) else f"{float(value):+.2f}"


def _number(value: float) -> str:
    return f"{value:.2f}" if value == 0 or 0.005 <= abs(value) < 1e6 else f"{value:.2g}"
