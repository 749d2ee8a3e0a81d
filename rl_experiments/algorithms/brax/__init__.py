"""
The backend of Brax: proximal policy optimization in JAX, many environments at once.

- ``algorithm``: what ``--algo brax_ppo`` takes as hyperparameters, under Brax's own names
- ``policy``: a policy with its networks and environment, and its file
- ``networks``: from the description of networks to networks, and parameters put into their place
- ``agent``: what acts by a policy
"""

from rl_experiments.algorithms.brax.algorithm import BraxPPO

__all__ = ["BraxPPO"]
