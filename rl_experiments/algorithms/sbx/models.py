"""
The algorithms of SBX, with files that load without a pickle.

A zip of theirs is one of SBX's own, so that ``sbx.SAC.load`` reads it, and holds the same once more as flax's bytes and
a JSON text, which is what is read here.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from rl_experiments.algorithms.sbx.description import DESCRIPTION, FORMAT, STATES, VERSION, describe
from rl_experiments.algorithms.sbx.states import put_states, take_states
from rl_experiments.core.accelerated import prepare_jax, quiet_imports
from rl_experiments.core.errors import ConfigurationError

jax = prepare_jax("--backend sbx", "sbx")
with quiet_imports():
    import sbx
    from flax import linen
    from flax.training.train_state import TrainState


class SavedAsFlax:
    """Saves a model of SBX as flax's bytes too."""

    jax_types: ClassVar[tuple[type, ...]] = (jax.Array, linen.Module, TrainState)
    """What of a model's attributes :data:`STATES` holds, or the making of the model."""
    pickled: ClassVar[tuple[str, ...]] = ("policy", "actor", "qf", "vf", "ent_coef", "ent_coef_state", "key")
    """The same attributes, which SBX's own file holds as pickles."""
    policy_kwargs: dict[str, Any]

    def save(self, path: Any, exclude: Iterable[str] | None = None, include: Iterable[str] | None = None) -> None:
        """As SB3's ``save``."""
        stream = io.BytesIO()
        # The actor holds the policy, which would be there twice; nothing but its noise is asked of it.
        super().save(stream, exclude=[*(exclude or ()), "actor"], include=include)  # type: ignore[misc]
        described = {
            "format": FORMAT,
            "version": VERSION,
            "algorithm": type(self).__name__,
            "policy": _alias(self),
            "policy_kwargs": describe(self.policy_kwargs),
            "exploration_rate": getattr(self, "exploration_rate", None),
        }
        with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
            archive.writestr(DESCRIPTION, json.dumps(described, indent=1) + "\n")
            archive.writestr(STATES, take_states(self))
        if isinstance(path, io.IOBase):
            path.write(stream.getvalue())
        else:
            Path(path).write_bytes(stream.getvalue())

    def set_parameters(self, load_path_or_dict: Any, exact_match: bool = True, device: Any = "auto") -> None:
        """
        Put networks, optimizers and random keys of a file into this model; where there are none (SBX's own ``load``
        calls this too), nothing.
        """
        if isinstance(load_path_or_dict, dict):
            return
        with zipfile.ZipFile(load_path_or_dict) as archive:
            put_states(self, archive.read(STATES))


def _alias(model: Any) -> str:
    """:return: the name of the policy; that of one of the user's own cannot be found again"""
    names = [name for name, policy in model.policy_aliases.items() if policy is model.policy_class]
    if not names:
        raise ConfigurationError(f"{model.policy_class.__name__} is no policy of SBX's: its agent cannot be saved")
    return names[0]


class CrossQ(SavedAsFlax, sbx.CrossQ):
    """CrossQ in JAX."""


class DDPG(SavedAsFlax, sbx.DDPG):
    """DDPG in JAX."""


class DQN(SavedAsFlax, sbx.DQN):
    """DQN in JAX."""


class PPO(SavedAsFlax, sbx.PPO):
    """PPO in JAX."""


class SAC(SavedAsFlax, sbx.SAC):
    """SAC in JAX."""


class TD3(SavedAsFlax, sbx.TD3):
    """TD3 in JAX."""


class TQC(SavedAsFlax, sbx.TQC):
    """TQC in JAX."""
