"""From hyperparameters to a checked configuration of an algorithm of SB3. Importing this module imports torch."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from rl_experiments.algorithms import Algorithm
from rl_experiments.algorithms.parameters import model_parameters
from rl_experiments.algorithms.sb3 import build_model, continue_model
from rl_experiments.algorithms.sb3.learner import FLOAT32
from rl_experiments.config.hyperparameters import COMMAND_LINE, Hyperparameters, named_classes
from rl_experiments.core.annotations import describe as describe_type
from rl_experiments.core.annotations import fits
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.symbols import Trust, import_symbol
from rl_experiments.envs import IN_NATIVE_CODE, EnvironmentRecipe, make_envs
from rl_experiments.envs.registry import check_render_mode
from rl_experiments.evaluation.evaluating import ending_recipe, without_window
from rl_experiments.training.checks import check_combinations, check_hyperparameters
from rl_experiments.training.configuration import Configuration
from rl_experiments.training.continuing import check_model, remark_on_statistics, statistics_beside
from rl_experiments.training.sizes import check_candidates_fit, check_sizes
from rl_experiments.training.synthetic import SyntheticVecEnv
from rl_experiments.training.trying import Trial, try_environment

_SMALL_BUFFER = 1000


def resolve(
    algorithm: Algorithm,
    hyperparameters: Hyperparameters,
    *,
    env_id: str,
    seed: int,
    n_timesteps: int = -1,
    env_kwargs: Mapping[str, Any] | None = None,
    eval_env_kwargs: Mapping[str, Any] | None = None,
    gym_packages: tuple[str, ...] = (),
    trained_agent: str = "",
    trust_pickles: bool = False,
    vec_env: str = "auto",
    tries: bool = True,
    trust: Trust | None = None,
) -> tuple[Configuration, SyntheticVecEnv]:
    """
    Check everything that can be checked without training.

    :param trust_pickles: whether the files of ``trained_agent`` may run code
    :param vec_env: one of :data:`rl_experiments.envs.VEC_ENVS`
    :param tries: whether the first steps of the environment are made
    :param trust: what the hyperparameters may name; if None, anything, since they are the user's own
    :return: the configuration, and an environment that costs nothing with the spaces of the real one
    :raises RLExperimentsError: for the first thing that is wrong
    """
    trust = trust or Trust(any_name=True, pickles=trust_pickles)
    if n_timesteps > 0:
        hyperparameters = hyperparameters.merged({"n_timesteps": n_timesteps}, COMMAND_LINE)
    check_hyperparameters(algorithm, hyperparameters)
    make_callbacks(hyperparameters, trust)
    recipe = EnvironmentRecipe.from_hyperparameters(env_id, hyperparameters, env_kwargs, gym_packages, trust)
    for kwargs in (recipe.kwargs, eval_env_kwargs or {}):
        check_render_mode(env_id, kwargs.get("render_mode"))
    recipe, remarks = _with_statistics(recipe, trained_agent)
    single_skip = recipe.with_single_frame_skip()
    if single_skip is not recipe:
        remarks.append(
            f"{env_id} skips frames itself and AtariWrapper does so again: frameskip is set to 1 in the environment"
        )
    recipe = single_skip
    synthetic, tried = _imitate(algorithm, hyperparameters, recipe, seed, vec_env, tries)
    remarks += tried + _remarks_on_functions(hyperparameters)
    remarks += check_combinations(
        algorithm, hyperparameters, env_id, synthetic.observation_space, synthetic.action_space, trust
    )
    remarks += _check_masks(algorithm, synthetic, env_id)
    if trained_agent:
        check_model(Path(trained_agent), algorithm, env_id, synthetic, trust)
        remarks += [
            f"{name} ({COMMAND_LINE}) is not used: the network is that of {trained_agent}"
            for name in ("policy", "policy_kwargs")
            if hyperparameters.origin(name) == COMMAND_LINE
        ]
    model = _try_model(algorithm, hyperparameters, synthetic, trust, trained_agent)
    check_candidates_fit(model)
    evaluation = ending_recipe(without_window(recipe.with_kwargs(**(eval_env_kwargs or {}))))
    if eval_env_kwargs:
        make_envs(evaluation, 1, seed).close()
    configuration = Configuration(
        algorithm, hyperparameters, recipe, evaluation, hyperparameters.n_timesteps, trust, tuple(remarks)
    )
    return configuration, synthetic


def _with_statistics(recipe: EnvironmentRecipe, trained_agent: str) -> tuple[EnvironmentRecipe, list[str]]:
    if not trained_agent:
        return recipe, []
    statistics, wanted = statistics_beside(trained_agent, recipe.trust), recipe.normalize is not None
    remarks = remark_on_statistics(trained_agent, statistics, wanted)
    return replace(recipe, statistics=statistics if wanted else None), remarks


def _imitate(
    algorithm: Algorithm,
    hyperparameters: Hyperparameters,
    recipe: EnvironmentRecipe,
    seed: int,
    vec_env: str,
    tries: bool,
) -> tuple[SyntheticVecEnv, list[str]]:
    """Make the real environment once, try it out, and take over its spaces."""
    outermost = functools.partial(Trial, recipe=recipe)
    # Single environments are tried out, so not in native code; the bits of dummy are those of auto.
    tried = vec_env if tries and vec_env not in IN_NATIVE_CODE else "auto"
    env = make_envs(recipe, 1, seed, vec_env=tried, training=True, outermost=outermost)
    try:
        if vec_env in IN_NATIVE_CODE:
            _check_native(recipe, vec_env, env)
        check_sizes(algorithm, hyperparameters, env.observation_space, env.action_space, vec_env == "subproc")
        remarks = try_environment(env, recipe) if tries else []
        n_envs = 1 if algorithm.name == "ars" else hyperparameters.n_envs
        return SyntheticVecEnv(env, n_envs), remarks
    finally:
        with contextlib.suppress(Exception, SystemExit):
            env.close()


def _check_native(recipe: EnvironmentRecipe, kind: str, like: VecEnv) -> None:
    """
    :param like: the same environment, made in the usual way
    :raises ConfigurationError: if the one in native code cannot take its place
    """
    env = make_envs(recipe, 1, 0, vec_env=kind, training=True)
    try:
        for what, own, usual in (
            ("observations", env.observation_space, like.observation_space),
            ("actions", env.action_space, like.action_space),
        ):
            if own.shape != usual.shape or getattr(own, "n", None) != getattr(usual, "n", None):
                raise ConfigurationError(
                    f"--vec-env {kind} cannot run {recipe.env_id}: its {what} are {own}, not {usual}."
                    " --vec-env auto can"
                )
    finally:
        env.close()


def make_callbacks(hyperparameters: Hyperparameters, trust: Trust) -> list[BaseCallback]:
    """
    :return: the callbacks that the hyperparameters name
    :raises ConfigurationError: if one cannot be made
    """
    callbacks = []
    for name, kwargs in named_classes(hyperparameters.get("callback"), "callback"):
        cls = import_symbol(name, trust, "callback", BaseCallback)
        _check_callback(name, cls, kwargs)
        try:
            callbacks.append(cls(**kwargs))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"callback {name} cannot be made with {kwargs}: {error}") from error
    return callbacks


def _check_callback(name: str, cls: Any, kwargs: Mapping[str, Any]) -> None:
    """What they do with a wrong value shows only in training."""
    parameters = inspect.signature(cls.__init__).parameters
    for key, value in kwargs.items():
        annotation = parameters[key].annotation if key in parameters else Any
        # Annotations that are text are not followed.
        if not isinstance(annotation, str) and not fits(value, annotation):
            raise ConfigurationError(f"callback {name}: {key} must be {describe_type(annotation)}, but got {value!r}")
        if key.endswith("_freq") and isinstance(value, (int, float)) and value < 1:
            raise ConfigurationError(f"callback {name}: {key} must be at least 1, but got {value!r}")


def trial_model(
    configuration: Configuration, synthetic: SyntheticVecEnv, precision: str = FLOAT32, **overrides: Any
) -> Any:
    """:return: a model with a small replay buffer on the environment that costs nothing"""
    return _try_model(
        configuration.algorithm,
        configuration.hyperparameters,
        synthetic,
        configuration.trust,
        precision=precision,
        **overrides,
    )


def _try_model(
    algorithm: Algorithm,
    hyperparameters: Hyperparameters,
    env: VecEnv,
    trust: Trust,
    trained_agent: str = "",
    precision: str = FLOAT32,
    **overrides: Any,
) -> Any:
    if "buffer_size" in model_parameters(algorithm):
        overrides = {"buffer_size": _SMALL_BUFFER, **overrides}
    # Not the user's device: a first try costs nothing there, and the check finds the same mistakes.
    hyperparameters = hyperparameters.merged(overrides, "check")
    if trained_agent:
        path = Path(trained_agent)
        return continue_model(algorithm, hyperparameters, env, path, seed=0, device="cpu", trust=trust)
    return build_model(algorithm, hyperparameters, env, seed=0, device="cpu", trust=trust, precision=precision)


def _remarks_on_functions(hyperparameters: Hyperparameters) -> list[str]:
    return [
        f"{name} is a Python function, which config.yml cannot hold: it stores the function's values as steps"
        for name in hyperparameters
        if callable(hyperparameters[name])
    ]


def _check_masks(algorithm: Algorithm, env: SyntheticVecEnv, env_id: str) -> list[str]:
    if algorithm.masked and not env.has_attr("action_masks"):
        return [f"{env_id} has no action_masks: {algorithm.name} acts as PPO does, with every action allowed"]
    return []
