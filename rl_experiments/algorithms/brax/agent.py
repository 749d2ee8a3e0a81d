"""What acts by a policy of Brax."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from rl_experiments.algorithms.agent import Observation, State
from rl_experiments.algorithms.brax.networks import blank_parameters, make_networks, put_right
from rl_experiments.algorithms.brax.policy import Policy, load_policy
from rl_experiments.algorithms.registry import Algorithm
from rl_experiments.core.accelerated import cpu_device, quiet_imports


class BraxAgent:
    """
    Acts on the processor, one observation after another; nothing of JAX runs before it is used.

    :param policy: as :func:`rl_experiments.algorithms.brax.policy.load_policy` returns it
    :param algorithm: its entry in the registry
    """

    def __init__(self, policy: Policy, algorithm: Algorithm) -> None:
        self.policy = policy
        self.algorithm = algorithm.name
        self.uses_action_masks = False
        self.observation_space = _space(policy.observation_size)
        self.action_space = spaces.Box(-1.0, 1.0, (policy.action_size,), np.float32)

    @cached_property
    def networks(self) -> Any:
        """Brax's ``PPONetworks``."""
        sizes = self.policy.observation_size
        sizes = {name: tuple(shape) for name, shape in sizes.items()} if isinstance(sizes, dict) else sizes
        return make_networks(self.policy.network, sizes, self.policy.action_size)

    @cached_property
    def params(self) -> Any:
        """(normaliser, policy, value) in Brax's classes, as its ``ppo.train`` returns them."""
        return put_right(self.policy.parameters, self._blank)

    def make_inference_fn(self, params: Any = None, deterministic: bool = False) -> Callable[[Any, Any], Any]:
        """
        What Brax's ``ppo.train`` returns first: from parameters to a function that acts.

        :param params: those of this agent if None; a tuple or list (normaliser, policy, value), an object with
            ``policy`` and ``value``, and what else recipes pass, is put right
        :param deterministic: the most probable actions instead of samples
        :return: a function of an observation and a key that returns the action and a dictionary
        :raises ConfigurationError: if the parameters are none, or of other networks
        """
        with quiet_imports():
            from brax.training.agents.ppo import networks

        given = self.params if params is None else put_right(params, self._blank, self.params[0])
        made: Callable[[Any, Any], Any] = networks.make_inference_fn(self.networks)(given, deterministic)
        return made

    make_policy = make_inference_fn

    def predict(
        self,
        observation: Observation,
        state: State = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, State]:
        """See :class:`rl_experiments.algorithms.agent.Agent`."""
        import jax

        key = np.random.randint(2**32, size=2, dtype=np.uint32) if not deterministic else np.zeros(2, np.uint32)
        with jax.default_device(cpu_device()):
            return np.asarray(self._act[deterministic](self._params_there, observation, key)), None

    def exchange(self, policy: Policy) -> None:
        """Act by another policy of the same networks; what is compiled stays."""
        self.policy = policy
        for name in ("params", "_params_there"):
            self.__dict__.pop(name, None)

    @cached_property
    def _params_there(self) -> Any:
        import jax

        return jax.device_put(self.params, cpu_device())

    @cached_property
    def _act(self) -> dict[bool, Any]:
        with quiet_imports():
            from brax.training.agents.ppo import networks

        make_policy = networks.make_inference_fn(self.networks)
        return {deterministic: _acting(make_policy, deterministic) for deterministic in (True, False)}

    @cached_property
    def _blank(self) -> Any:
        return blank_parameters(self.networks, self.observation_space.sample())


def _acting(make_policy: Any, deterministic: bool) -> Any:
    import jax

    return jax.jit(lambda params, observation, key: make_policy(params, deterministic)(observation, key)[0])


def load_brax_agent(path: Path, algorithm: Algorithm) -> BraxAgent:
    """:return: the agent that acts by the policy in a file"""
    return BraxAgent(load_policy(path), algorithm)


def _space(size: Any) -> spaces.Space:
    if isinstance(size, dict):
        return spaces.Dict(
            {name: spaces.Box(-np.inf, np.inf, tuple(shape), np.float32) for name, shape in size.items()}
        )
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)
