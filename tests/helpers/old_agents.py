"""Runs as the zoo left them years ago: files of today, rewritten as SB3 1.0 and Python 3.7 had them."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rl_experiments import Run
from rl_experiments.core import pickles
from rl_experiments.core.yaml_io import dump_like_the_zoo
from tests.helpers.tampering import members_of, write_members

_NEVER_THEN = ("rollout_buffer_class", "rollout_buffer_kwargs", "replay_buffer_class", "replay_buffer_kwargs")
_FUNCTIONS_THEN = ("lr_schedule", "clip_range", "exploration_schedule", "learning_rate")


class Nothing(gym.Env):
    """An environment with given spaces, in which nothing happens."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin."""
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        """Go on."""
        return self.observation_space.sample(), 0.0, False, False, {}


class Goals(gym.Env):
    """A goal environment: the action moves a point, and the goal is another point."""

    def __init__(self) -> None:
        point, three = spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (3,))
        self.observation_space = spaces.Dict({"achieved_goal": point, "desired_goal": point, "observation": three})
        self.action_space = spaces.Box(-1, 1, (2,))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin."""
        super().reset(seed=seed)
        self._goal = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self._steps = 0
        return self._observation(np.zeros(2, np.float32)), {}

    def step(self, action: Any) -> Any:
        """Go on."""
        self._steps += 1
        observation = self._observation(np.asarray(action, np.float32))
        return observation, -1.0, False, self._steps == 10, {"is_success": False}

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """For hindsight replay."""
        return -np.linalg.norm(achieved_goal - desired_goal, axis=-1)

    def _observation(self, place: np.ndarray) -> dict[str, np.ndarray]:
        whole = np.append(place, np.float32(self._steps / 10))
        return {"achieved_goal": place, "desired_goal": self._goal, "observation": whole}


def as_of_old(value: Any) -> dict[str, str]:
    """:return: a value as SB3 stored it with gym and NumPy 1, in an early protocol"""
    content = cloudpickle.dumps(value, protocol=2)
    content = content.replace(b"cgymnasium.spaces", b"cgym.spaces").replace(b"cnumpy._core", b"cnumpy.core")
    kind = str(type(value)).replace("gymnasium", "gym")
    return {":type:": kind, ":serialized:": base64.b64encode(content).decode()}


def code_of_old() -> dict[str, str]:
    """:return: a schedule as it was stored: code of a Python that is not this one, by way of cloudpickle 1"""
    content = b"\x80\x04ccloudpickle.cloudpickle\n_fill_function\n(ccloudpickle.cloudpickle\n_make_skel_func\n)tR."
    return {":type:": "<class 'function'>", ":serialized:": base64.b64encode(content).decode()}


def write_old_run(
    log_folder: Path,
    folder: str,
    env_id: str,
    model: Any,
    config: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Run:
    """
    Write a run folder of a model, with everything in its data that SB3 1.0 had otherwise.

    :param folder: of the algorithm
    :param changes: further entries of the data
    """
    run = Run(log_folder / folder / f"{env_id}_1", folder, env_id)
    run.config_folder.mkdir(parents=True)
    model.save(run.final_model)
    members = members_of(run.final_model)
    data = json.loads(members["data"])
    for key, entry in list(data.items()):
        if key in _NEVER_THEN:
            del data[key]
        elif key in _FUNCTIONS_THEN:
            data[key] = code_of_old()
        elif isinstance(entry, dict) and ":serialized:" in entry:
            with contextlib.suppress(pickles.pickle.UnpicklingError):  # tensors stay as they are
                value = pickles.loads(base64.b64decode(entry[":serialized:"]))
                said = {name: text for name, text in entry.items() if not name.startswith(":")}
                data[key] = {**said, **as_of_old(value)}
    members["data"] = json.dumps({**data, "_last_dones": None, **(changes or {})}).encode()
    del members["system_info.txt"], members["_stable_baselines3_version"]
    write_members(run.final_model, members)
    (run.config_folder / "config.yml").write_text(dump_like_the_zoo({"policy": "MlpPolicy", **(config or {})}))
    (run.config_folder / "args.yml").write_text(dump_like_the_zoo({"algo": folder, "env": env_id, "seed": 1}))
    return run
