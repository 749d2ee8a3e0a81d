"""The zoo's push_to_hub with what its import asks for and its library does not have, so that it starts at all."""

import runpy
import sys

import huggingface_sb3.push_to_hub as library


def generate_metadata(model_name, env_id, mean_reward, std_reward):
    """What the zoo expects: a dictionary."""
    return library._generate_metadata(model_name, env_id, mean_reward, std_reward).to_dict()


library.generate_metadata = generate_metadata
sys.argv[0] = "push_to_hub"
runpy.run_module("rl_zoo3.push_to_hub", run_name="__main__")
