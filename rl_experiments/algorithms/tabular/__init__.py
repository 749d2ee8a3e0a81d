"""
The backend of table methods: one value for each pair of an observation and an action.

- ``algorithm``: what ``--algo q_learning`` takes as hyperparameters, with the defaults of the Deep RL Course
- ``table``: the table, its file, and the agent that acts by it
- ``stepping``, ``compiled``: two learners with one face; the second runs over an environment's own transition table
- ``transitions``, ``planning``: that table, and what can be computed exactly from it (value iteration)
- ``course``: the dictionary that the Deep RL Course publishes
"""

from rl_experiments.algorithms.tabular.algorithm import QLearning
from rl_experiments.algorithms.tabular.table import Table, TableAgent, load_table, save_table

__all__ = ["QLearning", "Table", "TableAgent", "load_table", "save_table"]
