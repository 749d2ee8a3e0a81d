"""What a script that calls Brax's own ``ppo.train`` hands to it, to have a run as ``--algo brax_ppo`` leaves one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rl_experiments.algorithms.brax.algorithm import BraxPPO
from rl_experiments.algorithms.brax.networks import blank_parameters, make_networks, put_right
from rl_experiments.algorithms.brax.policy import Policy, save_policy, write_policy
from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core.errors import ConfigurationError, NotFoundError
from rl_experiments.evaluation import Evaluation
from rl_experiments.runs import FINISHED, Run, checkpoints
from rl_experiments.runs.folder import MODEL
from rl_experiments.training.brax.checkpointing import STATE, facts_of, policy_of
from rl_experiments.training.brax.evaluating import BraxEvaluations
from rl_experiments.training.brax.preparation import PreparedBrax
from rl_experiments.training.preparation import prepare
from rl_experiments.training.run_files import write_configuration
from rl_experiments.training.settings import Experiment
from rl_experiments.training.stopping import StopRequest
from rl_experiments.training.threads import ThreadChoice

ALGORITHM = "brax_ppo"
_OTHER_NAMES = {"num_timesteps": "n_timesteps", "num_envs": "n_envs"}
"""What Brax calls what has a name for all algorithms here."""


class PolicySaver:
    """
    Saves the policies that a training passes through: hand it to Brax as ``policy_params_fn``.

    ::

        config = dict(num_timesteps=1_000_000, num_envs=256, episode_length=1000, normalize_observations=True, ...)
        saver = PolicySaver("ant", {"backend": "spring"}, **config)
        ppo.train(environment=env, **config, policy_params_fn=saver, progress_fn=saver.progress)
        load_agent(saver.run)

    Each policy is scored in the same episodes and leaves a checkpoint; the best stays, and the run is whole after each
    call: it is watched, recorded and published like any other. It cannot be resumed, because Brax hands out no more
    than the policy.

    :param env: name of the environment
    :param env_kwargs: its arguments, such as ``backend``
    :param log_folder: folder of all runs
    :param seed: from which the seeds of the evaluations are drawn
    :param n_eval_episodes: episodes of an evaluation; none is played if 0
    :param keep_last: keep only so many of the last policies, and the best; all if None
    :param say: takes what the user should know
    :param settings: arguments of ``ppo.train``; those that ``brax_ppo`` has too stand in the run, and
        ``network_factory`` tells the networks: ``functools.partial(make_ppo_networks, ...)``
    :raises RLExperimentsError: if the environment or a setting is wrong
    """

    def __init__(
        self,
        env: str,
        env_kwargs: Mapping[str, Any] | None = None,
        *,
        log_folder: str | Path = "logs",
        seed: int = 0,
        n_eval_episodes: int = 5,
        keep_last: int | None = None,
        say: Callable[[str], None] = print,
        **settings: Any,
    ) -> None:
        if keep_last is not None and keep_last < 1:
            raise ConfigurationError(f"keep_last must be at least 1, but got {keep_last}")
        self._prepared = _prepared(env, env_kwargs, str(log_folder), seed, max(n_eval_episodes, 1), settings)
        self._evaluates, self._keep_last, self._say = n_eval_episodes > 0, keep_last, say
        self._log_folder = Path(log_folder)
        self._run: Run | None = None
        self._evaluations: BraxEvaluations | None = None
        self._blank: Any = None
        self._began = time.perf_counter()
        self.seconds = 0.0
        """Spent here, evaluations included."""

    def __call__(self, steps: int, make_policy: Any, params: Any) -> None:
        """What Brax calls: ``policy_params_fn(steps, make_policy, params)``."""
        began = time.perf_counter()
        steps = int(steps)
        policy = policy_of(self._prepared, self._put_right(params), steps)
        evaluations = self._evaluations or self._begin()
        result = evaluations.evaluate(policy) if self._evaluates else None
        if result is not None:
            evaluations.add(result, steps)
            self._say(f"{steps:,} steps: return {result.returns.mean():.2f} +/- {result.returns.std():.2f}")
        try:
            if result is not None and evaluations.is_better(result):
                save_policy(policy, self.run.best_model)
            self._save(policy, result, evaluations, steps)
        except OSError as error:  # a full disk costs this policy, not the training that called
            self._say(f"The policy at {steps:,} steps could not be written: {error.strerror or error}")
        self.seconds += time.perf_counter() - began

    @property
    def run(self) -> Run:
        """
        What it leaves.

        :raises NotFoundError: if no policy was saved yet
        """
        if self._run is None:
            raise NotFoundError("No policy was saved yet: Brax calls policy_params_fn when its training begins")
        return self._run

    def progress(self, steps: int, metrics: Mapping[str, Any]) -> None:
        """What Brax calls as ``progress_fn``: tells what Brax itself has measured."""
        reward = metrics.get("eval/episode_reward")
        if reward is not None:
            self._say(f"{int(steps):,} steps: Brax measured {float(reward):.2f}")

    def close(self) -> None:
        """Release the environment of the evaluations."""
        if self._evaluations is not None:
            with contextlib.suppress(Exception):
                self._evaluations.close()

    def _begin(self) -> BraxEvaluations:
        """The run appears with its first policy."""
        prepared = self._prepared
        self._run = Run.create(self._log_folder, ALGORITHM, prepared.experiment.env)
        choice = ThreadChoice(1, "of torch, which is not used")
        self._record = write_configuration(prepared, self._run, choice, {"trained_by": "ppo.train"})
        self._evaluations = BraxEvaluations(prepared, self._run, StopRequest())
        return self._evaluations

    def _put_right(self, params: Any) -> Any:
        prepared = self._prepared
        if self._blank is None:
            sizes = prepared.observation_size
            sizes = {name: tuple(shape) for name, shape in sizes.items()} if isinstance(sizes, dict) else sizes
            networks = make_networks(prepared.settings.network, sizes, prepared.action_size)
            self._blank = blank_parameters(networks, prepared.synthetic.observation_space.sample())
        try:
            return put_right(params, self._blank)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error}. Give PolicySaver the arguments that ppo.train gets, network_factory included"
            ) from None

    def _save(self, policy: Policy, result: Evaluation | None, evaluations: BraxEvaluations, steps: int) -> None:
        def fill(folder: Path) -> Mapping[str, Any]:
            write_policy(policy, folder / MODEL)
            seconds = time.perf_counter() - self._began
            return {"monitors": {}, "exact": False, **facts_of(result, evaluations.seeds, seconds)}

        checkpoints.write(self.run, steps, fill)
        checkpoints.thin(self.run, (STATE,), self._keep_last)
        save_policy(policy, self.run.final_model)
        evaluations.write()
        scores: dict[str, Any] = dict(evaluations.scores)
        if steps >= self._prepared.configuration.n_timesteps:
            self._record.finish(FINISHED, steps=steps, **scores)
        else:
            self._record.update(steps=steps, **scores)


def _prepared(
    env: str,
    env_kwargs: Mapping[str, Any] | None,
    log_folder: str,
    seed: int,
    n_eval_episodes: int,
    settings: Mapping[str, Any],
) -> PreparedBrax:
    values = {_OTHER_NAMES.get(name, name): value for name, value in settings.items()}
    values |= _network_of(values.pop("network_factory", None))
    known = {*vars(BraxPPO()), *_OTHER_NAMES.values()}
    values = {name: value for name, value in values.items() if name in known}
    if "n_timesteps" not in values:
        raise ConfigurationError("PolicySaver needs num_timesteps, as ppo.train gets it")
    experiment = Experiment(
        algo=ALGORITHM,
        env=env,
        env_kwargs=dict(env_kwargs or {}),
        log_folder=log_folder,
        seed=seed,
        eval_episodes=n_eval_episodes,
        verbose=0,
    )
    origin = "the arguments of ppo.train"
    prepared = prepare(experiment, hyperparameters=Hyperparameters(values, dict.fromkeys(values, origin)))
    assert isinstance(prepared, PreparedBrax)
    return prepared


def _network_of(factory: Any) -> dict[str, Any]:
    """:return: the arguments that a ``functools.partial`` of Brax's ``make_ppo_networks`` has, as JSON can hold them"""
    arguments = dict(getattr(factory, "keywords", None) or {})
    known = BraxPPO().network
    odd = [name for name in arguments if name not in known]
    if odd:
        raise ConfigurationError(f"Networks with {odd[0]} cannot be described. Those with {', '.join(known)} can")
    if callable(arguments.get("activation")):
        arguments["activation"] = arguments["activation"].__name__
    sizes = {name: tuple(value) for name, value in arguments.items() if name.endswith("_sizes")}
    return {**arguments, **sizes}
