"""The replay buffer that a new training takes over from an earlier one (``-i``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from rl_experiments.algorithms.sb3.archive import read_data
from rl_experiments.core import pickles
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.symbols import Trust
from rl_experiments.runs import checkpoints
from rl_experiments.runs.checkpoints import Checkpoint
from rl_experiments.runs.folder import MODEL
from rl_experiments.training.replay_state import BUFFER, ReplayState


def take_replay_buffer(model: Any, path: Path, truncate_last_trajectory: bool, trust: Trust) -> str | None:
    """
    Give a model of ``-i`` the replay buffer that belongs to it: the one of its checkpoint, or of the end of its run.

    :param path: of the model
    :return: what was taken, or why not; None where there is none
    :raises RLExperimentsError: if it is damaged, or of other environments
    """
    if path.name == MODEL and path.with_name(BUFFER).is_file():
        return _take_from_checkpoint(model, checkpoints.read(path.parent), truncate_last_trajectory)
    own = path.with_name(f"{path.stem.replace('rl_model_', 'rl_model_replay_buffer_', 1)}.pkl")
    last = path.with_name("replay_buffer.pkl")
    buffer = own if path.stem.startswith("rl_model_") and own.is_file() else last
    if not buffer.is_file():
        return None
    load_replay_buffer(model, buffer, truncate_last_trajectory, trust)
    return f"replay buffer {buffer}"


def _take_from_checkpoint(model: Any, checkpoint: Checkpoint, truncate_last_trajectory: bool) -> str:
    data = read_data(checkpoint.file(MODEL))
    for name in ("buffer_size", "n_envs", "optimize_memory_usage"):
        if data.get(name) != getattr(model, name):
            return (
                f"not the replay buffer of {checkpoint.path} ({name} was {data.get(name)}, is {getattr(model, name)})"
            )
    checkpoint.check()
    ReplayState(model.replay_buffer).read(checkpoint)
    if truncate_last_trajectory and hasattr(model.replay_buffer, "truncate_last_trajectory"):
        model.replay_buffer.truncate_last_trajectory()
    return f"replay buffer {checkpoint.path}"


def load_replay_buffer(model: Any, path: Path, truncate_last_trajectory: bool, trust: Trust) -> None:
    """As SB3's ``load_replay_buffer``, without running the pickle unless the user said so."""
    try:
        buffer = pickles.loads_trusting(path.read_bytes(), trust)
    except pickles.pickle.UnpicklingError as error:
        raise pickles.refusal(str(path), error) from None
    if not isinstance(buffer, ReplayBuffer):
        raise ConfigurationError(f"{path} holds no replay buffer, but a {type(buffer).__name__}")
    if buffer.n_envs != model.n_envs or buffer.observation_space != model.observation_space:
        raise ConfigurationError(
            f"The replay buffer {path} is of {buffer.n_envs} environments with observations"
            f" {buffer.observation_space}, but this training has {model.n_envs} with {model.observation_space}"
        )
    if isinstance(buffer, HerReplayBuffer):
        buffer.set_env(model.get_env())
        if truncate_last_trajectory:
            buffer.truncate_last_trajectory()
    buffer.device = model.device
    model.replay_buffer = buffer
