"""
The zip file of an SB3 model: written without paths of this machine, read without running pickles.

SB3 stores what JSON cannot hold as pickles inside the JSON text ``data``. When a key is given in ``custom_objects``,
SB3 does not unpickle
it: reading every such key ourselves, with an unpickler that knows only the names it needs, makes loading free of code
execution.
"""

from __future__ import annotations

import base64
import binascii
import copy
import io
import json
import pickle
import warnings
import zipfile
from collections import deque
from pathlib import Path
from typing import Any

from rl_experiments.algorithms.registry import Algorithm
from rl_experiments.algorithms.sb3.safety import AllocationBudget, check_attributes, check_members, check_weights
from rl_experiments.algorithms.sbx.description import STATES
from rl_experiments.core import pickles
from rl_experiments.core.errors import ConfigurationError, NotFoundError, RLExperimentsError
from rl_experiments.core.files import check_content, check_plain_file, replacing
from rl_experiments.core.symbols import Trust

_LARGEST_DATA = 64 << 20

_MACHINE_KEYS = ["tensorboard_log", "dump_logs"]
"""Attributes that name places on this machine, and a method that a training that was resumed has of its own."""

_STAND_INS: dict[str, Any] = {
    # Schedules were functions in old files. An agent that only acts needs none of them; training makes new ones.
    "learning_rate": 0.0,
    "lr_schedule": lambda _: 0.0,
    "clip_range": lambda _: 0.0,
    "clip_range_vf": None,
    "exploration_schedule": lambda _: 0.0,
    "delta_std_schedule": lambda _: 0.0,
    "delta_std": 0.0,
    # What belongs to an interrupted training, not to the agent.
    "_last_obs": None,
    "_last_episode_starts": None,
    "_last_dones": None,
    "_last_original_obs": None,
    "_last_lstm_states": None,
    "ep_info_buffer": deque(maxlen=100),
    "ep_success_buffer": deque(maxlen=100),
    "action_noise": None,
    "replay_buffer_class": None,
    "replay_buffer_kwargs": {},
    "rollout_buffer_class": None,
    "rollout_buffer_kwargs": {},
    "goal_selection_strategy": None,
    "model_class": None,
    "train_freq": 1,
    "target_entropy": "auto",
    "weights": None,
}
"""What takes the place of a key that cannot be read; anything else is needed to act."""

_FOR_TRAINING_ONLY = (
    "replay_buffer_class",
    "replay_buffer_kwargs",
    "rollout_buffer_class",
    "rollout_buffer_kwargs",
    "action_noise",
)


def save_model(model: Any, path: Path) -> None:
    """
    Write the model's zip, whole or not at all, without this machine's paths in it.

    :param model: an SB3 model
    :param path: the file; its folder is made
    """
    with replacing(path) as temporary:
        model.save(temporary, exclude=_MACHINE_KEYS)


def model_bytes(model: Any) -> bytes:
    """:return: what :func:`save_model` writes, as far as a checkpoint needs it"""
    stream = io.BytesIO()
    # What SBX needs of a file to load it alone is no part of a checkpoint.
    model.save(stream, exclude=[*_MACHINE_KEYS, *getattr(model, "pickled", ())])
    return stream.getvalue()


def load_model(path: Path, algorithm: Algorithm, device: str = "auto", trust: Trust | None = None) -> Any:
    """
    Load a model that acts.

    Its buffers have room for one step, and training goes on from it only through SB3's own ``load``.

    :param path: a zip that SB3, the zoo or we wrote
    :param algorithm: what it was trained with
    :param device: as torch names it, or ``auto``
    :param trust: names of the user's own that may be imported; with ``pickles``, they run as in SB3
    :raises UntrustedError: if something that it needs could only be read by running code; the message names it
    :raises ConfigurationError: if it is no such file, or of another algorithm
    """
    data = read_data(path)
    objects, _ = read_objects(data, path, trust or Trust())
    objects.update({key: _stand_in(key) for key in _FOR_TRAINING_ONLY if key in data})
    arguments = {"buffer_size": 1, "optimize_memory_usage": False} if algorithm.off_policy else {}
    return load_with(path, algorithm, objects, device=device, n_envs=1, n_steps=1, **arguments)


def load_with(path: Path, algorithm: Algorithm, objects: dict[str, Any], **arguments: Any) -> Any:
    """
    Call SB3's ``load`` with every pickled object given, so that it unpickles none.

    :param objects: what :func:`read_objects` returned
    :param arguments: further arguments of ``load``
    :raises ConfigurationError: if the file does not load as a model of the algorithm
    """
    algorithm_class = algorithm.load_class()
    data = read_data(path)
    check_attributes(data, objects, algorithm_class, path)
    # SB3 would make the environment that a file names.
    objects = {**objects, **({"env": None} if "env" in data else {})}
    budget = AllocationBudget(check_weights(path), path)
    try:
        with warnings.catch_warnings(), budget:
            # SB3 adapts files of its older versions, and says so at length.
            warnings.filterwarnings("ignore", message="You are probably loading")
            return algorithm_class.load(path, custom_objects=objects, **arguments)
    except RLExperimentsError:
        raise
    except Exception as error:  # a damaged file can make SB3 and torch raise anything
        reason = " ".join(str(error).split())[:300]
        raise ConfigurationError(
            f"{path} does not load as a model of {algorithm.name}: {type(error).__name__}: {reason}"
        ) from error


def read_data(path: Path) -> dict[str, Any]:
    """
    :return: the JSON of an SB3 zip, pickles still as text
    :raises NotFoundError: if there is no file
    :raises ConfigurationError: if it is no SB3 model
    """
    if not path.exists():
        raise NotFoundError(f"There is no model {path}")
    check_plain_file(path)
    check_content(path)
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(archive, path)
            if archive.getinfo("data").file_size > _LARGEST_DATA + _states_size(archive):
                raise ConfigurationError(f"{path} is no model of Stable-Baselines3: its data is too large")
            data = json.loads(archive.read("data"))
    except RLExperimentsError:
        raise
    except RecursionError:
        raise ConfigurationError(f"{path} is no model of Stable-Baselines3: its data is nested too deeply") from None
    except Exception as error:  # zipfile lets errors of zlib, struct and others through
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{path} is no model of Stable-Baselines3: {reason}") from None
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path} is no model of Stable-Baselines3: its data is no mapping")
    return data


def _states_size(archive: zipfile.ZipFile) -> int:
    """SBX keeps its networks in ``data``: what they take there, by what they take beside it."""
    return 4 * archive.getinfo(STATES).file_size if STATES in archive.namelist() else 0


def _stand_in(key: str) -> Any:
    """:return: a value of its own for each model, because SB3 adds to some"""
    return copy.copy(_STAND_INS[key])


def read_objects(data: dict[str, Any], path: Path, trust: Trust) -> tuple[dict[str, Any], set[str]]:
    """
    Read the pickled parts of a model without running them.

    :param data: what :func:`read_data` returned
    :return: every pickled key with its value, or with its stand-in where it cannot be read; and the keys with stand-ins
    :raises UntrustedError: if something that an agent needs cannot be read; the message names what stood in the way
    """
    objects: dict[str, Any] = {}
    replaced: set[str] = set()
    for key, item in data.items():
        if not isinstance(item, dict) or ":serialized:" not in item:
            continue
        try:
            content = base64.b64decode(item[":serialized:"])
            objects[key] = pickles.loads_trusting(content, trust)
        except (pickle.UnpicklingError, binascii.Error, TypeError, ValueError) as error:
            if key not in _STAND_INS:
                raise pickles.refusal(f"'{key}' in {path}", error) from None
            objects[key] = _stand_in(key)
            replaced.add(key)
    return objects, replaced
