"""What is published of an agent, by its backend."""

from __future__ import annotations

from rl_experiments.algorithms import get_algorithm
from rl_experiments.hub.brax import BraxContents
from rl_experiments.hub.contents import Contents
from rl_experiments.hub.tables import TableContents
from rl_experiments.runs import LoadedAgent


def contents_of(agent: LoadedAgent, all_checkpoints: bool = False, n_eval_episodes: int | None = None) -> Contents:
    """
    :param n_eval_episodes: episodes that it is scored in
    :return: what is published of an agent
    """
    backend = get_algorithm(agent.algorithm).backend
    if backend == "tabular":
        return TableContents(agent, all_checkpoints, n_eval_episodes)
    return (BraxContents if backend == "brax" else Contents)(agent, all_checkpoints)
