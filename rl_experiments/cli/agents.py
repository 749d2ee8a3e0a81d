"""The flags that choose a trained agent, shared by all commands that load one."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rl_experiments.algorithms.registry import algorithm_names, names_of_runs
from rl_experiments.cli.parser import PairsAction, Parser, at_least_1, checked_choice, typed
from rl_experiments.core.devices import check_device
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.core.options import thread_count

FINAL, BEST, LAST_CHECKPOINT = "final", "best", "last-checkpoint"


def add_agent_flags(
    parser: Parser,
    *,
    env: str | None,
    folder: str | None,
    algo: str | None,
    no_render: str = "Do not draw.",
    one_model: bool = True,
) -> None:
    """
    Add the zoo's flags that choose a run and a model; a default of None makes a flag required.

    :param no_render: what that flag does in this command
    :param one_model: whether the command is about one model of the run
    """
    add = parser.add_argument
    add("--env", metavar="ID", help="The environment's id.", default=env, required=env is None)
    add("-f", "--folder", metavar="FOLDER", help="Folder of all runs.", default=folder, required=folder is None)
    add(
        "--algo",
        metavar="NAME",
        help=f"The algorithm: {', '.join(algorithm_names())}.",
        default=algo,
        required=algo is None,
        type=checked_choice(names_of_runs(), "algorithm"),
    )
    add(
        "--num-threads",
        metavar="N",
        type=typed(thread_count),
        default=-1,
        help="Torch's number of threads; 1 if below 1.",
    )
    add("--n-envs", metavar="N", type=int, default=1, help="Number of environments.")
    add("--exp-id", metavar="N", type=int, default=0, help="The run's number; 0 is the latest, -1 is no run folder.")
    add("--verbose", metavar="N", type=int, default=1, help="0 is quiet, 1 prints results, 2 prints more.")
    add("--no-render", action="store_true", help=no_render)
    add(
        "--deterministic",
        action="store_true",
        help="Act with the most probable actions (the default, but for Atari and MiniGrid).",
    )
    add("--stochastic", action="store_true", help="Act with sampled actions (the default for Atari and MiniGrid).")
    add("--device", metavar="NAME", default="auto", help="Where torch computes: auto, cpu, cuda, ...")
    if one_model:
        _add_model_flags(parser)
    add("--seed", metavar="N", type=int, default=0, help="Seed of the first environment and of sampled actions.")
    add(
        "--env-kwargs",
        metavar="KEY:VALUE",
        nargs="+",
        action=PairsAction,
        help="Arguments of the environment's constructor, over the run's own.",
    )
    parser.add_ours(
        "--trust", action="store_true", help="Load objects that can only be read by running code from the run's files."
    )
    parser.add_ours("--debug", action="store_true", help="Show the traceback of an error.")
    for check in (chosen_determinism, at_least_1("n_envs"), _check_seed):
        parser.add_check(check)


def _add_model_flags(parser: Parser) -> None:
    add = parser.add_argument
    add("--load-best", action="store_true", help="The best model, in place of the last.")
    add(
        "--load-checkpoint",
        metavar="STEPS",
        type=int,
        help="The checkpoint after so many steps, in place of the last model.",
    )
    add("--load-last-checkpoint", action="store_true", help="The last checkpoint, in place of the last model.")
    parser.add_check(chosen_model)


def chosen_model(arguments: argparse.Namespace) -> str | int:
    """
    :return: what the flags choose, for :meth:`rl_experiments.runs.Run.model`
    :raises ConfigurationError: if they choose several
    """
    chosen: list[str | int] = []
    if arguments.load_best:
        chosen.append(BEST)
    if arguments.load_checkpoint is not None:
        chosen.append(arguments.load_checkpoint)
    if arguments.load_last_checkpoint:
        chosen.append(LAST_CHECKPOINT)
    if len(chosen) > 1:
        raise ConfigurationError(
            "--load-best, --load-checkpoint and --load-last-checkpoint choose different models: give one"
        )
    return chosen[0] if chosen else FINAL


def chosen_determinism(arguments: argparse.Namespace) -> bool | None:
    """
    :return: what the flags choose, or None for the environment's default
    :raises ConfigurationError: if both are given
    """
    if arguments.stochastic and arguments.deterministic:
        raise ConfigurationError("--stochastic and --deterministic exclude each other: give one")
    if arguments.stochastic or arguments.deterministic:
        return bool(arguments.deterministic)
    return None


def _check_seed(arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.seed < 2**32:
        raise ConfigurationError(f"--seed must be from 0 to 2**32 - 1, but got {arguments.seed}")


def load_chosen_agent(arguments: argparse.Namespace, env_kwargs: dict[str, Any] | None) -> Any:
    """:return: the agent that the flags choose, loaded"""
    import torch

    from rl_experiments.envs.registry import import_packages
    from rl_experiments.runs import find_run, load_agent

    which = chosen_model(arguments)
    check_device(arguments.device)
    torch.set_num_threads(max(arguments.num_threads, 1))
    packages = tuple(arguments.gym_packages)
    import_packages(packages)
    run = find_run(arguments.folder, arguments.algo, arguments.env, arguments.exp_id, which)
    module = arguments.env.rpartition(":")[0]
    named = tuple(dict.fromkeys([*packages, *([module] if module else [])]))
    agent = load_agent(
        run, which, device=arguments.device, env_kwargs=env_kwargs, gym_packages=named, trust=arguments.trust
    )
    if agent.adapted is not None and arguments.verbose > 0:
        print(f"Adapted: {agent.adapted}", file=sys.stderr)
    return agent
