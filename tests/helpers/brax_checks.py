"""
What is checked of a run of Brax's PPO where JAX runs: a process of its own, since threads of JAX survive no fork.

``python brax_checks.py RUN FOLDER`` prints what it found as JSON, and leaves replays in the folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from rl_experiments import Run, evaluate, load_agent
from rl_experiments.core.errors import ConfigurationError
from rl_experiments.envs import make_envs
from rl_experiments.recording.replays import play_replay, read_replays, record_page, write_replays
from rl_experiments.runs import checkpoints


def main() -> None:
    """Check, and print."""
    run, folder = Path(sys.argv[1]), Path(sys.argv[2])
    agent = load_agent(run)
    print(json.dumps({"returns": returns(agent.run), "forms": forms(agent), "replay": replays(agent, folder)}))


def returns(run: Run) -> list[list[Any]]:
    """:return: for each checkpoint its steps, the returns in training, and those of the restored policy"""
    found = []
    for path in checkpoints.checkpoints_of(run):
        there = checkpoints.read(path)
        measured = there.facts["evaluation"]["returns"]
        restored = evaluate(load_agent(run, there.steps), n_episodes=len(measured)).returns.tolist()
        found.append([there.steps, measured, restored])
    return found


def forms(agent: Any) -> dict[str, Any]:
    """:return: whether parameters in the forms of other recipes act alike, and what is said of wrong ones"""
    acting = agent.agent
    normalizer, policy, value = acting.params
    key, observation = np.zeros(2, np.uint32), np.array([0.01, 0.02, -0.03, 0.04], np.float32)
    expected = acting.make_inference_fn(acting.params, deterministic=True)(observation, key)[0]
    given = {
        "tuple": (normalizer, policy, value),
        "list": [normalizer, policy, value],
        "two": (normalizer, policy),
        "object": SimpleNamespace(policy=policy, value=value),
        "pair": (normalizer, SimpleNamespace(policy=policy, value=value)),
        "mapping": {"normalizer_params": normalizer, "policy": policy, "value": value},
        "plain": agent.agent.policy.parameters,
    }
    alike = {
        name: bool(np.array_equal(acting.make_inference_fn(params, True)(observation, key)[0], expected))
        for name, params in given.items()
    }
    said = {}
    for name, params in {"number": 3, "policy alone": policy, "swapped": (normalizer, value, policy)}.items():
        try:
            acting.make_inference_fn(params)
        except ConfigurationError as error:
            said[name] = str(error)
    return {"alike": alike, "said": said}


def replays(agent: Any, folder: Path) -> dict[str, Any]:
    """:return: whether the poses in a page are those of the environment, step for step"""
    path = record_page(agent, folder / "replay.html", "One episode").path
    read = read_replays(path)[0]
    env = make_envs(agent.recipe, 1, 0)
    inner = env.envs[0].unwrapped  # type: ignore[attr-defined]
    observation, poses, rewards, done = env.reset(), [], [], False
    while not done:
        x = inner._state.pipeline_state.x
        poses.append(np.concatenate([np.asarray(x.pos), np.asarray(x.rot)], axis=1))
        action, _ = agent.predict(observation, deterministic=True)
        before = inner._state
        observation, reward, dones, _ = env.step(action)
        done, rewards = bool(dones[0]), [*rewards, float(reward[0])]
    last = inner._simulation.step(before, action[0]).pipeline_state.x
    poses.append(np.concatenate([np.asarray(last.pos), np.asarray(last.rot)], axis=1))
    several = [play_replay(load_agent(agent.run, steps), label=f"{steps} steps") for steps in agent.run.resumable()]
    write_replays(several, folder / "training.html", "The <training>")
    return {
        "steps": len(rewards),
        "same_poses": bool(np.array_equal(read.poses, np.stack(poses))),
        "same_rewards": read.rewards.tolist() == np.array(rewards, np.float32).tolist(),
        "done": read.done,
        "size": path.stat().st_size - 4 * read.poses.size,
    }


if __name__ == "__main__":
    main()
