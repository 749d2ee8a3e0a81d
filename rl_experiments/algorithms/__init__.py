"""Algorithms: the registry, the face of an agent, and the backends that train and load."""

from rl_experiments.algorithms.registry import Algorithm, algorithm_names, get_algorithm, register

__all__ = ["Algorithm", "algorithm_names", "get_algorithm", "register"]
