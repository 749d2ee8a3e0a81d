"""
PPO as Brax has it, one update at a time, made of Brax's own losses, networks and environments.

Brax's ``ppo.train`` keeps the optimizer, the environments and the random key to itself: a training that is killed could
only begin anew from its policy. Here they are one value, which is saved and put back. The same seed gives the same
parameters as ``ppo.train`` with one epoch (a test compares them).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rl_experiments.algorithms.brax.algorithm import BraxPPO
from rl_experiments.algorithms.brax.networks import make_networks
from rl_experiments.core.accelerated import quiet_imports
from rl_experiments.envs.brax.simulation import make_environment, wrap_for_training

_EXTRA = ("truncation", "episode_metrics", "episode_done")


class LearnerState(NamedTuple):
    """
    All that a training goes on from.

    :param normalizer: running mean and deviation of the observations
    :param params: of both networks, Brax's ``PPONetworkParams``
    :param optimizer: Adam's moments
    :param envs: Brax's ``State`` of all environments
    :param key: of everything random
    """

    normalizer: Any
    params: Any
    optimizer: Any
    envs: Any
    key: Any

    @property
    def parameters(self) -> Any:
        """(normaliser, policy, value), as Brax hands parameters around."""
        return self.normalizer, self.params.policy, self.params.value


class BraxLearner:
    """
    :param settings: the hyperparameters
    :param n_envs: environments at once
    :param name: of the environment
    :param kwargs: its arguments
    :param device: of JAX
    :param wait: runs a function that takes long (tracing, compiling), told what it is, and returns what it returned
    """

    def __init__(
        self,
        settings: BraxPPO,
        n_envs: int,
        name: str,
        kwargs: dict[str, Any],
        device: Any,
        wait: Callable[[str, Callable[[], Any]], Any] = lambda what, function: function(),
    ) -> None:
        self.settings = settings
        import jax

        self._n_envs, self._device, self._wait = n_envs, device, wait
        self._compiled: Any = None
        with jax.default_device(device):
            self.env = wrap_for_training(name, make_environment(name, kwargs), settings.episode_length)
            self.networks = make_networks(settings.network, self.env.observation_size, self.env.action_size)
        self._optimizer = _make_optimizer(settings)

    def begin(self, seed: int, parameters: Any = None) -> LearnerState:
        """
        :param seed: of everything random
        :param parameters: (normaliser, policy, value) to begin with; drawn if None
        :return: the state before the first update
        """
        import jax

        key = np.array([0, seed], np.uint32)
        begin = self._compile("the reset of the environments", jax.jit(self._begin), key)
        with jax.default_device(self._device):
            state = begin(key)
            if parameters is not None:
                normalizer, policy, value = jax.device_put(parameters, self._device)
                state = state._replace(normalizer=normalizer, params=state.params.replace(policy=policy, value=value))
        return LearnerState(*state)

    def blank(self) -> Any:
        """:return: shapes and types of a state"""
        import jax

        with jax.default_device(self._device):
            return jax.eval_shape(self._begin, jax.ShapeDtypeStruct((2,), np.uint32))

    def put(self, state: Any) -> LearnerState:
        """:return: a state of NumPy arrays, on the device"""
        import jax

        return LearnerState(*jax.device_put(state, self._device))

    def compile(self, state: Any) -> None:
        """Compile the update for states like this one, or like :meth:`blank`."""
        import jax

        update = jax.jit(self._update, donate_argnums=(0,))
        self._compiled = self._compile("the update", update, state, np.float32(0.0))

    def update(self, state: LearnerState, learning_rate: float) -> tuple[LearnerState, dict[str, Any]]:
        """
        Collect and learn; the given state is used up.

        :return: the next state, and what was measured
        """
        import jax

        with jax.default_device(self._device):
            state, metrics = self._compiled(state, np.float32(learning_rate))
            return LearnerState(*state), jax.device_get(metrics)

    def _compile(self, what: str, function: Any, *arguments: Any) -> Any:
        import jax

        def work() -> Any:
            with jax.default_device(self._device):  # what is set so holds for one thread
                return function.lower(*arguments).compile()

        return self._wait(what, work)

    def _begin(self, key: Any) -> LearnerState:
        """The keys are split as in Brax's ``ppo.train``."""
        import jax
        from brax.training.acme import running_statistics, specs
        from brax.training.agents.ppo import losses

        global_key, local_key = jax.random.split(key)
        local_key = jax.random.fold_in(local_key, 0)
        local_key, key_envs, _ = jax.random.split(local_key, 3)
        key_policy, key_value = jax.random.split(global_key)
        envs = _without_weak_types(self.env.reset(jax.random.split(key_envs, self._n_envs)))
        params = losses.PPONetworkParams(
            policy=self.networks.policy_network.init(key_policy), value=self.networks.value_network.init(key_value)
        )
        shapes = jax.tree.map(lambda part: specs.Array(part.shape[-1:], np.dtype("float32")), envs.obs)
        epoch_key = jax.random.split(jax.random.split(local_key)[0], 1)[0]
        normalizer = running_statistics.init_state(shapes)
        return _without_weak_types(LearnerState(normalizer, params, self._optimizer.init(params), envs, epoch_key))

    def _update(self, state: Any, learning_rate: Any) -> tuple[Any, dict[str, Any]]:
        import jax
        from brax.training.acme import running_statistics

        key_sgd, key_unroll, key = jax.random.split(state.key, 3)
        envs, data = self._collect(state, key_unroll)
        normalizer = running_statistics.update(state.normalizer, data.observation)
        learn = functools.partial(self._learn, data=data, normalizer=normalizer, learning_rate=learning_rate)
        carry = (state.optimizer, state.params, key_sgd)
        (optimizer, params, _), metrics = jax.lax.scan(learn, carry, (), length=self.settings.num_updates_per_batch)
        state = _without_weak_types(LearnerState(normalizer, params, optimizer, envs, key))
        return state, {**jax.tree.map(lambda part: part.mean(), metrics), **_episodes(data)}

    def _collect(self, state: Any, key: Any) -> tuple[Any, Any]:
        """:return: the environments after the unrolls, and pieces of shape (n_pieces, unroll_length, ...)"""
        import jax
        from brax.training import acting
        from brax.training.agents.ppo import networks

        settings = self.settings
        policy = networks.make_inference_fn(self.networks)(state.parameters)

        def unroll(carry: tuple[Any, Any], _: Any) -> Any:
            envs, key = carry
            key, following = jax.random.split(key)
            envs, piece = acting.generate_unroll(
                self.env, envs, policy, key, settings.unroll_length, extra_fields=_EXTRA
            )
            return (envs, following), piece

        count = settings.batch_size * settings.num_minibatches // self._n_envs
        (envs, _), data = jax.lax.scan(unroll, (state.envs, key), (), length=count)
        return envs, jax.tree.map(lambda part: part.swapaxes(1, 2).reshape(-1, *part.swapaxes(1, 2).shape[2:]), data)

    def _learn(self, carry: Any, _: Any, *, data: Any, normalizer: Any, learning_rate: Any) -> Any:
        """One pass over all pieces, in an order that is drawn."""
        import jax

        optimizer, params, key = carry
        key, key_order, key_steps = jax.random.split(key, 3)

        def shuffled(part: Any) -> Any:
            part = jax.random.permutation(key_order, part)
            return part.reshape(self.settings.num_minibatches, -1, *part.shape[1:])

        step = functools.partial(self._step, normalizer=normalizer, learning_rate=learning_rate)
        minibatches = jax.tree.map(shuffled, data)
        (optimizer, params, _), metrics = jax.lax.scan(step, (optimizer, params, key_steps), minibatches)
        return (optimizer, params, key), metrics

    def _step(self, carry: Any, minibatch: Any, *, normalizer: Any, learning_rate: Any) -> Any:
        import jax
        import optax

        optimizer, params, key = carry
        key, key_loss = jax.random.split(key)
        (_, metrics), gradients = jax.value_and_grad(self._loss, has_aux=True)(params, normalizer, minibatch, key_loss)
        updates, optimizer = self._optimizer.update(gradients, optimizer)
        params = optax.apply_updates(params, jax.tree.map(lambda part: -learning_rate * part, updates))
        return (optimizer, params, key), metrics

    def _loss(self, *arguments: Any) -> Any:
        from brax.training.agents.ppo import losses

        settings = self.settings
        return losses.compute_ppo_loss(
            *arguments,
            ppo_network=self.networks,
            entropy_cost=settings.entropy_cost,
            discounting=settings.discounting,
            reward_scaling=settings.reward_scaling,
            gae_lambda=settings.gae_lambda,
            clipping_epsilon=settings.clipping_epsilon,
            normalize_advantage=settings.normalize_advantage,
            vf_coefficient=settings.vf_loss_coefficient,
        )


def _make_optimizer(settings: BraxPPO) -> Any:
    """Adam without its rate, which is given to each update: it may follow a schedule."""
    import optax

    norm = settings.max_grad_norm
    clip = [optax.clip_by_global_norm(norm)] if norm is not None else []
    return optax.chain(*clip, optax.scale_by_adam())


def _episodes(data: Any) -> dict[str, Any]:
    """How many episodes ended while it collected, and what they summed up to, before any scaling."""
    extras = data.extras["state_extras"]
    done = extras["episode_done"]
    return {"n_episodes": done.sum(), "sum_of_returns": (done * extras["episode_metrics"]["sum_reward"]).sum()}


def _without_weak_types(tree: Any) -> Any:
    """A Python number in an environment's state is of a weak type: the next update would be compiled anew for it."""
    import jax
    import jax.numpy as jnp

    return jax.tree.map(lambda part: jnp.asarray(part).astype(jnp.asarray(part).dtype), tree)


def load_brax() -> None:
    """Import what the functions above take from Brax, so that it is no part of what is measured or compiled."""
    with quiet_imports():
        import brax.training.acting
        import brax.training.agents.ppo.losses
        import brax.training.agents.ppo.networks  # noqa: F401
