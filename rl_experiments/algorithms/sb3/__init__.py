"""The backend of stable-baselines3 and sb3-contrib."""

from rl_experiments.algorithms.sb3.agent import SB3Agent
from rl_experiments.algorithms.sb3.archive import load_model, read_data, save_model
from rl_experiments.algorithms.sb3.building import build_model, continue_model, model_parameters

__all__ = ["SB3Agent", "build_model", "continue_model", "load_model", "model_parameters", "read_data", "save_model"]
