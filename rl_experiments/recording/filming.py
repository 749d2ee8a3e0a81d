"""The videos of a command: one of a number of steps, or one for each of several episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from rl_experiments.core.errors import ConfigurationError, Terminated
from rl_experiments.core.interruption import Interruption
from rl_experiments.envs import make_envs
from rl_experiments.evaluation.evaluating import LONGEST_EPISODE, without_window
from rl_experiments.recording.looks import Look
from rl_experiments.recording.pictures import try_frame
from rl_experiments.recording.recorder import Recording, record
from rl_experiments.recording.video import RecordingError
from rl_experiments.runs import LoadedAgent

N_STEPS = 1000


def record_videos(
    agent: LoadedAgent,
    folder: str | Path,
    prefix: str,
    *,
    n_steps: int | None = None,
    n_episodes: int | None = None,
    fps: float | None = None,
    seed: int = 0,
    deterministic: bool | None = None,
    look: Look | None = None,
    show_progress: bool = False,
) -> Iterator[Recording]:
    """
    Record videos one after another, named as the zoo names them.

    A signal ends the video that is being recorded, which is kept as far as it came, and those after it.

    :param folder: where to put them
    :param prefix: beginning of their names
    :param n_steps: length of the one video, over as many episodes as there are in it (1000 if None); with
        ``n_episodes`` the longest length of each (100,000 if None)
    :param n_episodes: one video for each of so many episodes; the i-th, from 0, has the seed ``seed + i``
    :param fps: frames per second; if None, real time
    :param look: size and quality of the pictures; if None, those of the environment
    :return: each video when it is there
    :raises RecordingError: if nothing can be drawn, or a video could not be made
    :raises KeyboardInterrupt: after a signal
    """
    for name, value in (("n_steps", n_steps), ("n_episodes", n_episodes)):
        if value is not None and value < 1:
            raise ConfigurationError(f"{name} must be at least 1, but got {value}")
    length = n_steps or (LONGEST_EPISODE if n_episodes else N_STEPS)
    name = "episode-{number}" if n_episodes else f"step-0-to-step-{length}"
    _check_drawing(agent)
    for index in range(n_episodes or 1):
        interruption = Interruption()
        with interruption.listening():
            recording = record(
                agent,
                Path(folder) / f"{prefix}-{name.format(number=index + 1)}.mp4",
                n_steps=length,
                across_episodes=not n_episodes,
                fps=fps,
                seed=(seed + index) % 2**32,
                deterministic=deterministic,
                look=look,
                show_progress=show_progress,
                on_progress=_until(interruption),
            )
        yield recording
        if interruption.signal is not None:
            raise Terminated(interruption.signal)


def _check_drawing(agent: LoadedAgent) -> None:
    """A renderer that crashes or hangs must not take the command with it."""
    reason = try_frame(agent.recipe)
    if reason is not None:
        make_envs(without_window(agent.recipe), 1, 0).close()  # says if it is not the drawing, but a wrong argument
        raise RecordingError(f"No picture of {agent.recipe.env_id} can be drawn: {reason}")


def _until(interruption: Interruption) -> Callable[[int], bool]:
    return lambda _: interruption.signal is None
