"""What this machine has, what is wrong with it, and what would make training on it faster."""

from rl_experiments.reporting.doctor.examining import Diagnosis, examine

__all__ = ["Diagnosis", "examine"]
