"""Everything that a training under way consists of, taken out of it and put into one that was built alike."""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import BaseBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from rl_experiments.core import pickles
from rl_experiments.core.restoring import put
from rl_experiments.core.snapshots import Native, Rules, Snapshot
from rl_experiments.core.symbols import Trust
from rl_experiments.envs.state import SPACES, end_episodes, put_state, take_state
from rl_experiments.evaluation.statistics import Episode, Evaluation

_LIBRARIES = ("stable_baselines3", "sb3_contrib", "rl_experiments", "gymnasium", "builtins")
_OF_THIS_PROCESS = frozenset(
    {
        "start_time",
        "verbose",
        "tensorboard_log",
        "_total_timesteps",
        "_num_timesteps_at_start",
        "_custom_logger",
        "dump_logs",
    }
)
_OF_CALLBACKS = frozenset(
    {
        "model",
        "locals",
        "globals",
        "parent",
        "games",
        "beside",
        "_held",
        "run",
        "stop",
        "on_evaluation",
        "_bar",
        "_seen",
    }
)
_EXPLORATION = ("exploration_mat", "exploration_matrices")
"""Tensors of state-dependent exploration that are no part of a policy's parameters."""


def _put_tensor(target: torch.Tensor, value: np.ndarray) -> None:
    target.data.copy_(torch.as_tensor(value))


_TENSORS = Native(torch.Tensor, lambda tensor: tensor.detach().cpu().numpy().copy(), _put_tensor)
_KEPT = (torch.nn.Module, torch.optim.Optimizer, torch.device, BaseBuffer, BaseAlgorithm, VecEnv, gym.Env)
_MODEL_RULES = Rules(
    kept=(*_KEPT, Logger),
    in_place=(ActionNoise,),
    natives=(_TENSORS, SPACES),
    skipped=_OF_THIS_PROCESS,
    callables=False,
)


class TrainingState:
    """
    The state of one training.

    :param model: in training
    :param env: its environments
    :param evaluation_env: those of its evaluations, or None
    :param callbacks: all of them
    """

    def __init__(
        self, model: Any, env: VecEnv, evaluation_env: VecEnv | None, callbacks: Sequence[BaseCallback]
    ) -> None:
        self._model = model
        self._envs = {"training": env, **({} if evaluation_env is None else {"evaluation": evaluation_env})}
        self._callbacks = {f"{index} {type(callback).__name__}": callback for index, callback in enumerate(callbacks)}
        self._rules = _callback_rules(callbacks)
        # What a model in JAX computes with is in its file.
        self._model_rules = replace(_MODEL_RULES, kept=(*_MODEL_RULES.kept, *getattr(model, "jax_types", ())))
        self.resets = False
        """Whether environments begin new episodes at checkpoints, because their state cannot be had."""
        self.missing: list[str] = []
        """What the last state that was taken does not hold."""

    def probe(self) -> tuple[list[str], list[str]]:
        """
        Find out whether environments have to begin new episodes at checkpoints.

        :return: what of the environments cannot be had, and what of their wrappers, the callbacks and the model, to
            which new episodes are no help
        """
        everything = [place for env in self._envs.values() for place in take_state(env)[1]]
        wrappers = [place for env in self._envs.values() for place in take_state(env, inside=False)[1]]
        missing = [place for place in dict.fromkeys(everything) if place not in wrappers]
        self.resets = bool(missing)
        return missing, [*dict.fromkeys(wrappers), *self._of_callbacks().missing, *self._of_model().missing]

    def take(self) -> bytes:
        """:return: the state, beside the model's parameters, its optimizers and its replay buffer"""
        exploration = {
            f"{place}/{name}": getattr(owner, name).detach().cpu().numpy()
            for place, owner in self._explorations().items()
            for name in _EXPLORATION
            if hasattr(owner, name)
        }
        model, callbacks = self._of_model(), self._of_callbacks()
        environments = {name: take_state(env, not self.resets) for name, env in self._envs.items()}
        lacking = [place for _, missing in environments.values() for place in missing]
        self.missing = model.missing + callbacks.missing + lacking
        state = {
            "resets": self.resets,
            "model": model.values,
            "callbacks": callbacks.values,
            "exploration": exploration,
            "environments": {name: content for name, (content, _) in environments.items()},
            "generators": _take_generators(),
            "log": _take_log(self._model.logger),
        }
        return pickle.dumps(state, protocol=4)

    def put(self, model_file: Path, content: bytes) -> list[str]:
        """
        Set everything; the logger, the networks and the environments stay the same objects.

        :return: what has no place in this training
        """
        model = self._model
        state = pickles.loads(content, self._rules.trust)
        model.set_parameters(str(model_file), exact_match=True, device=model.device)
        lost = put({"model": model}, state["model"], self._model_rules)
        lost += put(self._callbacks, state["callbacks"], self._rules)
        owners = self._explorations()
        for place, value in state["exploration"].items():
            owner, name = place.split("/")
            setattr(owners[owner], name, torch.as_tensor(value, device=model.device))
        for name, env in self._envs.items():
            lost += put_state(env, state["environments"][name])
        self.resets = state["resets"]
        _put_generators(state["generators"])
        _put_log(model.logger, state.get("log", {}))
        return lost

    def begin_episodes(self, seed: int) -> None:
        """
        Begin new episodes in all environments, in the same way here and in a training that is resumed from this moment.

        :param seed: of the first training environment
        """
        model = self._model
        for offset, env in enumerate(self._envs.values()):
            end_episodes(env)
            env.seed((seed + offset * 7919) % 2**32)
        model._last_obs = model.env.reset()
        model._last_episode_starts = np.ones(model.n_envs, dtype=bool)
        if model._vec_normalize_env is not None:
            model._last_original_obs = model._vec_normalize_env.get_original_obs()

    def end_episodes(self) -> None:
        """Tell the replay buffer that the episodes under way go no further."""
        buffer = getattr(self._model, "replay_buffer", None)
        if not isinstance(buffer, ReplayBuffer) or buffer.size() == 0:
            return
        if isinstance(buffer, HerReplayBuffer):
            buffer.truncate_last_trajectory()
        elif buffer.optimize_memory_usage:
            buffer.dones[buffer.pos - 1] = True
        elif isinstance(buffer, NStepReplayBuffer):
            buffer.timeouts[buffer.pos - 1] = True

    def _of_model(self) -> Snapshot:
        return Snapshot(self._model_rules).take({"model": self._model})

    def _of_callbacks(self) -> Snapshot:
        return Snapshot(self._rules).take(self._callbacks)

    def _explorations(self) -> dict[str, Any]:
        policy = self._model.policy
        owners = {"policy": policy, "actor": getattr(policy, "actor", None)}
        return {place: owner.action_dist for place, owner in owners.items() if hasattr(owner, "action_dist")}


def _callback_rules(callbacks: Sequence[BaseCallback]) -> Rules:
    own = {type(callback).__module__.partition(".")[0] for callback in callbacks} - set(_LIBRARIES)
    ours = {f"{cls.__module__}.{cls.__qualname__}" for cls in (Evaluation, Episode)}
    return Rules(
        kept=(*_KEPT, Logger, KVWriter),
        in_place=(BaseCallback,),
        natives=(_TENSORS, SPACES),
        skipped=_OF_CALLBACKS,
        callables=False,
        trust=Trust(modules=frozenset(own | ours)),
    )


def _take_generators() -> dict[str, Any]:
    cuda = [state.numpy() for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state().numpy(),
        "cuda": cuda,
    }


def _put_generators(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(torch.from_numpy(state["torch"].copy()))
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all([torch.from_numpy(part.copy()) for part in state["cuda"]])


def _take_log(logger: Logger) -> dict[str, tuple[float, int, Any]]:
    """What was recorded and will be written with the next values."""
    return {
        name: (float(value), logger.name_to_count[name], logger.name_to_excluded[name])
        for name, value in logger.name_to_value.items()
        if isinstance(value, (int, float, np.number))
    }


def _put_log(logger: Logger, content: dict[str, tuple[float, int, Any]]) -> None:
    for name, (value, count, excluded) in content.items():
        logger.name_to_value[name], logger.name_to_count[name] = value, count
        logger.name_to_excluded[name] = excluded
