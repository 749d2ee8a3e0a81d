"""The state of environments under way: taken where each environment runs, and put into others made from its recipe."""

from __future__ import annotations

import contextlib
import functools
import pickle
import random
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from rl_experiments.core import pickles
from rl_experiments.core.restoring import put
from rl_experiments.core.snapshots import Native, Rules, Snapshot
from rl_experiments.core.symbols import Trust

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

_RANDOM = "random.Random"
_LIBRARIES = ("builtins", "gymnasium", "stable_baselines3", "sb3_contrib", "numpy", "torch", "rl_experiments")
_TAKE, _PUT, _END = "take_state", "put_state", "end_episode"
_SKIPPED = frozenset(
    {"spec", "_cached_spec", "_saved_kwargs", "_ezpickle_args", "_ezpickle_kwargs", "fused_step", _TAKE, _PUT, _END}
)


def offer_state(env: gym.Env) -> gym.Env:
    """:return: the environment, whose state a vector of environments can ask for, in another process too"""
    setattr(env, _TAKE, functools.partial(_take, env, known=set()))
    setattr(env, _PUT, functools.partial(_put, env))
    setattr(env, _END, functools.partial(_end, env))
    return env


def take_state(env: VecEnv, inside: bool = True) -> tuple[dict[str, Any], list[str]]:
    """
    :param inside: of the single environments too; otherwise only of the wrappers around them and around their vector
    :return: the state, and what of it cannot be had
    """
    missing: list[str] = []
    workers = []
    for content, lacking in env.env_method(_TAKE, inside):
        workers.append(content)
        missing += [place for place in lacking if place not in missing]
    outside = Snapshot(_vector_rules()).take(_wrappers(env))
    base = env.unwrapped
    pending = {"seeds": list(base._seeds), "options": list(base._options)}
    return {"workers": workers, "wrappers": outside.values, **pending}, missing + outside.missing


def put_state(env: VecEnv, state: dict[str, Any]) -> list[str]:
    """
    Put what :func:`take_state` returned into other environments of the same recipe.

    :return: what of it has no place in them
    """
    base = env.unwrapped
    base._seeds, base._options = list(state["seeds"]), list(state["options"])
    lost: list[str] = []
    for index, content in enumerate(state["workers"]):
        lost += env.env_method(_PUT, content, indices=[index])[0]
    return list(dict.fromkeys(lost + put(_wrappers(env), state["wrappers"], _vector_rules())))


def end_episodes(env: VecEnv) -> None:
    """Let the next reset begin a new episode in every environment as in one that was just made."""
    env.env_method(_END)


def space_state(space: spaces.Space) -> list[np.random.Generator | None]:
    """:return: the generators of a space and of those in it"""
    return [part._np_random for part in _parts(space)]


def put_space_state(space: spaces.Space, state: list[np.random.Generator | None]) -> None:
    """Set the generators of a space."""
    for part, generator in zip(_parts(space), state, strict=True):
        part._np_random = generator  # type: ignore[assignment]


def _parts(space: spaces.Space) -> list[spaces.Space]:
    inner = getattr(space, "spaces", ())
    found = [space]
    for part in inner.values() if hasattr(inner, "values") else inner:
        found += _parts(part)
    return found


def _layers(env: gym.Env) -> dict[str, gym.Env]:
    """:return: the wrappers and the environment in them, from the outside in"""
    layers: dict[str, gym.Env] = {}
    while True:
        layers[str(len(layers))] = env
        if not isinstance(env, gym.Wrapper):
            return layers
        env = env.env


def _wrappers(env: VecEnv) -> dict[str, VecEnv]:
    from stable_baselines3.common.vec_env import VecEnvWrapper

    wrappers: dict[str, VecEnv] = {}
    while isinstance(env, VecEnvWrapper):
        wrappers[str(len(wrappers))] = env
        env = env.venv
    return wrappers


def _take(env: gym.Env, inside: bool, known: set[str]) -> tuple[bytes, list[str]]:
    """
    :param known: objects that an environment has after its first reset: only these will be there to be filled
    """
    layers = _layers(env)
    snapshot = Snapshot(_rules(env), known or None).take(layers, () if inside else [list(layers)[-1]])
    if inside and not known:
        known.update(snapshot.filled)
    missing = _named(layers, snapshot.missing)
    if inside and _repeats_actions(env.unwrapped):
        missing.append(f"{type(env.unwrapped).__name__}: the action that it repeats by chance")
    return pickle.dumps({"values": snapshot.values, **_take_generators()}, protocol=4), missing


def _put(env: gym.Env, content: bytes) -> list[str]:
    rules = _rules(env)
    state = pickles.loads(content, rules.trust)
    lost = put(_layers(env), state["values"], rules)
    _put_generators(state)
    return _named(_layers(env), lost)


def _named(layers: dict[str, gym.Env], places: list[str]) -> list[str]:
    """:return: the places, with the classes of the layers instead of their numbers"""
    split = [place.partition("/") for place in places]
    return [f"{type(layers[layer]).__name__}/{rest}" for layer, _, rest in split]


def _take_generators() -> dict[str, Any]:
    """Those of this process: an environment of its own may use them."""
    torch = _loaded("torch")
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": None if torch is None else torch.get_rng_state().numpy(),
    }


def _put_generators(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch = _loaded("torch")
    if torch is not None and state.get("torch") is not None:
        torch.set_rng_state(torch.from_numpy(state["torch"].copy()))


def _end(env: gym.Env) -> None:
    layers = list(_layers(env).values())
    for layer in layers:
        if "was_real_done" in vars(layer):  # of EpisodicLifeEnv
            layer.was_real_done = True  # type: ignore[attr-defined]
    if len(layers) > 1 and layers[-1].spec is not None:
        _renew(layers[-2], layers[-1])


def _renew(around: Any, env: gym.Env) -> None:
    """Make the innermost environment anew: the world of BipedalWalker remembers earlier episodes."""
    assert env.spec is not None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            new = gym.make(env.spec, disable_env_checker=True).unwrapped
    except Exception:  # a simulator of which there may be only one
        return
    around.env = new
    with contextlib.suppress(Exception):
        env.close()


def _rules(env: gym.Env) -> Rules:
    from stable_baselines3.common.monitor import ResultsWriter

    own = {type(layer).__module__.partition(".")[0] for layer in _layers(env).values()} - set(_LIBRARIES)
    return Rules(
        kept=(EnvSpec, ResultsWriter, *_kept_of_mujoco()),
        in_place=(gym.Env,),
        natives=(SPACES, *_atari(), *_mujoco()),
        skipped=_SKIPPED,
        trust=Trust(modules=frozenset(own | {_RANDOM})),
    )


def _vector_rules() -> Rules:
    from stable_baselines3.common.monitor import ResultsWriter
    from stable_baselines3.common.vec_env import VecEnv

    return Rules(
        kept=(VecEnv, gym.Env, ResultsWriter),
        natives=(SPACES,),
        skipped=_SKIPPED | {"venv", "class_attributes", "metadata"},
        trust=Trust(modules=frozenset({_RANDOM})),
    )


SPACES = Native(spaces.Space, space_state, put_space_state)
"""Spaces draw samples, and are shared between environments and models."""


def _loaded(module: str) -> Any:
    """A library that is not imported has made no environment."""
    import sys

    return sys.modules.get(module)


def _atari() -> tuple[Native, ...]:
    ale = _loaded("ale_py")
    if ale is None:
        return ()

    def take(interface: Any) -> bytes:
        content: bytes = interface.cloneState(include_rng=True).__getstate__()
        return content

    def restore(interface: Any, content: bytes) -> None:
        interface.restoreState(ale.ALEState(content))

    return (Native(ale.ALEInterface, take, restore),)


def _repeats_actions(env: gym.Env) -> bool:
    """Whether the emulator has sticky actions: which one it is about to repeat is in no state that it gives."""
    ale, interface = _loaded("ale_py"), getattr(env, "ale", None)
    if ale is None or not isinstance(interface, ale.ALEInterface):
        return False
    return bool(interface.getFloat("repeat_action_probability") > 0)


def _kept_of_mujoco() -> tuple[type, ...]:
    """The model does not change, and renderers only look."""
    kept: list[type] = []
    mujoco, renderers = _loaded("mujoco"), _loaded("gymnasium.envs.mujoco.mujoco_rendering")
    if mujoco is not None:
        kept.append(mujoco.MjModel)
    if renderers is not None:
        kept.append(renderers.MujocoRenderer)
    return tuple(kept)


def _mujoco() -> tuple[Native, ...]:
    mujoco = _loaded("mujoco")
    if mujoco is None:
        return ()
    everything = mujoco.mjtState.mjSTATE_INTEGRATION

    def take(data: Any) -> dict[str, Any]:
        physics = np.empty(mujoco.mj_stateSize(data.model, everything))
        mujoco.mj_getState(data.model, data, physics, everything)
        # What was computed from it lags one sub-step behind, and environments read it before the next step.
        arrays = {name: value.copy() for name, value in _arrays(data)}
        return {"physics": physics, "arrays": arrays}

    def restore(data: Any, state: dict[str, Any]) -> None:
        mujoco.mj_setState(data.model, data, state["physics"], everything)
        for name, value in _arrays(data):
            saved = state["arrays"].get(name)
            if saved is not None and saved.shape == value.shape and value.flags.writeable:
                value[...] = saved

    return (Native(mujoco.MjData, take, restore),)


def _arrays(data: Any) -> list[tuple[str, np.ndarray]]:
    found: list[tuple[str, np.ndarray]] = []
    read: Callable[[str], Any] = functools.partial(getattr, data)
    for name in dir(type(data)):
        if not name.startswith("_") and isinstance(value := read(name), np.ndarray):
            found.append((name, value))
    return found
