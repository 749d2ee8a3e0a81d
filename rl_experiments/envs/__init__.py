"""Environments: ids, recipes, and what is built from them."""

from rl_experiments.envs.making import (
    IN_NATIVE_CODE,
    VEC_ENVS,
    action_masks,
    has_action_masks,
    make_bare,
    make_envs,
    make_one,
)
from rl_experiments.envs.recipe import EnvironmentRecipe

__all__ = [
    "IN_NATIVE_CODE",
    "VEC_ENVS",
    "EnvironmentRecipe",
    "action_masks",
    "has_action_masks",
    "make_bare",
    "make_envs",
    "make_one",
]
