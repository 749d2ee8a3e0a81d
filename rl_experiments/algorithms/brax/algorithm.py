"""The hyperparameters of PPO as Brax has it; importing this imports no JAX."""

from collections.abc import Callable

ACTIVATIONS = ("elu", "gelu", "leaky_relu", "relu", "sigmoid", "silu", "softplus", "swish", "tanh")
"""What lies between the layers: functions of ``flax.linen``."""
DISTRIBUTIONS = ("tanh_normal", "normal")


class BraxPPO:
    """
    What the hyperparameters of ``brax_ppo`` are: names and defaults are those of ``brax.training.agents.ppo.train``.

    :param learning_rate: of Adam; a number or a schedule
    :param entropy_cost: weight of the entropy in the loss
    :param discounting: discount
    :param unroll_length: steps of each environment in a piece that is learned from
    :param batch_size: pieces in a minibatch
    :param num_minibatches: minibatches in an update
    :param num_updates_per_batch: passes over what was collected
    :param normalize_observations: whether observations are normalised by their running mean and deviation
    :param reward_scaling: factor of the rewards in the loss
    :param clipping_epsilon: how far the ratio of probabilities may go from 1
    :param gae_lambda: of the generalized advantage estimation (Schulman et al. 2016)
    :param max_grad_norm: longest gradient; None for any
    :param normalize_advantage: whether advantages are normalised in each minibatch
    :param vf_loss_coefficient: weight of the loss of the value function
    :param episode_length: longest episode
    :param num_evals: evaluations over the training, that before its beginning included; ``--eval-freq`` gives the steps
        between two in its place
    :param policy_hidden_layer_sizes: units of the policy's layers
    :param value_hidden_layer_sizes: units of the value function's layers
    :param activation: between the layers: a function of ``flax.linen``
    :param distribution_type: of actions: ``tanh_normal`` or ``normal``
    :param policy_obs_key: what the policy sees of observations that are dictionaries
    :param value_obs_key: what the value function sees of them
    :param eval_seed: seeds of the episodes of an evaluation, in order; drawn from the experiment's seed if empty
    :param n_eval_episodes: episodes of an evaluation, where ``--eval-episodes`` says nothing else
    """

    def __init__(
        self,
        learning_rate: float | Callable[[float], float] = 1e-4,
        entropy_cost: float = 1e-4,
        discounting: float = 0.9,
        unroll_length: int = 10,
        batch_size: int = 32,
        num_minibatches: int = 16,
        num_updates_per_batch: int = 2,
        normalize_observations: bool = False,
        reward_scaling: float = 1.0,
        clipping_epsilon: float = 0.3,
        gae_lambda: float = 0.95,
        max_grad_norm: float | None = None,
        normalize_advantage: bool = True,
        vf_loss_coefficient: float = 0.5,
        episode_length: int = 1000,
        num_evals: int = 10,
        policy_hidden_layer_sizes: tuple[int, ...] = (32, 32, 32, 32),
        value_hidden_layer_sizes: tuple[int, ...] = (256, 256, 256, 256, 256),
        activation: str = "swish",
        distribution_type: str = "tanh_normal",
        policy_obs_key: str = "state",
        value_obs_key: str = "state",
        eval_seed: tuple[int, ...] = (),
        n_eval_episodes: int = 5,
    ) -> None:
        self.learning_rate = learning_rate
        self.entropy_cost = float(entropy_cost)
        self.discounting = float(discounting)
        self.unroll_length = int(unroll_length)
        self.batch_size = int(batch_size)
        self.num_minibatches = int(num_minibatches)
        self.num_updates_per_batch = int(num_updates_per_batch)
        self.normalize_observations = normalize_observations
        self.reward_scaling = float(reward_scaling)
        self.clipping_epsilon = float(clipping_epsilon)
        self.gae_lambda = float(gae_lambda)
        self.max_grad_norm = None if max_grad_norm is None else float(max_grad_norm)
        self.normalize_advantage = normalize_advantage
        self.vf_loss_coefficient = float(vf_loss_coefficient)
        self.episode_length = int(episode_length)
        self.num_evals = int(num_evals)
        self.policy_hidden_layer_sizes = tuple(int(size) for size in policy_hidden_layer_sizes)
        self.value_hidden_layer_sizes = tuple(int(size) for size in value_hidden_layer_sizes)
        self.activation = activation
        self.distribution_type = distribution_type
        self.policy_obs_key = policy_obs_key
        self.value_obs_key = value_obs_key
        self.eval_seed = tuple(int(seed) for seed in eval_seed)
        self.n_eval_episodes = int(n_eval_episodes)

    @property
    def steps_of_an_update(self) -> int:
        """Environment steps that one update collects and learns from."""
        return self.batch_size * self.num_minibatches * self.unroll_length

    @property
    def network(self) -> dict[str, object]:
        """What Brax's networks are made of, as JSON can hold it; ``normalize_observations`` is ours."""
        return {
            "policy_hidden_layer_sizes": list(self.policy_hidden_layer_sizes),
            "value_hidden_layer_sizes": list(self.value_hidden_layer_sizes),
            "activation": self.activation,
            "distribution_type": self.distribution_type,
            "policy_obs_key": self.policy_obs_key,
            "value_obs_key": self.value_obs_key,
            "normalize_observations": self.normalize_observations,
        }
