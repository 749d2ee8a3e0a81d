"""What is published of an agent, by its backend."""

from __future__ import annotations

from rl_experiments.algorithms import get_algorithm
from rl_experiments.hub.brax import BraxContents
from rl_experiments.hub.contents import Contents
from rl_experiments.hub.tables import TableContents
from rl_experiments.runs import LoadedAgent

_CONTENTS: dict[str, type[Contents]] = {"brax": BraxContents, "tabular": TableContents}


def contents_of(agent: LoadedAgent, all_checkpoints: bool = False) -> Contents:
    """:return: what is published of an agent"""
    return _CONTENTS.get(get_algorithm(agent.algorithm).backend, Contents)(agent, all_checkpoints)
