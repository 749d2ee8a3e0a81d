"""The callback with which both sides are timed."""

import json
import os
import time

import torch
from stable_baselines3.common.callbacks import BaseCallback


def cores_time():
    """Processor time of this process and of the whole machine, in seconds, and the time itself."""
    total = 0.0
    if os.path.exists("/proc/stat"):
        with open("/proc/stat") as file:
            user, nice, system, _, _, interrupts, soft_interrupts, *_ = map(int, file.readline().split()[1:])
        total = (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")
    return time.process_time(), total, time.perf_counter()


class Clock(BaseCallback):
    """Counts steps between the beginnings of two rollouts, then ends the training."""

    def __init__(self):
        super().__init__()
        self.order = json.loads(os.environ["BENCHMARK_CLOCK"])
        self.begin = None
        self.done = False

    def _on_training_start(self):
        self.started = time.time()

    def _on_rollout_start(self):
        if self.done or self.num_timesteps < self.order["warm_up"]:
            return
        now = cores_time()
        if self.begin is None:
            self.begin, self.begin_steps = now, self.num_timesteps
        own, total, seconds = (new - old for new, old in zip(now, self.begin, strict=True))
        if seconds >= self.order["seconds"]:
            self.done = True
            self.write(self.num_timesteps - self.begin_steps, max(seconds, 1e-9), own, total)

    def write(self, steps, seconds, own, total):
        content = {
            "started": self.started,
            "steps": steps,
            "seconds": seconds,
            "threads": torch.get_num_threads(),
            "own_cores": own / seconds,
            "other_cores": max(0.0, total - own) / seconds,
        }
        with open(self.order["path"], "w") as file:
            json.dump(content, file)

    def _on_step(self):
        return not self.done
