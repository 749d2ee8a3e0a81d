"""The callback that takes the time of checkpoints: written, read back, and the steps between them."""

import json
import os
import time

from stable_baselines3.common.callbacks import BaseCallback

from rl_experiments.training.checkpoint_files import CheckpointFiles
from rl_experiments.training.checkpointing import ResumableCheckpoints


def note(kind, steps, seconds):
    with open(os.environ["BENCHMARK_STOPWATCH"], "a") as file:
        file.write(json.dumps([kind, int(steps), seconds, time.perf_counter()]) + "\n")


def timed(owner, name, kind, steps_of):
    call = getattr(owner, name)

    def with_time(self, *arguments, **named):
        begin = time.perf_counter()
        result = call(self, *arguments, **named)
        note(kind, steps_of(self), time.perf_counter() - begin)
        return result

    setattr(owner, name, with_time)


timed(ResumableCheckpoints, "save", "written", lambda self: self.model.num_timesteps)
timed(CheckpointFiles, "restore", "read", lambda self: self._model.num_timesteps)


class Stopwatch(BaseCallback):
    """Notes the time every so many steps."""

    def _on_training_start(self):
        buffer = self.model.replay_buffer
        note("memory", buffer.buffer_size, buffer.observations.nbytes)

    def _on_step(self):
        if self.num_timesteps % 100 == 0:
            note("steps", self.num_timesteps, 0.0)
        return True
