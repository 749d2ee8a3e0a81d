"""An agent in the recorder's environment: its pictures only, or the video of them too."""

import json
import resource
import sys
import time
from pathlib import Path

from rl_experiments import load_agent, record
from rl_experiments.recording.recorder import act, staged
from rl_experiments.recording.scene import Scene
from rl_experiments.recording.video import working_codec
from rl_experiments.runs import find_run

folder, algo, env_id, steps, ways = sys.argv[1:]
agent = load_agent(find_run(folder, algo, env_id))
working_codec(".mp4")


class Nothing:
    def add(self, moments):
        return True


def drawn():
    scene = Scene()
    with staged(agent, agent.recipe, scene, 1, 0) as env:
        act(agent, env, scene, Nothing(), agent.recipe, int(steps), None, None)


def recorded():
    record(agent, Path(folder) / "video.mp4", n_steps=int(steps), across_episodes=True)


def used():
    each = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in each)


found = {}
for way in ways.split(","):
    begin, before = time.perf_counter(), used()
    {"drawn": drawn, "recorded": recorded}[way]()
    found[way] = [time.perf_counter() - begin, used() - before]
found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(found))
