"""
Frames of a new environment that steps given actions, in a process in which nothing else draws.

    python fresh_frames.py ENV_ID SEED ACTIONS.npy FRAMES.npy KWARGS_AS_JSON
"""

import json
import sys

import gymnasium as gym
import numpy as np

env_id, seed, actions, frames, kwargs = sys.argv[1:]
env = gym.make(env_id, render_mode="rgb_array", **json.loads(kwargs))
env.reset(seed=int(seed))
seen = [env.render()]
for action in np.load(actions):
    env.step(action)
    seen.append(env.render())
np.save(frames, np.stack(seen))
env.close()
