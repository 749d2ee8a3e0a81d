"""
The algorithms: one entry each, and nothing imported before it is used.

To add one, register an :class:`Algorithm` here (or call :func:`register` from your own package) and write
``hyperparams/<name>.yml``.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, replace
from typing import Any

from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.suggest import hint

DISCRETE, CONTINUOUS = frozenset({"Discrete"}), frozenset({"Box"})
ANY = frozenset({"Discrete", "Box", "MultiDiscrete", "MultiBinary"})


@dataclass(frozen=True)
class Algorithm:
    """
    What is known of an algorithm without importing it.

    :param name: what ``--algo`` takes
    :param class_path: dotted path to the class that trains
    :param action_spaces: names of the Gymnasium spaces that it can act in
    :param off_policy: whether it learns from a replay buffer
    :param recurrent: whether its policy carries a state from step to step
    :param masked: whether its policy takes masks of the actions that are allowed
    :param dict_observations: whether it takes observations that are dictionaries
    :param summary: one line for people
    :param backend: what trains it
    """

    name: str
    class_path: str
    action_spaces: frozenset[str]
    summary: str
    off_policy: bool = False
    recurrent: bool = False
    masked: bool = False
    dict_observations: bool = True
    backend: str = "sb3"

    @property
    def class_name(self) -> str:
        """Name of the class, as it stands on a model card."""
        return self.class_path.rpartition(".")[2]

    def load_class(self) -> Any:
        """Import the class."""
        module, _, name = self.class_path.rpartition(".")
        found = getattr(importlib.import_module(module), name)
        if "torch" in sys.modules:
            from rl_experiments.core.torch_start import spare_the_compiler

            spare_the_compiler()
        return found


HINDSIGHT = "her"
"""
What the zoo called hindsight replay when it was an algorithm around another one. Runs in a folder of this name are of
the other one.
"""
HINDSIGHT_TODAY = (
    "her is no algorithm of its own any more: give --algo sac (or ddpg, dqn, td3, tqc) with"
    " -params replay_buffer_class:HerReplayBuffer"
)

SB3, SBX = BACKENDS = ("sb3", "sbx")
"""What ``--backend`` chooses between, for the algorithms that both have."""

_REGISTRY: dict[str, Algorithm] = {}


def register(algorithm: Algorithm) -> Algorithm:
    """
    Add an algorithm.

    :raises ConfigurationError: if the name is taken
    """
    if algorithm.name in _REGISTRY:
        raise ConfigurationError(f"There is already an algorithm '{algorithm.name}'")
    _REGISTRY[algorithm.name] = algorithm
    return algorithm


def algorithm_names(backend: str | None = None) -> list[str]:
    """
    :param backend: only those that it trains; all if None
    :return: what ``--algo`` takes, sorted
    """
    return sorted(name for name, entry in _REGISTRY.items() if backend in (None, entry.backend))


def names_of_runs() -> list[str]:
    """:return: what ``--algo`` takes where it chooses runs, sorted: ``her`` too"""
    return sorted([*_REGISTRY, HINDSIGHT])


def get_algorithm(name: str, backend: str = SB3) -> Algorithm:
    """
    :param backend: ``sbx`` for the same algorithm in JAX; otherwise the one that the registry has
    :raises ConfigurationError: if there is none of that name, or SBX has it not; the message has the nearest
    """
    if name == HINDSIGHT:
        raise ConfigurationError(HINDSIGHT_TODAY)
    if name not in _REGISTRY:
        raise ConfigurationError(f"There is no algorithm '{name}'.{hint(name, _REGISTRY)}")
    if backend not in BACKENDS:
        raise ConfigurationError(f"There is no backend '{backend}'.{hint(backend, BACKENDS)}")
    if backend == SBX:
        return _in_jax(_REGISTRY[name])
    return _REGISTRY[name]


def _in_jax(algorithm: Algorithm) -> Algorithm:
    if algorithm.name not in _OF_SBX:
        raise ConfigurationError(f"SBX has no {algorithm.name}. --backend sbx is for: {', '.join(sorted(_OF_SBX))}")
    return replace(
        algorithm,
        class_path=f"rl_experiments.algorithms.sbx.models.{algorithm.class_name}",
        dict_observations=_OF_SBX[algorithm.name],
        backend=SBX,
    )


_OF_SBX = {"crossq": True, "ddpg": False, "dqn": False, "ppo": False, "sac": True, "td3": True, "tqc": True}
"""The algorithms that SBX has, and whether they take observations that are dictionaries there."""


for _algorithm in (
    Algorithm("a2c", "stable_baselines3.A2C", ANY, "Advantage actor-critic (Mnih et al. 2016)"),
    Algorithm(
        "ars",
        "sb3_contrib.ARS",
        DISCRETE | CONTINUOUS,
        "Augmented random search (Mania et al. 2018)",
        dict_observations=False,
    ),
    Algorithm(
        "brax_ppo",
        "rl_experiments.algorithms.brax.BraxPPO",
        CONTINUOUS,
        "Proximal policy optimization in JAX, in environments of Brax (Freeman et al. 2021)",
        backend="brax",
    ),
    Algorithm(
        "crossq",
        "sb3_contrib.CrossQ",
        CONTINUOUS,
        "CrossQ (Bhatt et al. 2024)",
        off_policy=True,
        dict_observations=False,
    ),
    Algorithm(
        "ddpg",
        "stable_baselines3.DDPG",
        CONTINUOUS,
        "Deep deterministic policy gradient (Lillicrap et al. 2016)",
        off_policy=True,
    ),
    Algorithm("dqn", "stable_baselines3.DQN", DISCRETE, "Deep Q-network (Mnih et al. 2015)", off_policy=True),
    Algorithm("ppo", "stable_baselines3.PPO", ANY, "Proximal policy optimization (Schulman et al. 2017)"),
    Algorithm("ppo_lstm", "sb3_contrib.RecurrentPPO", ANY, "PPO with an LSTM policy", recurrent=True),
    Algorithm(
        "ppo_mask",
        "sb3_contrib.MaskablePPO",
        frozenset({"Discrete", "MultiDiscrete", "MultiBinary"}),
        "PPO with invalid actions masked (Huang and Ontanon 2022)",
        masked=True,
    ),
    Algorithm(
        "q_learning",
        "rl_experiments.algorithms.tabular.QLearning",
        DISCRETE,
        "Q-learning with a table (Watkins 1989)",
        dict_observations=False,
        backend="tabular",
    ),
    Algorithm("qrdqn", "sb3_contrib.QRDQN", DISCRETE, "Quantile regression DQN (Dabney et al. 2018)", off_policy=True),
    Algorithm("sac", "stable_baselines3.SAC", CONTINUOUS, "Soft actor-critic (Haarnoja et al. 2018)", off_policy=True),
    Algorithm("td3", "stable_baselines3.TD3", CONTINUOUS, "Twin delayed DDPG (Fujimoto et al. 2018)", off_policy=True),
    Algorithm(
        "tqc", "sb3_contrib.TQC", CONTINUOUS, "Truncated quantile critics (Kuznetsov et al. 2020)", off_policy=True
    ),
    Algorithm("trpo", "sb3_contrib.TRPO", ANY, "Trust region policy optimization (Schulman et al. 2015)"),
):
    register(_algorithm)
