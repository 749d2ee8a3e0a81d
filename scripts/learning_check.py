#!/usr/bin/env python3
"""
Whether the learner here learns what Stable-Baselines3's own does: updates from identical data, and return curves.

    .venv/bin/python scripts/learning_check.py                     everything, about an hour on two quiet cores
    .venv/bin/python scripts/learning_check.py --quick             a few updates and short curves, to see that it works
    .venv/bin/python scripts/learning_check.py --only ppo-atari dqn-atari --updates 1000

It prints Markdown, and ends with 1 where something differs. Updates: both sides begin with the same weights and learn
from the same steps of SpaceInvaders; each update adds rounding to the weights, and the next one is made from these, so
that differences grow with the updates. How far they may is measured: SB3 against itself with two threads, which sums in
another order. Ours may be TOLERANCE times as far from SB3 as that, and never need be nearer than FLOOR. Curves: the
returns of training episodes of each side over seeds; the interval is of the difference of the means, by bootstrap.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from rl_experiments import Experiment
from rl_experiments.algorithms import Algorithm
from rl_experiments.algorithms.sb3.building import build_model, constructor_arguments
from rl_experiments.algorithms.sb3.learner.frames import FrameReplayBuffer
from rl_experiments.config.hyperparameters import Hyperparameters
from rl_experiments.core.symbols import Trust
from rl_experiments.envs import make_envs
from rl_experiments.training.preparation import prepare

ATARI = "SpaceInvadersNoFrameskip-v4"
TOLERANCE, FLOOR = 10.0, 1e-5
CONFIDENCE, RESAMPLINGS, PARTS = 0.95, 10_000, 5


def say(text: str) -> None:
    """Tell what is being done."""
    print(text, file=sys.stderr, flush=True)


def plain_model(algorithm: Algorithm, hyperparameters: Hyperparameters, env: Any, seed: int) -> Any:
    """:return: the model that SB3 makes of the same arguments, with nothing of ours in it"""
    arguments = constructor_arguments(algorithm, hyperparameters, env, Trust(any_name=True))
    if arguments.get("replay_buffer_class") is FrameReplayBuffer:
        del arguments["replay_buffer_class"], arguments["replay_buffer_kwargs"]
    return algorithm.load_class()(env=env, seed=seed, device="cpu", **arguments)


def our_model(algorithm: Algorithm, hyperparameters: Hyperparameters, env: Any, seed: int) -> Any:
    """:return: the model that ``train`` makes of them"""
    return build_model(algorithm, hyperparameters, env, seed=seed, device="cpu")


MAKERS: dict[str, Callable[..., Any]] = {"ours": our_model, "SB3": plain_model}


# Updates from identical data


@dataclass(frozen=True)
class Trace:
    """
    :param losses: of each update, or of each pass through a rollout
    :param weights: updates to all weights, in one row
    """

    losses: np.ndarray
    weights: dict[int, np.ndarray]


class _Losses(Logger):
    """A log that keeps the losses."""

    def __init__(self) -> None:
        super().__init__(None, [])
        self.losses: list[float] = []

    def record(self, key: str, value: Any, exclude: Any = None) -> None:
        """Keep a loss."""
        if key == "train/loss":
            self.losses.append(float(value))


def moments(updates: int) -> list[int]:
    """:return: after how many updates weights are compared"""
    return [count for count in (1, 10, 100, 1000, 10_000) if count < updates] + [updates]


def collect(env: Any, rows: int) -> list[tuple[Any, ...]]:
    """:return: steps of random actions, as SB3 hands them to a replay buffer"""
    env.seed(1)
    env.action_space.seed(1)
    steps, observation = [], env.reset()
    for _ in range(rows):
        action = np.array([env.action_space.sample() for _ in range(env.num_envs)])
        following, rewards, dones, infos = env.step(action)
        stored = following.copy()
        for index in np.flatnonzero(dones):
            stored[index] = infos[index]["terminal_observation"]
        steps.append((observation, stored, action, rewards, dones, infos))
        observation = following
    return steps


def dqn_trace(make: Callable[..., Any], algorithm: Algorithm, values: Hyperparameters, env: Any, updates: int) -> Trace:
    """Updates of DQN, with new target weights after every 250."""
    model = make(algorithm, values.merged({"buffer_size": 2000}, "check"), env, 0)
    for step in collect(env, 2000):
        model.replay_buffer.add(*step)
    log = _Losses()
    model.set_logger(log)
    np.random.seed(0)
    weights = {}
    for update in range(1, updates + 1):
        model.train(1, model.batch_size)
        if update % 250 == 0:
            model.q_net_target.load_state_dict(model.q_net.state_dict())
        if update in moments(updates):
            weights[update] = flat(model)
    return Trace(np.array(log.losses), weights)


def ppo_trace(make: Callable[..., Any], algorithm: Algorithm, values: Hyperparameters, env: Any, updates: int) -> Trace:
    """Updates of PPO, pass by pass through one rollout of random actions."""
    batch = 64
    model = make(algorithm, values.merged({"n_epochs": 1, "batch_size": batch, "n_steps": 128}, "check"), env, 0)
    rng, buffer = np.random.default_rng(0), model.rollout_buffer
    steps = collect(env, 128)
    starts = np.ones(env.num_envs)
    buffer.reset()
    for observation, _, action, rewards, dones, _ in steps:
        guess = torch.from_numpy(rng.normal(scale=0.1, size=(2, env.num_envs)).astype(np.float32))
        buffer.add(observation, action, rewards, starts, guess[0], guess[1] - np.log(env.action_space.n))
        starts = dones
    buffer.compute_returns_and_advantage(torch.zeros(env.num_envs), starts)
    log = _Losses()
    model.set_logger(log)
    np.random.seed(0)
    per_pass = 128 * env.num_envs // batch
    passes = max(1, updates // per_pass)
    weights = {}
    for number in range(1, passes + 1):
        model.train()
        if number in (1, passes // 8, passes):
            weights[number * per_pass] = flat(model)
    return Trace(np.array(log.losses), weights)


def flat(model: Any) -> np.ndarray:
    """:return: all weights"""
    return torch.cat([parameter.detach().flatten() for parameter in model.policy.parameters()]).numpy().copy()


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """:return: how far apart they are, as a share of their length"""
    return float(np.linalg.norm(first - second) / max(np.linalg.norm(second), 1e-12))


def check_updates(name: str, trace: Callable[..., Trace], updates: int, n_envs: int) -> list[dict[str, Any]]:
    """:return: distances of weights and losses after more and more updates"""
    algorithm_name = name.split("-")[0]
    prepared = prepare(Experiment(algo=algorithm_name, env=ATARI, seed=0, hyperparams={"n_envs": n_envs}))
    configuration = prepared.configuration
    traces = {}
    for side, make, threads in (("ours", our_model, 1), ("SB3", plain_model, 1), ("SB3, two threads", plain_model, 2)):
        say(f"{name}: {updates} updates of {side}")
        env = make_envs(configuration.recipe, n_envs, 0, training=True)
        torch.set_num_threads(threads)
        traces[side] = trace(make, configuration.algorithm, configuration.hyperparameters, env, updates)
        env.close()
    torch.set_num_threads(1)
    ours, plain, other = traces.values()
    rows = []
    for count in plain.weights:
        part = slice(0, max(1, round(len(plain.losses) * count / max(plain.weights))))
        row: dict[str, Any] = {"check": name, "updates": count}
        for what, first, yardstick in (
            ("weights", *(distance(side.weights[count], plain.weights[count]) for side in (ours, other))),
            ("losses", *(distance(side.losses[part], plain.losses[part]) for side in (ours, other))),
        ):
            row |= {what: first, f"{what}, SB3 with two threads": yardstick}
            row["agree"] = row.get("agree", True) and first <= max(TOLERANCE * yardstick, FLOOR)
        rows.append(row)
    return rows


# Return curves


class _Returns(BaseCallback):
    """The returns of training episodes, with the step at which each ended."""

    def __init__(self) -> None:
        super().__init__()
        self.episodes: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self.episodes.append((self.num_timesteps, float(info["episode"]["r"])))
        return True


def curve(side: str, experiment: Experiment, seed: int, steps: int) -> tuple[list[float], float]:
    """:return: the mean return in each part of a training, and its processor time"""
    prepared = prepare(replace(experiment, seed=seed))
    configuration = prepared.configuration
    env = make_envs(configuration.recipe, configuration.n_envs, seed, training=True)
    model = MAKERS[side](configuration.algorithm, configuration.hyperparameters, env, seed)
    returns, began = _Returns(), time.process_time()
    model.learn(steps, callback=returns, log_interval=None)
    seconds = time.process_time() - began
    env.close()
    ends, scores = np.array(returns.episodes).T
    parts = [scores[(ends > steps * part / PARTS) & (ends <= steps * (part + 1) / PARTS)] for part in range(PARTS)]
    return [float(part.mean()) if part.size else float("nan") for part in parts], seconds


def check_curves(name: str, algo: str, env_id: str, steps: int, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """:return: the difference of the mean curves with its interval, part by part and over all"""
    experiment = Experiment(algo=algo, env=env_id, n_timesteps=steps, seed=0)
    curves: dict[str, list[list[float]]] = {side: [] for side in MAKERS}
    seconds = dict.fromkeys(MAKERS, 0.0)
    for seed in seeds:
        for side in MAKERS:
            say(f"{name}: seed {seed}, {side}")
            values, taken = curve(side, experiment, seed, steps)
            curves[side].append(values)
            seconds[side] += taken
    ours, plain = (np.array(curves[side]) for side in MAKERS)
    rows = [
        difference(name, f"{steps * part // PARTS:,} to {steps * (part + 1) // PARTS:,}", ours[:, part], plain[:, part])
        for part in range(PARTS)
    ]
    rows.append(difference(name, "all", np.nanmean(ours, axis=1), np.nanmean(plain, axis=1)))
    rows[-1]["processor seconds, ours and SB3"] = [round(value, 1) for value in seconds.values()]
    return rows


def difference(name: str, steps: str, ours: np.ndarray, plain: np.ndarray) -> dict[str, Any]:
    """:return: of the means over seeds, with an interval by bootstrap that is right for all rows together"""
    rng, level = np.random.default_rng(0), (1 - CONFIDENCE) / (PARTS + 1)
    ours, plain = ours[~np.isnan(ours)], plain[~np.isnan(plain)]
    row = {"check": name, "steps": steps}
    if not ours.size or not plain.size:
        return {**row, "ours": None, "SB3": None, "interval": None, "agree": ours.size == plain.size}
    drawn = rng.choice(ours, (RESAMPLINGS, ours.size)).mean(1) - rng.choice(plain, (RESAMPLINGS, plain.size)).mean(1)
    low, high = np.quantile(drawn, [level / 2, 1 - level / 2])
    agree = bool(low <= 0 <= high)
    return {**row, "ours": ours.mean(), "SB3": plain.mean(), "interval": [low, high], "agree": agree}


# The command


@dataclass(frozen=True)
class Plan:
    """
    :param updates: of each learner
    :param ppo_steps: of PPO on CartPole
    :param sac_steps: of SAC on Hopper
    :param seeds: how many
    """

    updates: int
    ppo_steps: int
    sac_steps: int
    seeds: int


CHECKS: dict[str, Callable[[Plan], list[dict[str, Any]]]] = {
    "dqn-atari": lambda plan: check_updates("dqn-atari", dqn_trace, plan.updates, 1),
    "ppo-atari": lambda plan: check_updates("ppo-atari", ppo_trace, plan.updates, 8),
    "ppo-cartpole": lambda plan: check_curves("ppo-cartpole", "ppo", "CartPole-v1", plan.ppo_steps, range(plan.seeds)),
    "sac-hopper": lambda plan: check_curves("sac-hopper", "sac", "Hopper-v5", plan.sac_steps, range(plan.seeds)),
}


def text(value: Any) -> str:
    """:return: a value for a table"""
    if isinstance(value, (float, np.floating)):
        return f"{value:.3g}" if abs(value) < 0.01 or abs(value) >= 1e5 else f"{value:.2f}"
    if isinstance(value, list):
        return " to ".join(map(text, value))
    if value is None:
        return ""
    return ("yes" if value else "NO") if isinstance(value, bool) else str(value)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """:return: rows in Markdown"""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([text(row.get(name)) for name in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """:return: 1 where something differs"""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS), help="only these checks")
    parser.add_argument("--quick", action="store_true", help="few updates and short curves")
    parser.add_argument("--updates", type=int, help="updates from identical data; 1000 if not given")
    parser.add_argument("--ppo-steps", type=int, help="of PPO on CartPole; 50,000 if not given")
    parser.add_argument("--sac-steps", type=int, help="of SAC on Hopper; 20,000 if not given")
    parser.add_argument("--seeds", type=int, help="of each curve; 5 if not given")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    arguments = parser.parse_args()
    plan = Plan(16, 4096, 11_000, 2) if arguments.quick else Plan(1000, 50_000, 20_000, 5)
    given = {name: value for name in asdict(plan) if (value := getattr(arguments, name)) is not None}
    plan = replace(plan, **given)
    torch.set_num_threads(1)
    results: dict[str, list[dict[str, Any]]] = {}
    for name in arguments.only:
        results[name] = CHECKS[name](plan)
        print(f"{table(results[name])}\n", flush=True)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps({"plan": asdict(plan), "results": results}, indent=1, default=float))
    return 0 if all(row["agree"] for rows in results.values() for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
